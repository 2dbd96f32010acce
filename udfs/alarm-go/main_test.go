package main

import (
	"testing"

	millstream "millstream.example/millstream/guest-sdk/go"
)

// result is the only one, and at which output.
func result(t *testing.T, results []millstream.Result, err error) (string, int) {
	t.Helper()
	if err != nil || len(results) != 1 || string(results[0].Key) != "k" {
		t.Fatal(results, err)
	}
	return string(results[0].Value), results[0].Port
}

func TestSilenceGivesAnAlarmAndItsEndIsTold(t *testing.T) {
	var host millstream.TestHost
	say := func(value string, time int64) ([]millstream.Result, error) {
		return host.Process(heard, millstream.Record{Key: []byte("k"), Value: []byte(value), Timestamp: time})
	}
	next := func() int64 {
		if len(host.Timers) != 1 || host.Timers[0].Name != "silent" || host.Timers[0].Clock != millstream.EventTime {
			t.Fatal(host.Timers)
		}
		return host.Timers[0].Due
	}
	for index, value := range []string{"a", "b", "older"} {
		if results, err := say(value, []int64{1_000, 5_000, 2_000}[index]); len(results) != 0 || err != nil {
			t.Error(value, results, err)
		}
	}
	if due := next(); due != 35_000 {
		t.Error(due)
	}
	alarms, err := host.Fire(silent, host.Timers[0])
	if value, port := result(t, alarms, err); value != "b" || port != alarm || alarms[0].Timestamp != 35_000 {
		t.Error(value, port, alarms[0].Timestamp)
	}
	if held := string(host.Stores[last]["k"]); held != "\x88\x13\x00\x00\x00\x00\x00\x00\x01b" {
		t.Errorf("%q", held)
	}
	results, err := say("c", 45_000)
	if value, port := result(t, results, err); value != "40000" || port != again {
		t.Error(value, port)
	}
	if results, err := say("d", 46_000); len(results) != 0 || err != nil {
		t.Error(results, err)
	}
	if held := string(host.Stores[last]["k"]); held != "\xb0\xb3\x00\x00\x00\x00\x00\x00\x00d" {
		t.Errorf("%q", held)
	}
	if due := next(); due != 76_000 {
		t.Error(due)
	}
}

func TestARecordWithoutAKeyIsRefused(t *testing.T) {
	var host millstream.TestHost
	_, err := host.Process(heard, millstream.Record{Value: []byte("x")})
	if err == nil || err.Error() != "a record without a key belongs to nobody" || host.Asked != 0 {
		t.Error(err, host)
	}
}

func TestATimerOfNobodyGivesNothing(t *testing.T) {
	var host millstream.TestHost
	for _, key := range [][]byte{[]byte("unheard"), nil} {
		results, err := host.Fire(silent, millstream.Timer{Key: key, Name: "silent", Due: 5})
		if len(results) != 0 || err != nil || len(host.Stores[last]) != 0 {
			t.Error(results, err, host.Stores)
		}
	}
}
