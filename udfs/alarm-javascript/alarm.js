// Tells of keys that have fallen silent: no record of a key for thirty seconds of event time gives an alarm, and the first record after
// one gives how long the silence was. A record without a key is refused.

import { onTimer, processor, Reject } from "millstream-sdk";

/** How long a key may be silent, milliseconds. */
const SILENCE_MS = 30_000;

/** The store with what each key said last: eight bytes of time, little-endian; 1 when there was an alarm about it, else 0; the value. */
const LAST = "last";
const HEAD_BYTES = 9;

/** The output of alarms, and that of keys that are heard of again. */
const ALARM = 0;
const AGAIN = 1;

function written(time, alarmed, value) {
  const held = new Uint8Array(HEAD_BYTES + value.length);
  const view = new DataView(held.buffer);
  view.setBigInt64(0, BigInt(time), true);
  view.setUint8(8, alarmed ? 1 : 0);
  held.set(value, HEAD_BYTES);
  return held;
}

function read(held) {
  const view = new DataView(held.buffer, held.byteOffset, held.length);
  return { time: Number(view.getBigInt64(0, true)), alarmed: view.getUint8(8) === 1, value: held.subarray(HEAD_BYTES) };
}

/** Notes what a key says and starts its thirty seconds anew. */
export function* heard({ key, value, timestamp }, call) {
  if (key === null) throw new Reject("a record without a key belongs to nobody");
  const last = call.store(LAST);
  const held = last.get(key);
  const before = held && read(held);
  if (before?.alarmed && timestamp > before.time) yield { value: String(timestamp - before.time), output: AGAIN };
  // One that comes out of order is older than what is known.
  if (before && timestamp < before.time) return;
  last.put(key, written(timestamp, false, value ?? new Uint8Array()));
  call.setTimer("event-time", key, "silent", timestamp + SILENCE_MS);
}

/** A key was silent for thirty seconds. */
export function silent({ key }, call) {
  const last = call.store(LAST);
  const held = last.get(key ?? "");
  if (held === null) return null;
  const { time, value } = read(held);
  last.put(key ?? "", written(time, true, value));
  return { value, output: ALARM };
}

processor(heard);
onTimer(silent);
