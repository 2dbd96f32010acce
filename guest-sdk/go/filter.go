package millstream

// Filter says whether a record is kept. An error refuses the record.
type Filter func(record Record) (bool, error)

// Kept is a filter's answer: the contract's `kept`.
type Kept struct {
	// Bits: bit i (byte i/8, from the low end) is 1 when record i is kept.
	Bits     []byte
	Rejected []Rejection
}

// Keep asks a filter about every record.
func Keep(filter Filter, records *Batch) *Kept {
	kept := &Kept{Bits: make([]byte, (records.Len()+7)/8)}
	for index := range records.Len() {
		keep, err := filter(records.Record(index))
		if err != nil {
			kept.Rejected = append(kept.Rejected, Rejection{uint32(index), err.Error()})
		} else if keep {
			kept.Bits[index>>3] |= 1 << (index & 7)
		}
	}
	return kept
}
