//! Stores and timers as the host has them. Not for functions, which have what processor.ts makes of them.

import { Bytes } from "./bytes";
import { Buffer, Column, ColumnOut } from "./columns";
import { alloc } from "./memory";

@external("millstream:udf/state@0.1.0", "[static]store.open")
declare function open(name: usize, size: usize, into: usize): void;
@external("millstream:udf/state@0.1.0", "[method]store.get")
declare function getFrom(store: i32, ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize, into: usize): void;
@external("millstream:udf/state@0.1.0", "[method]store.put")
declare function putInto(
  store: i32, ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize,
  vo: usize, vol: usize, vd: usize, vdl: usize, vv: usize, vvl: usize,
): void;
@external("millstream:udf/state@0.1.0", "[method]store.range")
declare function rangeOf(store: i32, start: usize, startSize: usize, end: usize, endSize: usize, limit: u32, into: usize): void;
@external("millstream:udf/timers@0.1.0", "set")
declare function setTimers(
  clock: i32, ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize, name: usize, size: usize, due: usize, dueLen: usize,
): void;
@external("millstream:udf/timers@0.1.0", "cancel")
declare function cancelTimers(
  clock: i32, ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize, name: usize, size: usize,
): void;

/** What time a timer goes by: the step's stream time, or the host's wall clock. */
export enum Clock {
  EventTime,
  WallClock,
}

/** A store that was opened, for as long as the instance lives. */
export class Handle {
  constructor(public name: string, private handle: i32) {}

  static open(name: string): Handle {
    const text = Buffer.make(0);
    text.pushText(name);
    const at = alloc(12);
    open(text.at, text.size, at);
    if (load<u8>(at)) throw new Error(String.UTF8.decodeUnsafe(load<usize>(at, 4), load<usize>(at, 8)));
    return new Handle(name, load<i32>(at, 4));
  }

  /** Borrowed from the call. */
  get(key: Bytes): Bytes {
    const keys = ColumnOut.make(1, key.length);
    keys.push(key);
    const k = keys.column();
    const at = alloc(offsetof<Column>());
    getFrom(this.handle, k.offsets, k.offsetsLen, k.data, k.dataLen, k.validity, k.validityLen, at);
    const value = new Bytes();
    changetype<Column>(at).read(0, value);
    return value;
  }

  put(keys: ColumnOut, values: ColumnOut): void {
    const k = keys.column();
    const v = values.column();
    putInto(
      this.handle, k.offsets, k.offsetsLen, k.data, k.dataLen, k.validity, k.validityLen,
      v.offsets, v.offsetsLen, v.data, v.dataLen, v.validity, v.validityLen,
    );
  }

  /** A place: keys, then values. */
  range(start: Bytes, end: Bytes, limit: u32): usize {
    const at = alloc(2 * offsetof<Column>());
    rangeOf(this.handle, start.at, start.length, end.at, end.length, limit, at);
    return at;
  }
}

/** Sets timers of one name, or cancels them where there are no times. */
export function time(clock: Clock, keys: ColumnOut, name: string, due: Buffer | null): void {
  const k = keys.column();
  const text = Buffer.make(0);
  text.pushText(name);
  if (due) {
    setTimers(
      clock, k.offsets, k.offsetsLen, k.data, k.dataLen, k.validity, k.validityLen, text.at, text.size, due.at, due.size >> 3,
    );
  } else {
    cancelTimers(clock, k.offsets, k.offsetsLen, k.data, k.dataLen, k.validity, k.validityLen, text.at, text.size);
  }
}
