//! Exports `mapper`, by what was given to `mapper()`.

import { mapperOf } from "../index";
import { Output, RESULT_BYTES_MAX, answerOf } from "../output";
import { Batch, Record } from "../record";
import { Column, Rejections } from "../columns";
import { endCall } from "../memory";

export { cabi_realloc } from "../memory";

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
  return answerOf(out, taken, rejected);
}

export function ms_post__mapper__apply(_: usize): void {
  endCall();
}
