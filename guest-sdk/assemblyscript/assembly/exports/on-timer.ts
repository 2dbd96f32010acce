//! Exports `on-timer`, by what was given to `onTimer()`, beside the processor.

import { onTimerOf } from "../index";
import { Column, ColumnOut, Rejections } from "../columns";
import { Clock } from "../host";
import { endCall } from "../memory";
import { Output, RESULT_BYTES_MAX, answerOf } from "../output";
import { Call, Timer } from "../processor";
import { Batch } from "../record";

/** The timers in their columns: keys, names, times. */
export function ms__on_timer__fire(
  clock: i32,
  ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize,
  vo: usize, vol: usize, vd: usize, vdl: usize, vv: usize, vvl: usize,
  timestamps: usize, length: i32,
): usize {
  const records = new Batch(Column.make(ko, kol, kd, kdl, kv, kvl), Column.make(vo, vol, vd, vdl, vv, vvl), timestamps, length);
  const fire = onTimerOf!;
  const record = records.record();
  const out = new Output(records, record);
  const call = new Call();
  const timer = new Timer();
  const rejected = Rejections.make();
  // Values are given in any case.
  out.values = ColumnOut.make(length, 0);
  timer.clock = <Clock>clock;
  timer.key = record.key;
  let taken = 0;
  for (; taken < length && out.bytes() < RESULT_BYTES_MAX; taken++) {
    records.read(taken, record);
    timer.name = record.value.toString();
    timer.due = record.timestamp;
    timer.reason = null;
    const before = out.results;
    out.index = taken;
    out.port = 0;
    call.begin();
    fire(timer, out, call);
    const reason = timer.reason;
    if (!reason) continue;
    out.forget(before);
    call.forget();
    rejected.push(taken, reason);
  }
  call.flush();
  return answerOf(out, taken, rejected);
}

export function ms_post__on_timer__fire(_: usize): void {
  endCall();
}
