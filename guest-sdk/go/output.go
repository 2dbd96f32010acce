package millstream

import "unsafe"

// Output is where the results of a mapper or a processor go. A column that no result changes is not sent; the first result that differs
// from its record opens it, and what was before is filled in from the records.
type Output struct {
	Columns
	records *Batch
	record  int
	port    uint32
	// inherit gives the next result the headers of a record: nil as long as no result differs in them, so that a function
	// that changes none does not import them.
	inherit func(o *Output, record int)
}

// EmitSame makes a result that is the record itself.
func (o *Output) EmitSame() {
	o.putKey(o.records.Keys.Get(o.record))
	o.putValue(o.records.Values.Get(o.record))
	o.end(o.records.Timestamps[o.record])
}

// EmitValue makes a result with a new value (nil: null); key and time stay.
func (o *Output) EmitValue(value []byte) {
	o.putKey(o.records.Keys.Get(o.record))
	o.putValue(value)
	o.end(o.records.Timestamps[o.record])
}

// EmitKey makes a result with a new key (nil: none); value and time stay.
func (o *Output) EmitKey(key []byte) {
	o.putKey(key)
	o.putValue(o.records.Values.Get(o.record))
	o.end(o.records.Timestamps[o.record])
}

// Emit makes a result. A part that is the record's own, not a copy of it, costs nothing while that column is unchanged.
func (o *Output) Emit(key, value []byte, timestamp int64) {
	o.putKey(key)
	o.putValue(value)
	o.end(timestamp)
}

// Port sets the named output, by its place in the step's list, of this record's results from here on; 0 without this.
func (o *Output) Port(port int) { o.port = uint32(port) }

// AddHeader adds a header to the result emitted last, behind those it has from its record; a nil value is null. It
// panics when this record has no result yet.
func (o *Output) AddHeader(name string, value []byte) {
	o.headersOfLast().push(Header{name, value})
}

// ClearHeaders takes all headers from the result emitted last. It panics when this record has no result yet.
func (o *Output) ClearHeaders() { o.headersOfLast().clearLast() }

// begin goes on with a record, or with a timer; it answers how many results there are before it.
func (o *Output) begin(record int) int {
	o.record, o.port = record, 0
	return o.Results
}

// refuse: the record at hand is refused, and only so many results stay.
func (o *Output) refuse(results int, err error) {
	o.truncate(results)
	o.Rejected = append(o.Rejected, Rejection{uint32(o.record), err.Error()})
}

// done is the answer once so many records are dealt with.
func (o *Output) done(taken int) *Columns {
	o.Taken = uint32(taken)
	if o.Sources == nil && (o.Results != taken || len(o.Rejected) != 0) {
		o.openSources()
	}
	return &o.Columns
}

// same: the same bytes at the same place, or both null. A pass-through is seen without reading them.
func same(given, own []byte) bool {
	return len(given) == len(own) && (given == nil) == (own == nil) && unsafe.SliceData(given) == unsafe.SliceData(own)
}

func (o *Output) putKey(key []byte) {
	if o.Keys == nil {
		if same(key, o.records.Keys.Get(o.record)) {
			return
		}
		o.Keys = o.filled(&o.records.Keys)
	}
	o.Keys.Push(key)
}

func (o *Output) putValue(value []byte) {
	if o.Values == nil {
		if same(value, o.records.Values.Get(o.record)) {
			return
		}
		o.Values = o.filled(&o.records.Values)
	}
	o.Values.Push(value)
}

// end counts the result; what it has besides key and value is written here, the source last, as the others fill in by
// those before.
func (o *Output) end(timestamp int64) {
	if o.Timestamps == nil && timestamp != o.records.Timestamps[o.record] {
		o.Timestamps = make([]int64, 0, o.records.Len())
		for result := range o.Results {
			o.Timestamps = append(o.Timestamps, o.records.Timestamps[o.source(result)])
		}
	}
	if o.Timestamps != nil {
		o.Timestamps = append(o.Timestamps, timestamp)
	}
	if o.Ports == nil && o.port != 0 {
		o.Ports = make([]uint32, o.Results, max(o.Results, o.records.Len()))
	}
	if o.Ports != nil {
		o.Ports = append(o.Ports, o.port)
	}
	if o.inherit != nil {
		o.inherit(o, o.record)
	}
	if o.Sources == nil && o.Results != o.record {
		o.openSources()
	}
	if o.Sources != nil {
		o.Sources = append(o.Sources, uint32(o.record))
	}
	o.Results++
}

func (o *Output) openSources() {
	o.Sources = make([]uint32, 0, o.records.Len())
	for result := range o.Results {
		o.Sources = append(o.Sources, uint32(result))
	}
}

// source is the record of a result.
func (o *Output) source(result int) int {
	if o.Sources == nil {
		return result
	}
	return int(o.Sources[result])
}

// growth is by how many bytes each item of a column may grow within the room that the column has at once.
const growth = 8

func (o *Output) filled(own *Column) *Column {
	column := NewColumn(own.Len(), len(own.Data)+growth*own.Len())
	for result := range o.Results {
		column.Push(own.Get(o.source(result)))
	}
	return column
}

func (o *Output) headersOfLast() *HeaderColumns {
	if o.Results == 0 || o.source(o.Results-1) != o.record {
		panic("a header belongs to a result: emit the result first")
	}
	if o.Headers == nil {
		o.Headers, o.inherit = newHeaderColumns(), (*Output).pushHeaders
		for result := range o.Results {
			o.pushHeaders(o.source(result))
		}
	}
	return o.Headers
}

// pushHeaders gives the next result those of a record.
func (o *Output) pushHeaders(record int) {
	o.Headers.pushRecord()
	for _, header := range o.records.Record(record).Headers() {
		o.Headers.push(header)
	}
}

// truncate forgets all results from results on.
func (o *Output) truncate(results int) {
	o.Results = results
	for _, column := range []*Column{o.Keys, o.Values} {
		if column != nil {
			column.truncate(results)
		}
	}
	if o.Sources != nil {
		o.Sources = o.Sources[:results]
	}
	if o.Ports != nil {
		o.Ports = o.Ports[:results]
	}
	if o.Timestamps != nil {
		o.Timestamps = o.Timestamps[:results]
	}
	if o.Headers != nil {
		o.Headers.truncate(results)
	}
}

// bytes is about how many bytes the results take.
func (o *Output) bytes() int {
	bytes := 8 * o.Results
	for _, column := range []*Column{o.Keys, o.Values} {
		if column != nil {
			bytes += len(column.Data)
		}
	}
	if o.Headers != nil {
		bytes += len(o.Headers.Names.Data) + len(o.Headers.Values.Data) + 8*o.Headers.Names.Len()
	}
	return bytes
}
