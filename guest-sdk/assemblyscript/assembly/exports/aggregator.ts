//! Exports `aggregator`, by what was given to `aggregator()`.

import { Groups, finish, fold } from "../fold";
import { endCall } from "../memory";

export { cabi_realloc } from "../memory";

export function ms__aggregator__add(groups: Groups): usize {
  return fold(groups, false);
}

export function ms_post__aggregator__add(_: usize): void {
  endCall();
}

export function ms__aggregator__finish(groups: Groups): usize {
  return finish(groups);
}

export function ms_post__aggregator__finish(_: usize): void {
  endCall();
}
