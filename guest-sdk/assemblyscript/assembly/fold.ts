//! The loops of aggregates over the contract's groups. Not the exports.

import { Aggregator, aggregatorOf, answer } from "./index";
import { Batch, Group, Record } from "./record";
import { Bytes } from "./bytes";
import { Column, ColumnOut, Rejections, failed } from "./columns";

/** Groups as they lie in memory: a pointer to the record of the canonical ABI. */
@unmanaged
export class Groups {
  keysOffsets: usize;
  keysOffsetsLen: usize;
  keysData: usize;
  keysDataLen: usize;
  keysValidity: usize;
  keysValidityLen: usize;
  starts: usize;
  startsLen: usize;
  ends: usize;
  endsLen: usize;
  statesOffsets: usize;
  statesOffsetsLen: usize;
  statesData: usize;
  statesDataLen: usize;
  statesValidity: usize;
  statesValidityLen: usize;
  offsets: usize;
  offsetsLen: usize;
  members: usize;
  membersLen: usize;

  get keys(): Column {
    return changetype<Column>(changetype<usize>(this) + offsetof<Groups>("keysOffsets"));
  }

  get states(): Column {
    return changetype<Column>(changetype<usize>(this) + offsetof<Groups>("statesOffsets"));
  }

  read(index: i32, into: Group): void {
    this.keys.read(index, into.key);
    into.hasWindow = <usize>index < this.startsLen && <usize>index < this.endsLen;
    into.windowStart = into.hasWindow ? load<i64>(this.starts + (<usize>index << 3)) : 0;
    into.windowEnd = into.hasWindow ? load<i64>(this.ends + (<usize>index << 3)) : 0;
  }
}

/** The batch behind the groups in the arguments of a fold. */
function recordsOf(groups: Groups): Batch {
  const at = changetype<usize>(groups) + offsetof<Groups>();
  const columns = 2 * offsetof<Column>();
  const values = changetype<Column>(at + offsetof<Column>());
  return new Batch(changetype<Column>(at), values, load<usize>(at + columns), load<i32>(at + columns, 4));
}

/**
 * Folds the members of each group into its state, or out of it; answers with `folded`. Where `values` are there, each member
 * writes to them what leaves after it, and the answer is `scanned`.
 */
export function fold(groups: Groups, out: bool, values: ColumnOut | null = null): usize {
  const records = recordsOf(groups);
  const state = aggregatorOf!();
  const record = records.record();
  const group = new Group();
  const stored = new Bytes();
  const rejected = Rejections.make();
  const length = groups.keys.length;
  const states = ColumnOut.make(length, groups.statesDataLen + 16 * length);
  const at = answer(values ? 60 : 36);
  if (groups.offsetsLen < <usize>length + 1) unreachable();
  for (let index = 0; index < length; index++) {
    groups.read(index, group);
    groups.states.read(index, stored);
    if (stored.isNull) {
      state.start(group);
    } else {
      const wrong = state.decode(stored);
      if (wrong) return failed(at, wrong);
    }
    let added = false;
    const end = load<u32>(groups.offsets + (<usize>index << 2), 4);
    for (let place = load<u32>(groups.offsets + (<usize>index << 2)); place < end; place++) {
      if (place >= <u32>groups.membersLen) unreachable();
      const member = load<u32>(groups.members + (<usize>place << 2));
      if (member >= <u32>records.length) unreachable();
      records.read(member, record);
      if (out) state.remove(record);
      else state.add(record);
      const reason = record.reason;
      if (reason) rejected.push(place, reason);
      else added = true;
      if (values) pushFinished(reason ? null : state, group, values);
    }
    // A group whose every record was refused is as it was: stored bytes, or nothing.
    if (!added) {
      states.push(stored);
    } else if (state.isGone()) {
      states.end(false);
    } else {
      state.encode(states.data);
      states.end(true);
    }
  }
  states.done(at + 4);
  if (values) values.done(at + 28);
  rejected.done(at + (values ? 52 : 28));
  return at;
}

/** What leaves of a state; null: nothing does. */
function pushFinished(state: Aggregator | null, group: Group, column: ColumnOut): void {
  const before = column.data.size;
  const leaves = state ? state.finish(group, column.data) : false;
  if (!leaves) column.data.size = before;
  column.end(leaves);
}

/** Folds the members of each group into its state, and finishes after each of them. */
export function scan(groups: Groups): usize {
  return fold(groups, false, ColumnOut.make(<i32>groups.membersLen, groups.membersLen << 4));
}

/** What leaves for each group; null where nothing was stored. */
export function finish(groups: Groups): usize {
  const state = aggregatorOf!();
  const group = new Group();
  const stored = new Bytes();
  const length = groups.keys.length;
  const results = ColumnOut.make(length, groups.statesDataLen + 16 * length);
  const at = answer(28);
  for (let index = 0; index < length; index++) {
    groups.read(index, group);
    groups.states.read(index, stored);
    if (!stored.isNull) {
      const wrong = state.decode(stored);
      if (wrong) return failed(at, wrong);
    }
    pushFinished(stored.isNull ? null : state, group, results);
  }
  results.done(at + 4);
  return at;
}

/** Joins two states of each key; a null side leaves the other as it is. */
export function merge(left: Column, right: Column): usize {
  const first: Aggregator = aggregatorOf!();
  const second: Aggregator = aggregatorOf!();
  const one = new Bytes();
  const other = new Bytes();
  const length = left.length;
  const merged = ColumnOut.make(length, left.dataLen + 16 * length);
  const at = answer(28);
  for (let index = 0; index < length; index++) {
    left.read(index, one);
    right.read(index, other);
    if (one.isNull || other.isNull) {
      merged.push(one.isNull ? other : one);
      continue;
    }
    let wrong = first.decode(one);
    if (!wrong) wrong = second.decode(other);
    if (!wrong) wrong = first.merge(second);
    if (wrong) return failed(at, wrong);
    first.encode(merged.data);
    merged.end(true);
  }
  merged.done(at + 4);
  return at;
}
