//! Memory outside the garbage collector: what the host writes into, and what it reads. Each piece lives until the call
//! ends, when all of them are freed and the collector runs once. A memory that does not grow traps.

/** The newest piece; each begins with the place of the one before. */
let newest: usize = 0;

/** The pieces' heads, 16 bytes, so that what follows is aligned as the contract asks. */
const HEAD: usize = 16;

/** Lengths and places stay below 2 GiB; what is longer traps. */
const BYTES_MAX: usize = 0x7fffffff;

/** Memory until the call ends; not zeroed. */
export function alloc(size: usize): usize {
  if (size > BYTES_MAX - HEAD) unreachable();
  const piece = heap.alloc(size + HEAD);
  store<usize>(piece, newest);
  newest = piece;
  return piece + HEAD;
}

/** Frees everything of the call. No function of the guest may be running: the collector does not look at the stack. */
export function endCall(): void {
  while (newest) {
    const before = load<usize>(newest);
    heap.free(newest);
    newest = before;
  }
  __collect();
}

/** How the host puts arguments into this memory. */
export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  if (!size) return align;
  const made = alloc(size);
  if (oldSize) memory.copy(made, old, min(oldSize, size));
  return made;
}
