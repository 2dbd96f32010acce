//! Exports `merger`, beside the aggregator.

import { Column } from "../columns";
import { merge } from "../fold";
import { endCall } from "../memory";

/** Keys, left and right lie one behind the other. */
export function ms__merger__merge(columns: usize): usize {
  const left = changetype<Column>(columns + offsetof<Column>());
  return merge(left, changetype<Column>(columns + 2 * offsetof<Column>()));
}

export function ms_post__merger__merge(_: usize): void {
  endCall();
}
