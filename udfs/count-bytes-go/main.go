// Counts records and the bytes of their values: the successor of `count`, whose states it reads and writes back. For
// records that `count` counted, their bytes are not known and count as 0.
package main

import (
	"encoding/binary"
	"fmt"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/aggregator"
	"millstream.example/millstream/guest-sdk/go/merger"
	"millstream.example/millstream/guest-sdk/go/migrator"
)

// countBytes counts.
type countBytes struct{}

// state has both counts.
type state struct {
	records, bytes uint64
}

// Layout 0: the u64 of `count`, little-endian. Layout 1: that, and a u64 of bytes behind it.
const (
	count = 0
	both  = 1
)

func number(bytes []byte) (uint64, error) {
	if len(bytes) != 8 {
		return 0, fmt.Errorf("a count has 8 bytes, here are %d", len(bytes))
	}
	return binary.LittleEndian.Uint64(bytes), nil
}

func (countBytes) Start(millstream.Group) state { return state{} }

func (countBytes) Decode(bytes []byte) (state, error) {
	if len(bytes) < 8 {
		return state{}, fmt.Errorf("a state has two counts of 8 bytes")
	}
	second, err := number(bytes[8:])
	return state{binary.LittleEndian.Uint64(bytes), second}, err
}

func (countBytes) Encode(s state, into []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(into, s.records), s.bytes)
}

func (countBytes) Add(s state, record millstream.Record) (state, error) {
	return state{s.records + 1, s.bytes + uint64(len(record.Value))}, nil
}

func (countBytes) Finish(s state, _ millstream.Group) []byte {
	return fmt.Appendf(nil, "%d records, %d bytes", s.records, s.bytes)
}

func (countBytes) Merge(left, right state) (state, error) {
	return state{left.records + right.records, left.bytes + right.bytes}, nil
}

func (countBytes) Layouts() millstream.Layouts {
	return millstream.Layouts{Current: both, Reads: []uint32{count}, Writes: []uint32{count}}
}

func (c countBytes) Migrate(stored millstream.Stored, old, _ uint32) ([]byte, error) {
	if old == count {
		records, err := number(stored.State)
		return c.Encode(state{records, 0}, nil), err
	}
	s, err := c.Decode(stored.State)
	return binary.LittleEndian.AppendUint64(nil, s.records), err
}

func init() {
	aggregator.Export[state](countBytes{})
	merger.Export[state](countBytes{})
	migrator.Export(countBytes{})
}

func main() {}
