package millstream

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func at(key, value string, timestamp int64) Record {
	return Record{Key: []byte(key), Value: []byte(value), Timestamp: timestamp}
}

// shown is a line for each timer that is set, in the order of firing.
func shown(timers []Timer) []string {
	var lines []string
	for _, timer := range timers {
		key := "the task's"
		if timer.Key != nil {
			key = fmt.Sprintf("%q", timer.Key)
		}
		lines = append(lines, fmt.Sprint([]string{"event", "wall"}[timer.Clock], " ", key, " ", timer.Name, " ", timer.Due))
	}
	return lines
}

// count counts by key, with a timer five later; `no` is refused behind everything else.
func count(record Record, out *Output, call *Call) error {
	counts, before := call.Store("counts"), byte(0)
	if held := counts.Get(record.Key); held != nil {
		before = held[0]
	}
	counts.Put(record.Key, []byte{before + 1})
	call.SetTimer(EventTime, record.Key, "end", record.Timestamp+5)
	out.EmitValue(call.Store("counts").Get(record.Key))
	if string(record.Value) == "no" {
		return Reject("it says no")
	}
	return nil
}

func TestRecordsSeeWhatThoseBeforeWroteAndNothingOfThoseRefused(t *testing.T) {
	var host TestHost
	out := Process(count, BatchOf(at("a", "x", 1), at("b", "x", 2), at("a", "no", 3), at("c", "no", 3), at("a", "x", 3)), &host)
	if out.Taken != 5 || !reflect.DeepEqual(out.Sources, []uint32{0, 1, 4}) {
		t.Errorf("%+v", out)
	}
	if found := items(out.Values); !reflect.DeepEqual(found, []string{"\x01", "\x01", "\x02"}) {
		t.Errorf("%q", found)
	}
	if !reflect.DeepEqual(out.Rejected, []Rejection{{2, "it says no"}, {3, "it says no"}}) {
		t.Error(out.Rejected)
	}
	if !reflect.DeepEqual(host.Stores["counts"], map[string][]byte{"a": {2}, "b": {1}}) {
		t.Error(host.Stores)
	}
	if found := shown(host.Timers); !reflect.DeepEqual(found, []string{`event "b" end 7`, `event "a" end 8`}) {
		t.Error(found)
	}
	// A question for each key, one put, one for the timers.
	if host.Asked != 3+1+1 {
		t.Error(host.Asked)
	}
}

func TestACallEndsBeforeARecordAtWhichItsTimerIsDue(t *testing.T) {
	for _, one := range []struct {
		times []int64
		taken uint32
	}{
		{[]int64{1, 5, 9}, 2},
		{[]int64{1, 6, 9}, 1},
		{[]int64{1, 3, 5, 2}, 4},
		// The second sets one for a time that has passed: 9 was seen before.
		{[]int64{9, 1, 2}, 2},
	} {
		var records []Record
		for _, time := range one.times {
			records = append(records, at("a", "x", time))
		}
		if out := Process(count, BatchOf(records...), &TestHost{}); out.Taken != one.taken {
			t.Error(one, out.Taken)
		}
	}
	if out := Process(count, BatchOf(at("a", "no", 1), at("a", "x", 6)), &TestHost{}); out.Taken != 2 {
		t.Error("one that was refused has set no timer")
	}
	byWallClock := func(record Record, out *Output, call *Call) error {
		call.SetTimer(WallClock, nil, "x", 0)
		return nil
	}
	if out := Process(byWallClock, BatchOf(at("a", "", 1), at("a", "", math.MaxInt64)), &TestHost{}); out.Taken != 2 {
		t.Error("no record moves the wall clock")
	}
}

func TestARangeHasWhatWasWrittenSoFar(t *testing.T) {
	// Writes before it lists, and after.
	list := func(record Record, out *Output, call *Call) error {
		store := call.Store("s")
		store.Put(record.Value, []byte("1"))
		var keys []byte
		for _, entry := range store.Range([]byte("b"), nil, 2) {
			keys = append(append(keys, entry.Key...), entry.Value...)
		}
		store.Remove([]byte("b"))
		out.EmitValue(keys)
		return nil
	}
	var host TestHost
	out := Process(list, BatchOf(at("", "c", 1), at("", "a", 1), at("", "b", 1), at("", "d", 1)), &host)
	if found := items(out.Values); !reflect.DeepEqual(found, []string{"c1", "c1", "b1c1", "c1d1"}) {
		t.Error(found)
	}
	one := []byte("1")
	if !reflect.DeepEqual(host.Stores["s"], map[string][]byte{"a": one, "c": one, "d": one}) {
		t.Error(host.Stores)
	}
	for limit, expected := range map[uint32][]string{0: nil, 1: {"a"}, 9: {"a", "c"}} {
		var found []string
		Process(func(_ Record, _ *Output, call *Call) error {
			for _, entry := range call.Store("s").Range(nil, []byte("d"), limit) {
				found = append(found, string(entry.Key))
			}
			return nil
		}, BatchOf(Record{}), &host)
		if !reflect.DeepEqual(found, expected) {
			t.Error(limit, found)
		}
	}
}

