package millstream

// ResultBytesMax is how many bytes of results one call makes before a mapper stops early; the host asks again with the
// rest of the records. It is a variable for the SDK's own tests.
var resultBytesMax = ResultBytesMax

// ResultBytesMax bytes of results end a call of a mapper.
const ResultBytesMax = 8 << 20

// Mapper writes the results of a record, none or several, into out. On an error the record is refused, and nothing of
// what was written for it stays.
type Mapper func(record Record, out *Output) error

// Columns is a mapper's answer: the contract's `output`. Nil: as in the source record.
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
		out.record, out.port = taken, 0
		before := out.Results
		if err := mapper(records.Record(taken), &out); err != nil {
			out.truncate(before)
			out.Rejected = append(out.Rejected, Rejection{uint32(taken), err.Error()})
		}
		taken++
	}
	out.Taken = uint32(taken)
	if out.Sources == nil && (out.Results != taken || len(out.Rejected) != 0) {
		out.openSources()
	}
	return &out.Columns
}

// Result is one result of a mapper, for tests.
type Result struct {
	Key, Value []byte
	Timestamp  int64
	Port       int
	// Headers: all that the result has, those of its record included.
	Headers []Header
}

// Map gives the results of one record and the error with which it was refused: for tests.
func Map(mapper Mapper, record Record) ([]Result, error) {
	batch := BatchOf(record)
	if record.facts != nil {
		batch.Facts.WithHeaders(record.Headers())
	}
	var refused error
	columns := Apply(func(record Record, out *Output) error {
		refused = mapper(record, out)
		return refused
	}, batch)
	var results []Result
	for index := range columns.Results {
		result := Result{record.Key, record.Value, record.Timestamp, 0, record.Headers()}
		if columns.Keys != nil {
			result.Key = columns.Keys.Get(index)
		}
		if columns.Values != nil {
			result.Value = columns.Values.Get(index)
		}
		if columns.Timestamps != nil {
			result.Timestamp = columns.Timestamps[index]
		}
		if columns.Ports != nil {
			result.Port = int(columns.Ports[index])
		}
		if columns.Headers != nil {
			result.Headers = columns.Headers.of(index, nil)
		}
		results = append(results, result)
	}
	return results, refused
}
