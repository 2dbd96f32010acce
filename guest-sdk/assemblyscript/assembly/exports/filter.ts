//! Exports `filter`, by what was given to `filter()`.

import { answer, filterOf } from "../index";
import { Batch, Record } from "../record";
import { Column, Rejections } from "../columns";
import { alloc, endCall } from "../memory";

export { cabi_realloc } from "../memory";

export function ms__filter__keep(
  ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize,
  vo: usize, vol: usize, vd: usize, vdl: usize, vv: usize, vvl: usize,
  timestamps: usize, length: i32,
): usize {
  const records = new Batch(Column.make(ko, kol, kd, kdl, kv, kvl), Column.make(vo, vol, vd, vdl, vv, vvl), timestamps, length);
  const keep = filterOf!;
  const record = records.record();
  const rejected = Rejections.make();
  const size = (length + 7) >> 3;
  const bits = alloc(size);
  memory.fill(bits, 0, size);
  for (let i = 0; i < length; i++) {
    records.read(i, record);
    const kept = keep(record);
    const reason = record.reason;
    const place = bits + (i >> 3);
    if (reason) rejected.push(i, reason);
    else store<u8>(place, load<u8>(place) | <u8>(<i32>kept << (i & 7)));
  }
  const at = answer(20);
  store<usize>(at, bits, 4);
  store<usize>(at, size, 8);
  rejected.done(at + 12);
  return at;
}

export function ms_post__filter__keep(_: usize): void {
  endCall();
}
