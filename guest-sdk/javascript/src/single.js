// The calls about records by themselves: filters, mappers, joiners, routers; a batch each, in the contract's shapes.

import { column, items } from "./columns.js";
import { outputOf, resultsOf } from "./output.js";
import { recordsOf, refusing } from "./records.js";

/** Asks a filter about every record: the contract's `kept`. */
export function keep(filter, batch, host) {
  const rejected = [];
  const records = recordsOf(batch, host);
  const bits = new Uint8Array((records.length + 7) >> 3);
  records.forEach((record, index) => {
    if (refusing(rejected, index, false, () => filter(record))) bits[index >> 3] |= 1 << (index & 7);
  });
  return { bits, rejected };
}

/** Maps records until they are all dealt with or the results have `bytesMax` bytes: the contract's `output`. */
export function apply(mapper, batch, host, bytesMax) {
  return outputOf(recordsOf(batch, host), (record) => resultsOf(mapper(record), record), { bytesMax });
}

/** Asks a joiner about every pair: the contract's `joined`. */
export function join(joiner, keys, left, right) {
  const [rejected, lefts, rights] = [[], items(left), items(right)];
  const values = items(keys).map((key, index) =>
    refusing(rejected, index, null, () => joiner({ key, left: lefts[index], right: rights[index] }) ?? null),
  );
  return { values: column(values), rejected };
}

/** Asks a router about every result: the contract's `routed`. One that is partitioned answers `[topic, partition]`. */
export function route(router, partitioned, batch, host) {
  const rejected = [];
  const routes = recordsOf(batch, host).map((record, index) =>
    refusing(rejected, index, [null, 0], () => (partitioned ? router(record) : [router(record), 0])),
  );
  return {
    topics: column(routes.map(([topic]) => topic ?? null)),
    partitions: partitioned ? new Uint32Array(routes.map(([, partition]) => partition)) : null,
    rejected,
  };
}