func TestTheHostIsAskedForAKeyOnceAndGivenAWriteOnce(t *testing.T) {
	twice := func(_ Record, _ *Output, call *Call) error {
		for range 2 {
			call.Store("s").Get([]byte("none"))
		}
		call.Store("s").Put([]byte("k"), []byte("v"))
		for range 2 {
			call.Store("s").Range(nil, nil, 1)
		}
		call.Store("s").Get([]byte("k"))
		return nil
	}
	var host TestHost
	Process(twice, BatchOf(Record{}), &host)
	if host.Asked != 1+1+2 {
		t.Error(host.Asked)
	}
}

func TestStoresAreApart(t *testing.T) {
	var host TestHost
	_, err := host.Process(func(_ Record, _ *Output, call *Call) error {
		call.Store("one").Put([]byte("k"), []byte("1"))
		call.Store("two").Put([]byte("k"), []byte("2"))
		if held := call.Store("one").Get([]byte("k")); string(held) != "1" {
			return Reject(string(held))
		}
		return nil
	}, Record{})
	if err != nil || string(host.Stores["one"]["k"]) != "1" || string(host.Stores["two"]["k"]) != "2" {
		t.Error(err, host.Stores)
	}
}

func TestChangesOfTimersComeInTheirOrderAlikeOnesTogether(t *testing.T) {
	several := func(_ Record, _ *Output, call *Call) error {
		k := []byte("k")
		call.SetTimer(EventTime, k, "x", 10)
		call.SetTimer(EventTime, k, "y", 11)
		call.CancelTimer(EventTime, k, "y")
		call.SetTimer(WallClock, k, "y", 12)
		call.SetTimer(WallClock, nil, "y", 13)
		call.SetTimer(EventTime, nil, "y", 14)
		call.SetTimer(EventTime, []byte{}, "y", 15)
		call.SetTimer(EventTime, nil, "y", 15)
		call.SetTimer(EventTime, []byte{}, "y", 15)
		return nil
	}
	var host TestHost
	Process(several, BatchOf(Record{}), &host)
	expected := []string{`event "k" x 10`, `wall "k" y 12`, `wall the task's y 13`, `event the task's y 15`, `event "" y 15`}
	if found := shown(host.Timers); host.Asked != 5 || !reflect.DeepEqual(found, expected) {
		t.Error(host.Asked, found)
	}
}

func TestWhatIsRefusedLeavesTheLastThatWasNot(t *testing.T) {
	// Writes over and over, then refuses; `sent` after the host has seen it all.
	rewrite := func(record Record, out *Output, call *Call) error {
		store, k := call.Store("s"), []byte("k")
		if record.Key != nil {
			store.Put(k, record.Value)
			call.SetTimer(WallClock, nil, "kept", record.Timestamp)
			return nil
		}
		store.Remove(k)
		store.Put(k, []byte("lost"))
		store.Put([]byte("new"), []byte("lost"))
		call.SetTimer(WallClock, nil, "lost", 1)
		if string(record.Value) == "sent" {
			store.Range(nil, nil, 9)
		}
		return errors.New("no")
	}
	lost, sent := Record{Value: []byte("lost")}, Record{Value: []byte("sent")}
	var host TestHost
	if out := Process(rewrite, BatchOf(at("", "kept", 3), lost, lost), &host); len(out.Rejected) != 2 {
		t.Error(out.Rejected)
	}
	kept := map[string][]byte{"k": []byte("kept")}
	if found := shown(host.Timers); !reflect.DeepEqual(host.Stores["s"], kept) || !reflect.DeepEqual(found, []string{"wall the task's kept 3"}) {
		t.Error(host.Stores, found)
	}
	// What a range has sent goes once more as it was. The host forgets the call, what is new in it too.
	host = TestHost{}
	Process(rewrite, BatchOf(at("", "kept", 3), sent), &host)
	if string(host.Stores["s"]["k"]) != "kept" {
		t.Error(host.Stores)
	}
	host = TestHost{}
	if _, err := host.Process(rewrite, at("", "kept", 3)); err != nil {
		t.Error(err)
	}
	_, err := host.Process(rewrite, sent)
	if found := shown(host.Timers); err == nil || !reflect.DeepEqual(host.Stores["s"], kept) || len(found) != 1 {
		t.Error(err, host.Stores, found)
	}
}

