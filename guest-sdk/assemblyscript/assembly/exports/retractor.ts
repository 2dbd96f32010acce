//! Exports `retractor`, beside the aggregator.

import { Groups, fold } from "../fold";
import { endCall } from "../memory";

export function ms__retractor__remove(groups: Groups): usize {
  return fold(groups, true);
}

export function ms_post__retractor__remove(_: usize): void {
  endCall();
}
