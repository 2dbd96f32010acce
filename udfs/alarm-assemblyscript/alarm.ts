//! Tells of keys that have fallen silent: no record of a key for thirty seconds of event time gives an alarm, and the first record
//! after one gives how long the silence was. A record without a key is refused.

import { Buffer, Bytes, Call, Clock, Output, Record, Timer, onTimer, processor } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/processor";
export * from "millstream-assemblyscript/assembly/exports/on-timer";

/** How long a key may be silent, milliseconds. */
const SILENCE_MS: i64 = 30_000;

/**
 * The store with what each key said last: eight bytes of time, the low one first; 1 when there was an alarm about it, else 0; the
 * value.
 */
const LAST = "last";

/** The output of alarms, and that of keys that are heard of again. */
const ALARM = 0;
const AGAIN = 1;

function entry(time: i64, alarmed: u8, value: Bytes): Bytes {
  const held = Buffer.make(9 + value.length);
  held.push<i64>(time);
  held.push<u8>(alarmed);
  held.pushBytes(value);
  return held.bytes();
}

// Notes what a key says and starts its thirty seconds anew.
processor((record: Record, out: Output, call: Call): void => {
  const key = record.key;
  if (key.isNull) return record.reject("a record without a key belongs to nobody");
  const last = call.store(LAST);
  const held = last.get(key);
  if (!held.isNull) {
    const time = <i64>held.u64();
    if (held[8] && record.timestamp > time) {
      out.to(AGAIN);
      out.emitValue(Bytes.of((record.timestamp - time).toString()));
    }
    // One that comes out of order is older than what is known.
    if (record.timestamp < time) return;
  }
  last.put(key, entry(record.timestamp, 0, record.value));
  call.setTimer(Clock.EventTime, key, "silent", record.timestamp + SILENCE_MS);
});

// A key was silent for thirty seconds.
onTimer((timer: Timer, out: Output, call: Call): void => {
  const last = call.store(LAST);
  const held = last.get(timer.key);
  if (held.isNull) return;
  const value = held.slice(9);
  last.put(timer.key, entry(<i64>held.u64(), 1, value));
  out.to(ALARM);
  out.emitValue(value);
});