func TestNullsAreNotEmpty(t *testing.T) {
	pass := func(record Record, out *Output, call *Call) error {
		store := call.Store("s")
		if record.Key == nil {
			out.EmitValue(nil)
			return nil
		}
		out.EmitValue(store.Get(record.Key))
		store.Put(record.Key, record.Value)
		return nil
	}
	host := TestHost{Stores: map[string]map[string][]byte{"s": {"gone": []byte("x"), "empty": []byte("x")}}}
	records := []Record{{Value: []byte("x")}, at("", "", 0), at("", "x", 0), at("empty", "", 0), {Key: []byte("gone")}, at("gone", "", 0)}
	out := Process(pass, BatchOf(records...), &host)
	if found := items(out.Values); !reflect.DeepEqual(found, []string{"null", "null", "", "x", "x", "null"}) {
		t.Errorf("%q", found)
	}
	if !reflect.DeepEqual(host.Stores["s"], map[string][]byte{"": []byte("x"), "empty": {}, "gone": {}}) {
		t.Error(host.Stores)
	}
	if _, err := host.Process(pass, Record{Key: []byte("gone")}); err != nil || host.Stores["s"]["gone"] != nil {
		t.Error(err, host.Stores)
	}
	for name, ask := range map[string]func(*Store){
		"get":    func(store *Store) { store.Get(nil) },
		"put":    func(store *Store) { store.Put(nil, []byte("x")) },
		"remove": func(store *Store) { store.Remove(nil) },
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, "a key of a store is nil") {
					t.Error(name, said)
				}
			}()
			Process(func(_ Record, _ *Output, call *Call) error { ask(call.Store("s")); return nil }, BatchOf(Record{}), &TestHost{})
		}()
	}
}

func TestWhatIsStoredAndSetIsCopied(t *testing.T) {
	shared := make([]byte, 1)
	reuse := func(record Record, _ *Output, call *Call) error {
		copy(shared, record.Value)
		call.Store("s").Put(shared, shared)
		call.SetTimer(WallClock, shared, "x", 1)
		copy(shared, "!")
		if held := call.Store("s").Get(record.Value); cap(held) != len(held) {
			return Reject("who appends to a value writes over the next")
		}
		return nil
	}
	var host TestHost
	out := Process(reuse, values("a", "b"), &host)
	if !reflect.DeepEqual(host.Stores["s"], map[string][]byte{"a": []byte("a"), "b": []byte("b")}) || len(out.Rejected) != 0 {
		t.Error(host.Stores, out.Rejected)
	}
	if found := shown(host.Timers); !reflect.DeepEqual(found, []string{`wall "a" x 1`, `wall "b" x 1`}) {
		t.Error(found)
	}
}

func TestACallEndsWhereItIsLarge(t *testing.T) {
	resultBytesMax = 1000
	defer func() { resultBytesMax = ResultBytesMax }()
	large := bytes.Repeat([]byte("x"), 600)
	for name, each := range map[string]Processor{
		"results": func(_ Record, out *Output, _ *Call) error { out.EmitValue(large); return nil },
		"writes":  func(record Record, _ *Output, call *Call) error { call.Store("s").Put(record.Value, large); return nil },
		"reads":   func(record Record, _ *Output, call *Call) error { call.Store("large").Get(record.Value); return nil },
		"ranges": func(_ Record, _ *Output, call *Call) error {
			call.Store("large").Range([]byte("b"), nil, 9)
			return nil
		},
		"timers": func(_ Record, _ *Output, call *Call) error { call.SetTimer(WallClock, large, "x", 1); return nil },
	} {
		host := TestHost{Stores: map[string]map[string][]byte{"large": {"a": large, "b": large}}}
		if out := Process(each, values("a", "b", "c"), &host); out.Taken != 2 {
			t.Error(name, out.Taken)
		}
	}
}

func TestResultsGoToNamedOutputs(t *testing.T) {
	sort := func(record Record, out *Output, _ *Call) error {
		out.Port(len(record.Value))
		out.EmitSame()
		if len(record.Value) == 2 {
			out.Port(0)
			out.Emit([]byte("new"), record.Value, 7)
		}
		return nil
	}
	out := Process(sort, values("a", "bb", ""), &TestHost{})
	if !reflect.DeepEqual(out.Ports, []uint32{1, 2, 0, 0}) || !reflect.DeepEqual(out.Sources, []uint32{0, 1, 1, 2}) {
		t.Errorf("%+v", out)
	}
	if out.Values != nil || !reflect.DeepEqual(out.Timestamps, []int64{0, 1, 7, 2}) {
		t.Errorf("%+v", out)
	}
	// The first that goes elsewhere comes behind more results than there are records.
	late := Process(func(_ Record, out *Output, _ *Call) error {
		for port := range 4 {
			out.Port(port / 3)
			out.EmitSame()
		}
		return nil
	}, values("a"), &TestHost{}).Ports
	if !reflect.DeepEqual(late, []uint32{0, 0, 0, 1}) {
		t.Error(late)
	}
	// The port of one is not that of the next.
	ports := Process(func(record Record, out *Output, _ *Call) error {
		out.EmitSame()
		out.Port(1)
		return nil
	}, values("a", "b"), &TestHost{}).Ports
	if ports != nil {
		t.Error(ports)
	}
}
