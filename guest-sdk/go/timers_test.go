package millstream

import (
	"reflect"
	"slices"
	"testing"
)

// ring tells what it is told, and starts over; `bad` is refused.
func ring(timer Timer, out *Output, call *Call) error {
	call.CancelTimer(timer.Clock, nil, "other")
	call.SetTimer(timer.Clock, timer.Key, timer.Name, timer.Due+1)
	if timer.Name == "bad" {
		return Reject("bad")
	}
	out.EmitSame()
	return nil
}

func TestTimersAreToldAndTheirResultsHaveValues(t *testing.T) {
	for _, clock := range []Clock{EventTime, WallClock} {
		host := TestHost{Timers: []Timer{{clock, nil, "other", 1}, {1 - clock, nil, "other", 1}}}
		due := BatchOf(at("a", "one", 7), at("b", "bad", 7), Record{Value: []byte("two"), Timestamp: 9})
		out := Fire(ring, clock, due, &host)
		if out.Taken != 3 || !reflect.DeepEqual(out.Sources, []uint32{0, 2}) || len(out.Rejected) != 1 || out.Rejected[0].Index != 1 {
			t.Errorf("%+v", out)
		}
		// The timer's own key and its due time; the value is given.
		if out.Keys != nil || out.Timestamps != nil || !reflect.DeepEqual(items(out.Values), []string{"one", "two"}) {
			t.Errorf("%+v", out)
		}
		set := []string{[]string{"event", "wall"}[clock] + ` "a" one 8`, []string{"event", "wall"}[clock] + " the task's two 10"}
		if found := shown(host.Timers); !slices.Equal(found[1:], set) || host.Timers[0].Clock == clock {
			t.Error(found)
		}
	}
	// Also where nothing leaves.
	if out := Fire(ring, EventTime, BatchOf(), &TestHost{}); out.Values == nil || out.Taken != 0 {
		t.Errorf("%+v", out)
	}
}

func TestResultsOfTimersHaveNoHeadersButTheirOwn(t *testing.T) {
	out := Fire(func(_ Timer, out *Output, _ *Call) error {
		out.EmitValue([]byte("x"))
		out.AddHeader("h", []byte("1"))
		return nil
	}, EventTime, BatchOf(at("a", "one", 7)), &TestHost{})
	if found := out.Headers.of(0, nil); !reflect.DeepEqual(found, []Header{{"h", []byte("1")}}) {
		t.Error(found)
	}
}

func TestATestHostFiresOneTimer(t *testing.T) {
	var host TestHost
	if results, err := host.Process(count, at("a", "x", 1)); err != nil || len(results) != 1 || string(results[0].Value) != "\x01" {
		t.Error(results, err)
	}
	results, err := host.Fire(ring, host.Timers[0])
	expected := []Result{{Key: []byte("a"), Value: []byte("end"), Timestamp: 6}}
	if err != nil || !reflect.DeepEqual(results, expected) || !slices.Equal(shown(host.Timers), []string{`event "a" end 7`}) {
		t.Errorf("%+v, %v, %v", results, err, host.Timers)
	}
	// One that does not set itself again is gone, also when it is refused.
	for _, refused := range []error{nil, Reject("no")} {
		host.Timers = []Timer{{EventTime, nil, "x", 1}}
		if _, err := host.Fire(func(Timer, *Output, *Call) error { return refused }, host.Timers[0]); err != refused || len(host.Timers) != 0 {
			t.Error(err, host.Timers)
		}
	}
	headers := Record{Value: []byte("v")}
	batch := BatchOf(headers)
	batch.Facts.WithHeaders([]Header{{"h", nil}})
	results, err = host.Process(func(_ Record, out *Output, _ *Call) error { out.EmitSame(); return nil }, batch.Record(0))
	if err != nil || !reflect.DeepEqual(results[0].Headers, []Header{{"h", nil}}) {
		t.Errorf("%+v, %v", results, err)
	}
}
