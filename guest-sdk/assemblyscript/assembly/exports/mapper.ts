//! Exports `mapper`, by what was given to `mapper()`.

import { answer, mapperOf } from "../index";
import { Output } from "../output";
import { Batch, Record } from "../record";
import { Buffer, Column, ColumnOut, Rejections } from "../columns";
import { endCall } from "../memory";

export { cabi_realloc } from "../memory";

/** Result bytes of one call after which it stops early; the host asks again with the rest of the records. */
const RESULT_BYTES_MAX: usize = 8 << 20;

export function ms__mapper__apply(
  ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize,
  vo: usize, vol: usize, vd: usize, vdl: usize, vv: usize, vvl: usize,
  timestamps: usize, length: i32,
): usize {
  const records = new Batch(Column.make(ko, kol, kd, kdl, kv, kvl), Column.make(vo, vol, vd, vdl, vv, vvl), timestamps, length);
  const apply = mapperOf!;
  const record = records.record();
  const out = new Output(records, record);
  const rejected = Rejections.make();
  let taken = 0;
  for (; taken < length && out.bytes() < RESULT_BYTES_MAX; taken++) {
    records.read(taken, record);
    const before = out.results;
    out.index = taken;
    out.port = 0;
    apply(record, out);
    const reason = record.reason;
    if (reason) {
      out.forget(before);
      rejected.push(taken, reason);
    }
  }
  if (!out.sources && (rejected.length || out.results != taken)) out.openSources();
  // The error's place, then `output`: taken, and each part behind a byte that says whether it is there.
  const at = answer(168);
  store<u32>(at, taken, 4);
  numbers(at + 8, out.sources, out.results);
  numbers(at + 20, out.ports, out.results);
  column(at + 32, out.keys);
  column(at + 60, out.values);
  numbers(at + 88, out.timestamps, out.results);
  const headers = out.headers;
  if (headers) {
    store<u8>(at, 1, 100);
    headers.done(at + 104);
  }
  rejected.done(at + 160);
  return at;
}

function numbers(at: usize, made: Buffer | null, length: i32): void {
  if (!made) return;
  store<u8>(at, 1);
  store<usize>(at, made.at, 4);
  store<usize>(at, length, 8);
}

function column(at: usize, made: ColumnOut | null): void {
  if (!made) return;
  store<u8>(at, 1);
  made.done(at + 4);
}

export function ms_post__mapper__apply(_: usize): void {
  endCall();
}
