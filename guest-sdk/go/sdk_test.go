package millstream

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

func items(column *Column) []string {
	var shown []string
	for index := range column.Len() {
		item := column.Get(index)
		if item == nil {
			shown = append(shown, "null")
		} else {
			shown = append(shown, string(item))
		}
	}
	return shown
}

func values(texts ...string) *Batch {
	var records []Record
	for index, text := range texts {
		records = append(records, Record{Key: []byte("k"), Value: []byte(text), Timestamp: int64(index)})
	}
	return BatchOf(records...)
}

func TestEveryPlaceOfANullIsReadBack(t *testing.T) {
	for length := range 18 {
		for null := range length + 1 {
			column, expected := NewColumn(0, 0), []string(nil)
			for index := range length {
				if index == null {
					column.Push(nil)
					expected = append(expected, "null")
				} else {
					column.Push([]byte(fmt.Sprint("item ", index)))
					expected = append(expected, fmt.Sprint("item ", index))
				}
			}
			if found := items(column); !reflect.DeepEqual(found, expected) {
				t.Fatalf("%d items, null at %d: %v", length, null, found)
			}
			if null == length && len(column.Validity) != 0 {
				t.Fatal("a column without nulls has no validity")
			}
		}
	}
}

func TestATruncatedColumnIsTheShorterColumn(t *testing.T) {
	given := func(items int) *Column {
		column := NewColumn(0, 0)
		for index := range items {
			if index%3 == 1 {
				column.Push(nil)
			} else {
				column.Push([]byte("abc"[:index%4]))
			}
		}
		return column
	}
	for length := 2; length <= 20; length++ {
		column := given(20)
		column.truncate(length)
		if !reflect.DeepEqual(column, given(length)) {
			t.Fatalf("%d: %v", length, column)
		}
		column.Push([]byte("next"))
		if string(column.Get(length)) != "next" {
			t.Fatalf("%d: what comes next is lost", length)
		}
	}
}

func TestAnEmptyItemIsNotNull(t *testing.T) {
	column := ColumnOf([]byte{}, nil)
	if column.Get(0) == nil || column.Get(1) != nil {
		t.Error(items(column))
	}
	for _, item := range []string{"ab", ""} {
		if cap(ColumnOf([]byte(item), []byte("cd")).Get(0)) != len(item) {
			t.Error("who appends to an item writes over the next")
		}
	}
}

func TestARefusedRecordHasItsBitAt0AndItsReason(t *testing.T) {
	kept := Keep(func(record Record) (bool, error) {
		text, err := record.Text()
		if text == "bad" {
			return true, Reject("it is bad")
		}
		return len(text) > 0, err
	}, values("a", "bad", "b", "", "\xff", "c", "d", "e", "f"))
	expected := []Rejection{{1, "it is bad"}, {4, "the value is not UTF-8"}}
	if !reflect.DeepEqual(kept, &Kept{[]byte{0b1110_0101, 1}, expected}) {
		t.Errorf("%+v", kept)
	}
	if _, err := (Record{}).Text(); err == nil || err.Error() != "the record has no value" {
		t.Error(err)
	}
	if empty := Keep(nil, values()); len(empty.Bits) != 0 {
		t.Error(empty)
	}
}

func TestWhatStaysIsNotSent(t *testing.T) {
	same := Apply(func(_ Record, out *Output) error { out.EmitSame(); return nil }, values("a", "b"))
	if !reflect.DeepEqual(same, &Columns{Taken: 2, Results: 2}) {
		t.Errorf("%+v", same)
	}
	// A value that comes again as it was, then one that differs: what was before is filled in.
	late := Apply(func(record Record, out *Output) error {
		if string(record.Value) == "b" {
			out.EmitValue([]byte("B"))
			out.EmitValue(nil)
		} else {
			out.Emit(record.Key, record.Value, record.Timestamp)
		}
		return nil
	}, values("a", "b", "c"))
	if found := items(late.Values); !reflect.DeepEqual(found, []string{"a", "B", "null", "c"}) {
		t.Error(found)
	}
	if late.Keys != nil || late.Timestamps != nil || !reflect.DeepEqual(late.Sources, []uint32{0, 1, 1, 2}) {
		t.Errorf("%+v", late)
	}
}

func TestNothingOfARefusedRecordStays(t *testing.T) {
	out := Apply(func(record Record, out *Output) error {
		out.Port(1)
		out.Emit([]byte("new"), []byte("new"), 7)
		out.AddHeader("a", nil)
		if string(record.Value) == "bad" {
			return errors.New("it is bad")
		}
		return nil
	}, values("bad", "a", "bad", "b"))
	if found := items(out.Keys); !reflect.DeepEqual(found, []string{"new", "new"}) {
		t.Error(found)
	}
	expected := []uint32{1, 3}
	if !reflect.DeepEqual(out.Sources, expected) || len(out.Rejected) != 2 || out.Rejected[1].Index != 2 {
		t.Errorf("%+v", out)
	}
	if !reflect.DeepEqual(out.Headers.Offsets, []uint32{0, 1, 2}) || !reflect.DeepEqual(out.Ports, []uint32{1, 1}) {
		t.Errorf("%+v", out)
	}
}

