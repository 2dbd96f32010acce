//! Exports `router`, by what was given to `router()` or `partitionedRouter()`.

import { answer, partitionedRouterOf, routerOf } from "../index";
import { Bytes } from "../bytes";
import { Buffer, Column, ColumnOut, Rejections } from "../columns";
import { endCall } from "../memory";
import { Batch, Route } from "../record";

export { cabi_realloc } from "../memory";

export function ms__router__route(
  ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize,
  vo: usize, vol: usize, vd: usize, vdl: usize, vv: usize, vvl: usize,
  timestamps: usize, length: i32,
): usize {
  const records = new Batch(Column.make(ko, kol, kd, kdl, kv, kvl), Column.make(vo, vol, vd, vdl, vv, vvl), timestamps, length);
  const partitioned = partitionedRouterOf;
  const record = records.record();
  const none = Bytes.none();
  const topics = ColumnOut.make(length, 0);
  const partitions = Buffer.make(partitioned ? <usize>length << 2 : 0);
  const rejected = Rejections.make();
  for (let i = 0; i < length; i++) {
    records.read(i, record);
    let topic: Bytes = none;
    let partition: u32 = 0;
    if (partitioned) {
      const to = new Route();
      partitioned(record, to);
      topic = to.topic;
      partition = to.partition;
    } else {
      topic = routerOf!(record);
    }
    const reason = record.reason;
    if (reason) rejected.push(i, reason);
    // Of a result that is refused nothing counts, but there is an item for it.
    topics.push(reason ? none : topic);
    if (partitioned) partitions.push<u32>(partition);
  }
  const at = answer(48);
  topics.done(at + 4);
  if (partitioned) {
    store<u8>(at, 1, 28);
    store<usize>(at, partitions.at, 32);
    store<usize>(at, length, 36);
  }
  rejected.done(at + 40);
  return at;
}

export function ms_post__router__route(_: usize): void {
  endCall();
}
