package millstream

// resultBytesMax is ResultBytesMax; a variable for the SDK's own tests.
var resultBytesMax = ResultBytesMax

// ResultBytesMax is how many bytes of results a mapper makes in a call before it stops early; the host asks again with
// the rest of the records. Of a processor, what it has read from stores, written and set counts too.
const ResultBytesMax = 8 << 20

// Mapper writes the results of a record, none or several, into out. On an error the record is refused, and nothing of
// what was written for it stays.
type Mapper func(record Record, out *Output) error

// Columns is what a mapper or a processor answers: the contract's `output`. Nil: as in the source record.
type Columns struct {
	Taken      uint32
	Sources    []uint32
	Ports      []uint32
	Keys       *Column
	Values     *Column
	Timestamps []int64
	Headers    *HeaderColumns
	Rejected   []Rejection
	// Results is how many there are.
	Results int
}

// Apply maps records until they are all dealt with or the results have ResultBytesMax bytes.
func Apply(mapper Mapper, records *Batch) *Columns {
	out := Output{records: records}
	taken := 0
	for taken < records.Len() && out.bytes() < resultBytesMax {
		before := out.begin(taken)
		if err := mapper(records.Record(taken), &out); err != nil {
			out.refuse(before, err)
		}
		taken++
	}
	return out.done(taken)
}

// Result is one result of a mapper or a processor, for tests.
type Result struct {
	Key, Value []byte
	Timestamp  int64
	Port       int
	// Headers: all that the result has, those of its record included.
	Headers []Header
}

// Map gives the results of one record and the error with which it was refused: for tests.
func Map(mapper Mapper, record Record) ([]Result, error) {
	batch := batchOfOne(record)
	var refused error
	columns := Apply(func(record Record, out *Output) error {
		refused = mapper(record, out)
		return refused
	}, batch)
	return columns.resultsOf(batch), refused
}

// batchOfOne keeps the headers of a record, which BatchOf does not.
func batchOfOne(record Record) *Batch {
	batch := BatchOf(record)
	if record.facts != nil {
		batch.Facts.WithHeaders(record.Headers())
	}
	return batch
}

// resultsOf are the results one by one, of a batch with one record.
func (c *Columns) resultsOf(batch *Batch) []Result {
	var results []Result
	record := batch.Record(0)
	for index := range c.Results {
		result := Result{record.Key, record.Value, record.Timestamp, 0, record.Headers()}
		if c.Keys != nil {
			result.Key = c.Keys.Get(index)
		}
		if c.Values != nil {
			result.Value = c.Values.Get(index)
		}
		if c.Timestamps != nil {
			result.Timestamp = c.Timestamps[index]
		}
		if c.Ports != nil {
			result.Port = int(c.Ports[index])
		}
		if c.Headers != nil {
			result.Headers = c.Headers.of(index, nil)
		}
		results = append(results, result)
	}
	return results
}