func TestARecordWithoutResultsIsLeftOut(t *testing.T) {
	out := Apply(func(record Record, out *Output) error {
		if len(record.Value) > 0 {
			out.EmitKey(record.Value)
		}
		return nil
	}, values("a", "", "b", ""))
	if !reflect.DeepEqual(out.Sources, []uint32{0, 2}) || out.Taken != 4 || len(out.Rejected) != 0 {
		t.Errorf("%+v", out)
	}
}

func TestHeadersAreAddedAndCleared(t *testing.T) {
	batch := values("a", "b")
	batch.Facts.WithHeaders([]Header{{"x", []byte("1")}, {"x", []byte("2")}}, nil)
	if found := string(batch.Record(0).Header("x")); found != "2" {
		t.Error(found)
	}
	out := Apply(func(record Record, out *Output) error {
		out.EmitSame()
		if string(record.Value) == "b" {
			out.AddHeader("y", []byte("3"))
		} else {
			out.EmitSame()
			out.ClearHeaders()
			out.AddHeader("z", nil)
		}
		return nil
	}, batch)
	var found []Header
	for index := range out.Results {
		found = append(found, out.Headers.of(index, nil)...)
	}
	expected := []Header{{"x", []byte("1")}, {"x", []byte("2")}, {"z", nil}, {"y", []byte("3")}}
	if !reflect.DeepEqual(found, expected) {
		t.Errorf("%v", found)
	}
}

func TestAMapperStopsWhenItsResultsAreLarge(t *testing.T) {
	resultBytesMax = 100
	defer func() { resultBytesMax = ResultBytesMax }()
	twice := func(record Record, out *Output) error {
		out.EmitValue([]byte(strings.Repeat("x", 60)))
		return nil
	}
	if out := Apply(twice, values("a", "b", "c", "d")); out.Taken != 2 || out.Values.Len() != 2 || out.Sources != nil {
		t.Errorf("%+v", out)
	}
}

func TestFactsBelongToTheirRecords(t *testing.T) {
	batch := values("a", "b")
	batch.Facts.WithWindows(Window{0, 10}, Window{10, 20})
	batch.Facts.WithInputs(1, 0)
	batch.Facts.WithStreamTimes(5, 15)
	second := batch.Record(1)
	if *second.Window() != (Window{10, 20}) || second.Input() != 0 || second.StreamTime() != 15 {
		t.Error(second.Window(), second.Input(), second.StreamTime())
	}
	for _, none := range []Record{{}, values("a").Record(0)} {
		if none.Window() != nil || none.Input() != 0 || none.StreamTime() != 0 || none.Headers() != nil {
			t.Errorf("%+v", none)
		}
	}
}

// lengths adds the lengths of values; the state is one byte; at 100 nothing is left.
type lengths struct{}

func (lengths) Start(Group) byte { return 0 }
func (lengths) Decode(bytes []byte) (byte, error) {
	if len(bytes) != 1 {
		return 0, errors.New("no byte")
	}
	return bytes[0], nil
}
func (lengths) Encode(state byte, into []byte) []byte { return append(into, state) }
func (lengths) Add(state byte, record Record) (byte, error) {
	if record.Value == nil {
		return 99, errors.New("no value")
	}
	return state + byte(len(record.Value)), nil
}
func (l lengths) Remove(state byte, record Record) (byte, error) {
	return state - byte(len(record.Value)), nil
}
func (lengths) Gone(state byte) bool { return state == 100 }
func (lengths) Finish(state byte, group Group) []byte {
	if state == 0 {
		return nil
	}
	return fmt.Appendf(nil, "%s:%d", group.Key, state)
}
func (lengths) Merge(left, right byte) (byte, error) { return left + right, nil }

