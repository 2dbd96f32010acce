// Counts records and the bytes of their values: the successor of `count`, whose states it reads and writes back. For records
// that `count` counted, their bytes are not known and count as 0.

import { aggregator, type Aggregator } from "millstream-sdk";

// Layout 0: the u64 of `count`, little-endian. Layout 1: that, and a u64 of bytes behind it.
const COUNT = 0;
const BOTH = 1;

/** Records and bytes. */
type Counts = readonly [records: bigint, bytes: bigint];

/** Little-endian u64s as bytes. */
function written(...numbers: bigint[]): Uint8Array {
  const data = new Uint8Array(8 * numbers.length);
  const view = new DataView(data.buffer);
  numbers.forEach((number, index) => view.setBigUint64(8 * index, number, true));
  return data;
}

/** Bytes as so many little-endian u64s. */
function read(data: Uint8Array, count: number): bigint[] {
  if (data.length !== 8 * count) throw new Error(`a state of ${count} counts has ${8 * count} bytes, here are ${data.length}`);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return Array.from({ length: count }, (_, index) => view.getBigUint64(8 * index, true));
}

/** Both counts. */
function both(data: Uint8Array): Counts {
  const [records, bytes] = read(data, 2);
  return [records!, bytes!];
}

const counts = {
  layouts: { current: BOTH, reads: [COUNT], writes: [COUNT] },
  start: (): Counts => [0n, 0n],
  decode: both,
  encode: (state) => written(...state),
  add: ([records, bytes], { value }) => [records + 1n, bytes + BigInt(value?.length ?? 0)],
  merge: (left, right) => [left[0] + right[0], left[1] + right[1]],
  finish: ([records, bytes]) => `${records} records, ${bytes} bytes`,
  migrate: ({ state }, from) => (from === COUNT ? written(...read(state, 1), 0n) : written(both(state)[0])),
} satisfies Aggregator<Counts>;

/** The state is both counts. */
export const countBytes = aggregator(counts);
