package millstream

import "math"

// Clock is what time a timer goes by: the contract's `clock`.
type Clock uint8

const (
	// EventTime is the step's stream time; behind a repartition topic the smallest of its upstream tasks'.
	EventTime Clock = iota
	// WallClock is the host's.
	WallClock
)

// Processor handles a record with the stores and timers of call, and writes its results into out. On an error the record is
// refused: nothing of what was stored, set and written for it stays.
type Processor func(record Record, out *Output, call *Call) error

// Timer is a timer of a step. There is one for each clock, key and name.
type Timer struct {
	Clock Clock
	// Key: nil when it is the task's; its bytes are the function's until it returns.
	Key  []byte
	Name string
	// Due is the time for which it was set, milliseconds since 1970-01-01T00:00:00Z.
	Due int64
}

// OnTimer handles a timer that is due, which is gone unless it is set again. Results have the timer's key and its due time
// unless they are given others, and no headers; where a mapper's result would keep the value, it is the timer's name. On an
// error the timer is refused: nothing of what was stored, set and written for it stays, and it is gone.
type OnTimer func(timer Timer, out *Output, call *Call) error

// Process handles records until they are all dealt with, a timer that was set is due before the next one, or the call has
// ResultBytesMax bytes. What was stored and set goes to the host at its end.
func Process(processor Processor, records *Batch, host Host) *Columns {
	call := Call{host: host}
	out := Output{records: records}
	newest := int64(math.MinInt64)
	return call.run(&out, func(index int) (forNext bool, err error) {
		newest = max(newest, records.Timestamps[index])
		// A timer that is due before this record has to fire before it.
		if call.hasEarliest && call.earliest <= newest {
			return true, nil
		}
		return false, processor(records.Record(index), &out, &call)
	})
}

// Fire handles timers of one clock; due has their keys, their names as values, their times.
func Fire(onTimer OnTimer, clock Clock, due *Batch, host Host) *Columns {
	call := Call{host: host}
	// Values are given in any case, and of headers there are none to ask for.
	out := Output{records: due, Columns: Columns{Values: NewColumn(due.Len(), 0)}}
	due.Facts.hasHeaders = true
	return call.run(&out, func(index int) (forNext bool, err error) {
		timer := Timer{clock, due.Keys.Get(index), string(due.Values.Get(index)), due.Timestamps[index]}
		return false, onTimer(timer, &out, &call)
	})
}

// run has each handle a record or a timer, until one is for the next call.
func (c *Call) run(out *Output, each func(index int) (forNext bool, err error)) *Columns {
	taken := 0
	for taken < out.records.Len() && out.bytes()+c.bytes < resultBytesMax {
		results := out.begin(taken)
		c.begin()
		forNext, err := each(taken)
		if forNext {
			break
		}
		if err != nil {
			out.refuse(results, err)
			c.forget()
		}
		taken++
	}
	c.flush()
	return out.done(taken)
}
