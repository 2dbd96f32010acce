// Tells of keys that have fallen silent: no record of a key for thirty seconds of event time gives an alarm, and the first
// record after one gives how long the silence was. A record without a key is refused.
package main

import (
	"encoding/binary"
	"slices"
	"strconv"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/ontimer"
	"millstream.example/millstream/guest-sdk/go/processor"
)

// silence is how long a key may be silent, milliseconds.
const silence = 30_000

// last is the store with what each key said last: eight bytes of time, little-endian; 1 when there was an alarm about it, else
// 0; the value.
const (
	last    = "last"
	alarmed = 8
	value   = 9
)

// The output of alarms, and that of keys that are heard of again.
const (
	alarm = iota
	again
)

// heard notes what a key says and starts its thirty seconds anew.
func heard(record millstream.Record, out *millstream.Output, call *millstream.Call) error {
	if record.Key == nil {
		return millstream.Reject("a record without a key belongs to nobody")
	}
	store := call.Store(last)
	if held := store.Get(record.Key); held != nil {
		time := int64(binary.LittleEndian.Uint64(held))
		if held[alarmed] == 1 && record.Timestamp > time {
			out.Port(again)
			out.EmitValue(strconv.AppendInt(nil, record.Timestamp-time, 10))
		}
		// One that comes out of order is older than what is known.
		if record.Timestamp < time {
			return nil
		}
	}
	held := binary.LittleEndian.AppendUint64(make([]byte, 0, value+len(record.Value)), uint64(record.Timestamp))
	store.Put(record.Key, append(append(held, 0), record.Value...))
	call.SetTimer(millstream.EventTime, record.Key, "silent", record.Timestamp+silence)
	return nil
}

// silent: a key was silent for thirty seconds.
func silent(timer millstream.Timer, out *millstream.Output, call *millstream.Call) error {
	if timer.Key == nil {
		return nil
	}
	store := call.Store(last)
	held := slices.Clone(store.Get(timer.Key))
	if held == nil {
		return nil
	}
	held[alarmed] = 1
	store.Put(timer.Key, held)
	out.Port(alarm)
	out.EmitValue(held[value:])
	return nil
}

func init() {
	processor.Export(heard)
	ontimer.Export(silent)
}

func main() {}
