//! Exports `processor`, by what was given to `processor()`.

import { processorOf } from "../index";
import { Column, Rejections } from "../columns";
import { endCall } from "../memory";
import { Output, RESULT_BYTES_MAX, answerOf } from "../output";
import { Call } from "../processor";
import { Batch } from "../record";

export { cabi_realloc } from "../memory";

export function ms__processor__process(
  ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize,
  vo: usize, vol: usize, vd: usize, vdl: usize, vv: usize, vvl: usize,
  timestamps: usize, length: i32,
): usize {
  const records = new Batch(Column.make(ko, kol, kd, kdl, kv, kvl), Column.make(vo, vol, vd, vdl, vv, vvl), timestamps, length);
  const process = processorOf!;
  const record = records.record();
  const out = new Output(records, record);
  const call = new Call();
  const rejected = Rejections.make();
  let taken = 0;
  for (; taken < length && out.bytes() < RESULT_BYTES_MAX; taken++) {
    records.read(taken, record);
    if (call.isForNext(record.timestamp)) break;
    const before = out.results;
    out.index = taken;
    out.port = 0;
    call.begin();
    process(record, out, call);
    const reason = record.reason;
    if (!reason) continue;
    out.forget(before);
    call.forget();
    rejected.push(taken, reason);
  }
  call.flush();
  return answerOf(out, taken, rejected);
}

export function ms_post__processor__process(_: usize): void {
  endCall();
}
