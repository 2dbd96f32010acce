// The calls about records by themselves: filters, mappers, joiners, routers; a batch each, in the contract's shapes.

import { column, headerColumns, items } from "./columns.js";
import { Record, Reject, SAME, recordsOf } from "./records.js";

/** Result bytes of one call after which a mapper stops early; the host asks again with the rest of the records. */
export const RESULT_BYTES_MAX = 8 << 20;

/** Calls `call`; what it refuses is noted, and gives `otherwise`. */
export function refusing(rejected, index, otherwise, call) {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof Reject)) throw error;
    rejected.push({ index, reason: error.message });
    return otherwise;
  }
}

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

const OWN = Object.freeze({});

/** What a mapper's answer for one record comes to: nothing, one result, or several. */
function resultsOf(mapped, record) {
  if (mapped === null || mapped === undefined) return [];
  const several = typeof mapped[Symbol.iterator] === "function" ? [...mapped] : [mapped];
  return several.map((one) => (one === record || one instanceof Record ? ownOf(one, record) : one));
}

function ownOf(one, record) {
  if (one !== record) throw new TypeError("a result is the record that was given, or an object with what is new");
  return OWN;
}

const size = (part) => part?.length ?? 0;

/** Maps records until they are all dealt with or the results have `bytesMax` bytes: the contract's `output`. */
export function apply(mapper, batch, host, bytesMax = RESULT_BYTES_MAX) {
  const records = recordsOf(batch, host);
  const [results, sources, rejected] = [[], [], []];
  let taken = 0;
  for (let bytes = 0; taken < records.length && bytes < bytesMax; taken++) {
    const record = records[taken];
    for (const result of refusing(rejected, taken, [], () => resultsOf(mapper(record), record))) {
      results.push(result);
      sources.push(taken);
      bytes += 8 + size(result.key) + size(result.value);
    }
  }
  const part = (name, own) => {
    if (results.every((result) => result[name] === SAME)) return null;
    return results.map((result, index) => (result[name] === SAME ? own(records[sources[index]]) : result[name]));
  };
  const made = (parts, make) => (parts === null ? null : make(parts));
  const oneEach = rejected.length === 0 && sources.length === taken && sources.every((source, index) => source === index);
  return {
    taken,
    sources: oneEach ? null : new Uint32Array(sources),
    ports: results.some((result) => result.output) ? new Uint32Array(results.map((result) => result.output ?? 0)) : null,
    keys: made(part("key", (record) => record.key), column),
    values: made(part("value", (record) => record.value), column),
    timestamps: made(part("timestamp", (record) => record.time), (times) => new BigInt64Array(times.map(BigInt))),
    headers: made(part("headers", (record) => record.headers), headerColumns),
    rejected,
  };
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
