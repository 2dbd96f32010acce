//! For tests with node: a module as asc made it, before it is a component, called as a host calls it. Bytes are given as
//! texts, Uint8Arrays or null, and come back as texts where they are UTF-8. Needs no package.

import { readFile } from "node:fs/promises";

const UDF = "millstream:udf/";
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Starts the module in a file. `lines` of the result: what it wrote to the log. */
export async function load(path) {
  const lines = [];
  let guest = null;
  const imports = {
    [`${UDF}log@0.1.0`]: {
      // While it starts, its memory cannot be seen yet.
      write: (level, at, size) => lines.push([level, guest ? text(guest.bytes(at, size)) : ""]),
    },
  };
  const { instance } = await WebAssembly.instantiate(await readFile(path), imports);
  guest = new Guest(instance.exports, lines);
  return guest;
}

function text(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    return bytes;
  }
}

class Guest {
  constructor(exports, lines) {
    this.exports = exports;
    this.lines = lines;
  }

  /** For each record: true, false, or `{ rejected }`. */
  keep(records) {
    return this.call("filter", "keep", this.batch(records), (at) => {
      const bits = this.u32(at);
      const kept = records.map((_, i) => ((this.bytes(bits + (i >> 3), 1)[0] >> (i & 7)) & 1) === 1);
      for (const { index, rejected } of this.rejections(at + 8)) kept[index] = { rejected };
      return kept;
    });
  }

  /** `{ taken, results: [{ source, key, value, timestamp, port }], rejected: [{ index, rejected }] }` */
  apply(records) {
    return this.call("mapper", "apply", this.batch(records), (at) => {
      const list = (place, read) => (this.u8(place) ? read(place + 4) : null);
      const taken = this.u32(at);
      const sources = list(at + 4, (place) => this.numbers(place)) ?? [...Array(taken).keys()];
      const ports = list(at + 16, (place) => this.numbers(place));
      const keys = list(at + 28, (place) => this.column(place));
      const values = list(at + 56, (place) => this.column(place));
      const times = list(at + 84, (place) => this.times(place));
      const results = sources.map((source, i) => ({
        source,
        key: keys ? keys[i] : (records[source].key ?? null),
        value: values ? values[i] : (records[source].value ?? null),
        timestamp: times ? times[i] : (records[source].timestamp ?? 0),
        port: ports ? ports[i] : 0,
      }));
      return { taken, results, rejected: this.rejections(at + 156) };
    });
  }

  /** Folds the records into one group's state: `{ state, rejected }`, the state as bytes or null. */
  add(records, state = null, key = "k") {
    const members = records.map((_, i) => i);
    const given = [...this.groups([key], [state], [0, records.length], members), ...this.batch(records)];
    return this.call("aggregator", "add", [this.memory(given)], (at) => ({
      state: this.column(at, false)[0],
      rejected: this.rejections(at + 24),
    }));
  }

  /** What leaves for each state. */
  finish(states) {
    const given = this.groups(states.map(() => "k"), states, states.map(() => 0).concat(0), []);
    return this.call("aggregator", "finish", [this.memory(given)], (at) => this.column(at));
  }

  merge(left, right) {
    const given = [...this.columnOf(left.map(() => "k")), ...this.columnOf(left), ...this.columnOf(right)];
    return this.call("merger", "merge", [this.memory(given)], (at) => this.column(at, false));
  }

  migrate(old, now, states) {
    const given = [1, 0, old, now, ...this.columnOf(states.map(() => "k")), ...this.columnOf(states)];
    return this.call("migrator", "migrate", given, (at) => this.column(at, false));
  }

  describe() {
    const read = (at) => ({ current: this.u32(at), reads: this.numbers(at + 4), writes: this.numbers(at + 12) });
    return this.call("migrator", "describe", [], read, 0);
  }

  /** Calls, reads the answer behind its tag, and lets the guest free it. A failed call throws its reason. */
  call(interfaceName, name, given, read, tag = 4) {
    const full = `${UDF}${interfaceName}@0.1.0#${name}`;
    const at = this.exports[full](...given);
    const failed = tag && this.u8(at);
    const answer = failed ? text(this.bytes(this.u32(at + 4), this.u32(at + 8))) : read(at + tag);
    this.exports[`cabi_post_${full}`](at);
    if (failed) throw new Error(answer);
    return answer;
  }

  bytes(at, size) {
    return new Uint8Array(this.exports.memory.buffer, at, size).slice();
  }

  u8(at) {
    return this.bytes(at, 1)[0];
  }

  u32(at) {
    return new DataView(this.exports.memory.buffer).getUint32(at, true);
  }

  numbers(at) {
    return [...new Uint32Array(this.exports.memory.buffer, this.u32(at), this.u32(at + 4))];
  }

  times(at) {
    return [...new BigInt64Array(this.exports.memory.buffer, this.u32(at), this.u32(at + 4))].map(Number);
  }

  column(at, asText = true) {
    const [offsets, data, valid] = [this.numbers(at), this.u32(at + 8), this.u32(at + 16)];
    const all = this.u32(at + 20) === 0;
    return offsets.slice(1).map((end, i) => {
      if (!all && !((this.u8(valid + (i >> 3)) >> (i & 7)) & 1)) return null;
      const item = this.bytes(data + offsets[i], end - offsets[i]);
      return asText ? text(item) : item;
    });
  }

  rejections(at) {
    const [list, length] = [this.u32(at), this.u32(at + 4)];
    return [...Array(length).keys()].map((i) => {
      const place = list + 12 * i;
      return { index: this.u32(place), rejected: text(this.bytes(this.u32(place + 4), this.u32(place + 8))) };
    });
  }

  /** Bytes in the guest's memory: place and length. */
  put(bytes, align) {
    const at = this.exports.cabi_realloc(0, 0, align, bytes.byteLength);
    new Uint8Array(this.exports.memory.buffer).set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), bytes.byteLength ? at : 0);
    return at;
  }

  /** Words as a record in memory. */
  memory(words) {
    return this.put(new Uint32Array(words), 8);
  }

  list(numbers) {
    return [this.put(new Uint32Array(numbers), 4), numbers.length];
  }

  columnOf(items) {
    const all = items.map((item) => (typeof item === "string" ? encoder.encode(item) : item));
    const offsets = [0];
    const validity = new Uint8Array(Math.ceil(items.length / 8));
    all.forEach((item, i) => {
      offsets.push(offsets[i] + (item?.length ?? 0));
      if (item) validity[i >> 3] |= 1 << (i & 7);
    });
    const data = Uint8Array.from(all.flatMap((item) => [...(item ?? [])]));
    const nulls = all.includes(null);
    return [...this.list(offsets), this.put(data, 1), data.length, nulls ? this.put(validity, 1) : 1, nulls ? validity.length : 0];
  }

  batch(records) {
    const column = (name) => this.columnOf(records.map((record) => record[name] ?? null));
    const times = new BigInt64Array(records.map((record) => BigInt(record.timestamp ?? 0)));
    return [...column("key"), ...column("value"), this.put(times, 8), times.length];
  }

  groups(keys, states, offsets, members) {
    return [...this.columnOf(keys), 8, 0, 8, 0, ...this.columnOf(states), ...this.list(offsets), ...this.list(members)];
  }
}
