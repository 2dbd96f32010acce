package millstream

// Column is a column of byte strings in the layout of an Arrow binary array: item i is
// Data[Offsets[i]:Offsets[i+1]]. Bit i of Validity (byte i/8, from the low end) is 0 when item i is null; an empty
// Validity: every item is there. The contract's `bytes-column`.
type Column struct {
	Offsets  []uint32
	Data     []byte
	Validity []byte
}

// NewColumn makes an empty column with room for so many items and bytes.
func NewColumn(items, bytes int) *Column {
	return &Column{Offsets: append(make([]uint32, 0, items+1), 0), Data: make([]byte, 0, bytes)}
}

// ColumnOf makes a column of these items; nil is null.
func ColumnOf(items ...[]byte) *Column {
	column := NewColumn(len(items), 0)
	for _, item := range items {
		column.Push(item)
	}
	return column
}

// Len is the number of items.
func (c *Column) Len() int { return max(len(c.Offsets)-1, 0) }

// empty is the bytes of an item that is there and has none: not nil, and without room, so that whoever appends gets a copy.
var empty = []byte{}

// Get borrows item index; nil: it is null.
func (c *Column) Get(index int) []byte {
	if len(c.Validity) != 0 && c.Validity[index>>3]>>(index&7)&1 == 0 {
		return nil
	}
	start, end := c.Offsets[index], c.Offsets[index+1]
	if start == end {
		return empty
	}
	// With its capacity, so that whoever appends to an item gets a copy and leaves the next one alone.
	return c.Data[start:end:end]
}

// Push adds an item; nil is null.
func (c *Column) Push(item []byte) {
	if item == nil {
		c.pushNull()
		return
	}
	c.Data = append(c.Data, item...)
	c.close()
}

// close ends the item whose bytes were just appended.
func (c *Column) close() {
	index := c.Len()
	c.Offsets = append(c.Offsets, uint32(len(c.Data)))
	if len(c.Validity) != 0 {
		if index&7 == 0 {
			c.Validity = append(c.Validity, 0)
		}
		c.Validity[index>>3] |= 1 << (index & 7)
	}
}

func (c *Column) pushNull() {
	index := c.Len()
	if len(c.Validity) == 0 {
		// The first null: so far every item was there.
		for range index / 8 {
			c.Validity = append(c.Validity, 0xff)
		}
		c.Validity = append(c.Validity, 1<<(index&7)-1)
	} else if index&7 == 0 {
		c.Validity = append(c.Validity, 0)
	}
	c.Offsets = append(c.Offsets, uint32(len(c.Data)))
}

// truncate forgets all items from items on.
func (c *Column) truncate(items int) {
	if items >= c.Len() {
		return
	}
	c.Offsets = c.Offsets[:items+1]
	c.Data = c.Data[:c.Offsets[items]]
	if len(c.Validity) != 0 {
		c.Validity = c.Validity[:(items+7)/8]
		if items&7 != 0 {
			c.Validity[items>>3] &= 1<<(items&7) - 1
		}
	}
}

// HeaderColumns are headers of records: record i owns entries Offsets[i] to Offsets[i+1] of the other two. The
// contract's `header-columns`.
type HeaderColumns struct {
	Offsets []uint32
	Names   Column
	Values  Column
}

// of appends the headers of record index to into.
func (h *HeaderColumns) of(index int, into []Header) []Header {
	for entry := h.Offsets[index]; entry < h.Offsets[index+1]; entry++ {
		into = append(into, Header{string(h.Names.Get(int(entry))), h.Values.Get(int(entry))})
	}
	return into
}

func (h *HeaderColumns) pushRecord() {
	h.Offsets = append(h.Offsets, uint32(h.Names.Len()))
}

// push adds a header to the last record.
func (h *HeaderColumns) push(header Header) {
	name := []byte(header.Name)
	if name == nil {
		name = empty
	}
	h.Names.Push(name)
	h.Values.Push(header.Value)
	h.Offsets[len(h.Offsets)-1] = uint32(h.Names.Len())
}

// truncate forgets all records from records on.
func (h *HeaderColumns) truncate(records int) {
	if records < len(h.Offsets)-1 {
		h.Offsets = h.Offsets[:records+1]
		h.cut(int(h.Offsets[records]))
	}
}

// clearLast forgets the headers of the last record, which stays.
func (h *HeaderColumns) clearLast() {
	last := len(h.Offsets) - 1
	h.cut(int(h.Offsets[last-1]))
	h.Offsets[last] = h.Offsets[last-1]
}

func (h *HeaderColumns) cut(entries int) {
	h.Names.truncate(entries)
	h.Values.truncate(entries)
}

func newHeaderColumns() *HeaderColumns {
	return &HeaderColumns{Offsets: []uint32{0}, Names: *NewColumn(0, 0), Values: *NewColumn(0, 0)}
}

// Batch is what a function is given: records in the order of their partition. The contract's `batch`, and what the
// host says about these records when it is asked.
type Batch struct {
	Keys       Column
	Values     Column
	Timestamps []int64
	Facts      Facts
}

// BatchOf makes a batch of these records, for tests. The facts of records are not taken over.
func BatchOf(records ...Record) *Batch {
	batch := &Batch{Keys: *NewColumn(len(records), 0), Values: *NewColumn(len(records), 0)}
	for _, record := range records {
		batch.Keys.Push(record.Key)
		batch.Values.Push(record.Value)
		batch.Timestamps = append(batch.Timestamps, record.Timestamp)
	}
	return batch
}

// Len is the number of records.
func (b *Batch) Len() int { return len(b.Timestamps) }

// Record borrows record index from the columns.
func (b *Batch) Record(index int) Record {
	return Record{b.Keys.Get(index), b.Values.Get(index), b.Timestamps[index], &b.Facts, index}
}

// Rejection is a record that the function will not handle, by its place in the call's records, or in Members for
// folds.
type Rejection struct {
	Index  uint32
	Reason string
}

// Groups are some groups, and which records fall into each: the contract's `groups`.
type Groups struct {
	Keys Column
	// Starts and Ends of windows, milliseconds; both empty when there is no window.
	Starts, Ends []int64
	// States: null where nothing was stored.
	States Column
	// Offsets: group g owns Members[Offsets[g]:Offsets[g+1]], which are indexes of records.
	Offsets, Members []uint32
}

// Group is group index.
func (g *Groups) Group(index int) Group {
	group := Group{Key: g.Keys.Get(index)}
	if index < len(g.Starts) && index < len(g.Ends) {
		group.Window = &Window{g.Starts[index], g.Ends[index]}
	}
	return group
}