func TestGroupsAreFolded(t *testing.T) {
	batch := BatchOf(Record{Value: []byte("ab")}, Record{}, Record{Value: []byte("c")})
	groups := &Groups{
		Keys:    *ColumnOf([]byte("a"), []byte("b"), []byte("c"), []byte("d")),
		States:  *ColumnOf([]byte{1}, []byte{7}, nil, []byte{98}),
		Starts:  []int64{0, 0, 0, 0},
		Ends:    []int64{5, 5, 5, 5},
		Offsets: []uint32{0, 3, 4, 5, 6}, Members: []uint32{0, 1, 2, 1, 1, 0},
	}
	folded, err := Add[byte](lengths{}, groups, batch)
	if found := items(folded.States); err != nil || !reflect.DeepEqual(found, []string{"\x04", "\x07", "null", "null"}) {
		t.Errorf("%q, %v", found, err)
	}
	if len(folded.Rejected) != 3 || folded.Rejected[0].Index != 1 || folded.Rejected[2].Index != 4 {
		t.Error(folded.Rejected)
	}
	scanned, err := Scan[byte](lengths{}, groups, batch)
	expected := []string{"a:3", "null", "a:4", "null", "null", "d:100"}
	if found := items(scanned.Values); err != nil || !reflect.DeepEqual(found, expected) {
		t.Error(found, err)
	}
	results, err := Finish[byte](lengths{}, groups)
	if found := items(results); err != nil || !reflect.DeepEqual(found, []string{"a:1", "b:7", "null", "d:98"}) {
		t.Error(found, err)
	}
	removed, err := Remove[byte](lengths{}, groups, values("a", "", "b"))
	if found := items(removed.States); err != nil || found[0] != "\xff" || found[1] != "\x07" {
		t.Errorf("%q, %v", found, err)
	}
	groups.States = *ColumnOf([]byte("no"), nil, nil, nil)
	if _, err := Add[byte](lengths{}, groups, batch); err == nil {
		t.Error("a state that cannot be read fails the call")
	}
}

func TestStatesAreMerged(t *testing.T) {
	one, two := []byte{1}, []byte{2}
	merged, err := Merge[byte](lengths{}, ColumnOf(one, nil, one, nil), ColumnOf(two, two, nil, nil))
	if found := items(merged); err != nil || !reflect.DeepEqual(found, []string{"\x03", "\x02", "\x01", "null"}) {
		t.Errorf("%q, %v", found, err)
	}
	if _, err := Merge[byte](lengths{}, ColumnOf(one), ColumnOf([]byte{})); err == nil {
		t.Error("a state that cannot be read fails the call")
	}
}

func TestEachPairHasAValueNoneOrAReason(t *testing.T) {
	joined := Join(func(pair Pair) ([]byte, error) {
		if pair.Left == nil {
			return []byte("forgotten"), errors.New("nothing on the left")
		}
		if pair.Right == nil {
			return nil, nil
		}
		return append(pair.Left, pair.Right...), nil
	}, ColumnOf([]byte("a"), []byte("b"), nil), ColumnOf([]byte("1"), []byte("2"), nil), ColumnOf([]byte("x"), nil, []byte("y")))
	if found := items(joined.Values); !reflect.DeepEqual(found, []string{"1x", "null", "null"}) {
		t.Error(found)
	}
	if !reflect.DeepEqual(joined.Rejected, []Rejection{{2, "nothing on the left"}}) {
		t.Error(joined.Rejected)
	}
}

func TestRoutes(t *testing.T) {
	by := func(record Record) (Route, error) {
		if len(record.Value) == 0 {
			return Route{"x", 9}, errors.New("an empty line")
		}
		return Route{strings.TrimSuffix(string(record.Value), "own"), uint32(len(record.Value))}, nil
	}
	routed := Direct(by, true, values("abc", "", "own"))
	if found := items(routed.Topics); !reflect.DeepEqual(found, []string{"abc", "null", "null"}) {
		t.Error(found)
	}
	if !reflect.DeepEqual(routed.Partitions, []uint32{3, 0, 3}) || len(routed.Rejected) != 1 {
		t.Errorf("%+v", routed)
	}
	if Direct(by, false, values("a")).Partitions != nil || Direct(by, true, values()).Partitions == nil {
		t.Error("who says partitions says them of all, and else of none")
	}
}

func TestASettingNobodyAsksForIsRefused(t *testing.T) {
	settings := SettingsOf("field", "a", "feild", "b")
	if err := settings.AllKnown(); err == nil || err.Error() != "it takes no settings, and `field` was given" {
		t.Error(err)
	}
	if value, err := settings.Required("field"); value != "a" || err != nil {
		t.Error(value, err)
	}
	if err := settings.AllKnown(); err == nil || err.Error() != "there is no setting `feild`; there are `field`" {
		t.Error(err)
	}
	if _, err := settings.Required("least"); err == nil || err.Error() != "the setting `least` is missing" {
		t.Error(err)
	}
	settings.Get("feild")
	if err := settings.AllKnown(); err != nil {
		t.Error(err)
	}
}

func TestTheLogIsAWriter(t *testing.T) {
	read, write, _ := os.Pipe()
	before := os.Stderr
	os.Stderr = write
	fmt.Fprintln(LogWriter(Warn), "a line")
	os.Stderr = before
	write.Close()
	line := make([]byte, 64)
	if length, _ := read.Read(line); string(line[:length]) != "warn: a line\n" {
		t.Errorf("%q", line[:length])
	}
}
