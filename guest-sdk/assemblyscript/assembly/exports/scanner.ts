//! Exports `scanner`, by what was given to `aggregator()`, beside the aggregator or without.

import { Groups, scan } from "../fold";
import { endCall } from "../memory";

export { cabi_realloc } from "../memory";

export function ms__scanner__scan(groups: Groups): usize {
  return scan(groups);
}

export function ms_post__scanner__scan(_: usize): void {
  endCall();
}
