//! Exports `joiner`, by what was given to `joiner()`.

import { answer, joinerOf } from "../index";
import { Column, ColumnOut, Rejections } from "../columns";
import { endCall } from "../memory";
import { Pair } from "../record";

export { cabi_realloc } from "../memory";

/** Keys, left and right lie one behind the other. */
export function ms__joiner__join(columns: usize): usize {
  const keys = changetype<Column>(columns);
  const left = changetype<Column>(columns + offsetof<Column>());
  const right = changetype<Column>(columns + 2 * offsetof<Column>());
  const join = joinerOf!;
  const pair = new Pair();
  const length = keys.length;
  const values = ColumnOut.make(length, left.dataLen + right.dataLen);
  const rejected = Rejections.make();
  for (let i = 0; i < length; i++) {
    keys.read(i, pair.key);
    left.read(i, pair.left);
    right.read(i, pair.right);
    pair.reason = null;
    const before = values.data.size;
    let leaves = join(pair, values.data);
    const reason = pair.reason;
    if (reason) {
      rejected.push(i, reason);
      leaves = false;
    }
    if (!leaves) values.data.size = before;
    values.end(leaves);
  }
  const at = answer(36);
  values.done(at + 4);
  rejected.done(at + 28);
  return at;
}

export function ms_post__joiner__join(_: usize): void {
  endCall();
}
