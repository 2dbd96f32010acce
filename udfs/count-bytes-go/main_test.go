package main

import (
	"encoding/binary"
	"testing"

	millstream "millstream.example/millstream/guest-sdk/go"
)

func TestRecordsAndBytesAreCounted(t *testing.T) {
	var c countBytes
	var s state
	for _, value := range []string{"ab", "", "cde"} {
		s, _ = c.Add(s, millstream.Record{Value: []byte(value)})
	}
	s, _ = c.Merge(s, s)
	if result := string(c.Finish(s, millstream.Group{})); result != "6 records, 10 bytes" {
		t.Error(result)
	}
}

func TestStatesOfCountAreReadAndWrittenBack(t *testing.T) {
	three := binary.LittleEndian.AppendUint64(nil, 3)
	keys, old := millstream.ColumnOf([]byte("a"), []byte("b")), millstream.ColumnOf(three, nil)
	current, err := millstream.Migrate(countBytes{}, "", count, both, keys, old)
	if err != nil || current.Len() != 2 || current.Get(1) != nil {
		t.Fatal(current, err)
	}
	if s, err := (countBytes{}).Decode(current.Get(0)); s != (state{3, 0}) || err != nil {
		t.Error(s, err)
	}
	back, err := millstream.Migrate(countBytes{}, "", both, count, keys, current)
	if err != nil || string(back.Get(0)) != string(three) || back.Get(1) != nil {
		t.Error(back, err)
	}
	for _, wrong := range []string{"1234567", "123456789"} {
		if _, err := (countBytes{}).Decode([]byte(wrong)); err == nil {
			t.Errorf("%q was decoded", wrong)
		}
		if _, err := millstream.Migrate(countBytes{}, "", count, both, keys, millstream.ColumnOf([]byte(wrong))); err == nil {
			t.Errorf("%q was migrated", wrong)
		}
	}
}
