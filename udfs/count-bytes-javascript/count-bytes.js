// Counts records and the bytes of their values: the successor of `count`, whose states it reads and writes back. For records
// that `count` counted, their bytes are not known and count as 0.

import { aggregator } from "millstream-sdk";

// Layout 0: the u64 of `count`, little-endian. Layout 1: that, and a u64 of bytes behind it.
const COUNT = 0;
const BOTH = 1;

/** Little-endian u64s as bytes. */
function written(...numbers) {
  const data = new Uint8Array(8 * numbers.length);
  const view = new DataView(data.buffer);
  numbers.forEach((number, index) => view.setBigUint64(8 * index, number, true));
  return data;
}

/** Bytes as so many little-endian u64s. */
function read(data, count) {
  if (data.length !== 8 * count) throw new Error(`a state of ${count} counts has ${8 * count} bytes, here are ${data.length}`);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return Array.from({ length: count }, (_, index) => view.getBigUint64(8 * index, true));
}

/** The state is both counts, as bigints. */
export const countBytes = aggregator({
  layouts: { current: BOTH, reads: [COUNT], writes: [COUNT] },
  start: () => [0n, 0n],
  decode: (data) => read(data, 2),
  encode: (state) => written(...state),
  add: ([records, bytes], { value }) => [records + 1n, bytes + BigInt(value?.length ?? 0)],
  merge: (left, right) => [left[0] + right[0], left[1] + right[1]],
  finish: ([records, bytes]) => `${records} records, ${bytes} bytes`,
  migrate: ({ state }, from) => (from === COUNT ? written(...read(state, 1), 0n) : written(read(state, 2)[0])),
});
