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
    [`${UDF}context@0.1.0`]: {
      headers: (at) => guest.giveHeaders(at),
      "stream-times": (at) => guest.give(at, [guest.timesOf(guest.facts.streamTimes ?? [])]),
      windows: (at) => {
        const { windows } = guest.facts;
        const sides = windows && [0, 1].map((side) => guest.timesOf(windows.map((window) => window[side])));
        guest.giveOption(at, sides);
      },
      inputs: (at) => guest.giveOption(at, guest.facts.inputs && [guest.list(guest.facts.inputs)]),
    },
    ...hostOfProcessors(() => guest),
  };
  const { instance } = await WebAssembly.instantiate(await readFile(path), imports);
  guest = new Guest(instance.exports, lines);
  return guest;
}

/** Stores and timers: those of `guest.stores` and `guest.timers`; nothing fires by itself. */
function hostOfProcessors(guest) {
  const opened = [];
  const storeOf = (handle) => (guest().stores[opened[handle]] ??= new Map());
  const inOrder = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));
  const move = (clock, given, at, size, due) => {
    guest().asked++;
    const name = text(guest().bytes(at, size));
    guest().items(given).forEach((key, i) => {
      const set = guest().timers.findIndex((timer) => timer.clock === clock && timer.key === key && timer.name === name);
      if (set >= 0) guest().timers.splice(set, 1);
      if (due) guest().timers.push({ clock, key, name, due: due[i] });
    });
  };
  return {
    [`${UDF}state@0.1.0`]: {
      "[static]store.open": (at, size, into) => guest().give(into, [0, opened.push(text(guest().bytes(at, size))) - 1]),
      "[method]store.get": (handle, ...given) => {
        const store = storeOf(handle);
        const values = guest().items(given.slice(0, 6)).map((key) => store.get(key) ?? null);
        guest().give(given[6], guest().columnOf(values));
      },
      "[method]store.put": (handle, ...given) => {
        guest().asked++;
        const values = guest().items(given.slice(6), false);
        guest().items(given.slice(0, 6)).forEach((key, i) => {
          if (values[i]) storeOf(handle).set(key, values[i]);
          else storeOf(handle).delete(key);
        });
      },
      "[method]store.range": (handle, startAt, startSize, endAt, endSize, limit, into) => {
        const [start, end] = [text(guest().bytes(startAt, startSize)), text(guest().bytes(endAt, endSize))];
        const inside = (key) => inOrder(key, start) >= 0 && (end === "" || inOrder(key, end) < 0);
        const keys = [...storeOf(handle).keys()].filter(inside).sort(inOrder).slice(0, limit);
        guest().give(into, [keys, keys.map((key) => storeOf(handle).get(key))].map((items) => guest().columnOf(items)));
      },
    },
    [`${UDF}timers@0.1.0`]: {
      set: (clock, ...given) => move(clock, given.slice(0, 6), given[6], given[7], guest().times64(given[8], given[9])),
      cancel: (clock, ...given) => move(clock, given.slice(0, 6), given[6], given[7]),
    },
  };
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
    /**
     * What the host knows of the records of the next calls, each when it is given: `headers`, a list of `[name, value]` for
     * each record; `streamTimes`; `windows`, `[start, end]` each; `inputs`.
     */
    this.facts = {};
    /** What a processor has stored: by store, bytes by key. */
    this.stores = {};
    /** The timers that are set: `{ clock, key, name, due }`; clock 0: event time. */
    this.timers = [];
    /** How often the host was asked for a fact, a store or a timer. */
    this.asked = 0;
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

  /**
   * `{ taken, results: [{ source, key, value, timestamp, port }], rejected: [{ index, rejected }] }`, and of each result
   * `headers`, `[name, value]` each, when the guest writes any.
   */
  apply(records) {
    return this.call("mapper", "apply", this.batch(records), (at) => this.output(at, records));
  }

  /** The same, of a processor. */
  process(records) {
    return this.call("processor", "process", this.batch(records), (at) => this.output(at, records));
  }

  /** The same, of timers `{ key, name, due }` of one clock. */
  fire(clock, timers) {
    const due = timers.map(({ key, name, due }) => ({ key, value: name, timestamp: due }));
    return this.call("on-timer", "fire", [clock, ...this.batch(due)], (at) => {
      if (!this.u8(at + 56)) throw new Error("what comes of a timer has values");
      return this.output(at, due);
    });
  }

  output(at, records) {
    const list = (place, read) => (this.u8(place) ? read(place + 4) : null);
    const taken = this.u32(at);
    const sources = list(at + 4, (place) => this.numbers(place)) ?? [...Array(taken).keys()];
    const ports = list(at + 16, (place) => this.numbers(place));
    const keys = list(at + 28, (place) => this.column(place));
    const values = list(at + 56, (place) => this.column(place));
    const times = list(at + 84, (place) => this.times(place));
    const headers = list(at + 96, (place) => this.headers(place));
    const results = sources.map((source, i) => ({
      source,
      key: keys ? keys[i] : (records[source].key ?? null),
      value: values ? values[i] : (records[source].value ?? null),
      timestamp: times ? times[i] : (records[source].timestamp ?? 0),
      port: ports ? ports[i] : 0,
      ...(headers && { headers: headers[i] }),
    }));
    return { taken, results, rejected: this.rejections(at + 156) };
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

  /** The same, and what leaves after each record: `{ state, values, rejected }`. */
  scan(records, state = null, key = "k") {
    const members = records.map((_, i) => i);
    const given = [...this.groups([key], [state], [0, records.length], members), ...this.batch(records)];
    return this.call("scanner", "scan", [this.memory(given)], (at) => ({
      state: this.column(at, false)[0],
      values: this.column(at + 24),
      rejected: this.rejections(at + 48),
    }));
  }

  /** `{ topics, partitions, rejected }`; partitions null: by the keys. */
  route(records) {
    return this.call("router", "route", this.batch(records), (at) => ({
      topics: this.column(at),
      partitions: this.u8(at + 24) ? this.numbers(at + 28) : null,
      rejected: this.rejections(at + 36),
    }));
  }

  /** Of pairs `{ key, left, right }`: `{ values, rejected }`. */
  join(pairs) {
    const given = ["key", "left", "right"].flatMap((side) => this.columnOf(pairs.map((pair) => pair[side] ?? null)));
    const read = (at) => ({ values: this.column(at), rejected: this.rejections(at + 24) });
    return this.call("joiner", "join", [this.memory(given)], read);
  }

  /** Names, interfaces and details of the functions. */
  functions() {
    const texts = (at, size) => [...Array(this.u32(at + 4)).keys()].map((i) => this.u32(at) + size * i);
    const string = (at) => text(this.bytes(this.u32(at), this.u32(at + 4)));
    const read = (at) => texts(at, 24).map((place) => ({
      name: string(place),
      interfaces: texts(place + 8, 8).map(string),
      details: Object.fromEntries(texts(place + 16, 16).map((pair) => [string(pair), string(pair + 8)])),
    }));
    return this.call("lifecycle", "functions", [], read, 0);
  }

  /** Makes the instance the function `name`, with these settings, texts by name. Once a module. */
  start(name, settings = {}) {
    const pairs = Object.entries(settings).map((pair) => pair.flatMap((given) => this.string(given)));
    this.call("lifecycle", "start", [...this.string(name), this.memory(pairs.flat()), pairs.length], () => undefined);
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

  /** The states in layout `now`, of layout `old`, as bytes or null. `store`: whose entries they are; empty: an aggregate's. */
  migrate(old, now, states, store = "", keys = states.map(() => "k")) {
    const given = [...this.string(store), old, now, ...this.columnOf(keys), ...this.columnOf(states)];
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
    return this.times64(this.u32(at), this.u32(at + 4));
  }

  times64(at, length) {
    return [...new BigInt64Array(this.exports.memory.buffer, at, length)].map(Number);
  }

  column(at, asText = true) {
    return this.items([0, 4, 8, 12, 16, 20].map((word) => this.u32(at + word)), asText);
  }

  /** What a column has, by its six words. */
  items([at, length, data, size, valid, validSize], asText = true) {
    const offsets = [...new Uint32Array(this.exports.memory.buffer, at, length)];
    const all = validSize === 0;
    if (offsets.at(-1) !== size) throw new Error("the last offset is not where the data ends");
    return offsets.slice(1).map((end, i) => {
      if (!all && !((this.u8(valid + (i >> 3)) >> (i & 7)) & 1)) {
        if (end !== offsets[i]) throw new Error("a null has bytes");
        return null;
      }
      const item = this.bytes(data + offsets[i], end - offsets[i]);
      return asText ? text(item) : item;
    });
  }

  /** For each record, names and values. */
  headers(at) {
    const [offsets, names, values] = [this.numbers(at), this.column(at + 8), this.column(at + 32)];
    return offsets.slice(1).map((end, i) => names.slice(offsets[i], end).map((name, j) => [name, values[offsets[i] + j]]));
  }

  /** Answers what the guest asks for, by words at the place that it gave. */
  give(at, words, from = 0) {
    this.asked++;
    const flat = words.flat();
    const view = new DataView(this.exports.memory.buffer);
    flat.forEach((word, i) => view.setUint32(at + from + 4 * i, word, true));
  }

  giveOption(at, words) {
    this.give(at, words ?? [], 4);
    // Only its low byte says anything.
    new DataView(this.exports.memory.buffer).setUint32(at, words ? 0xabcd01 : 0xabcd00, true);
  }

  giveHeaders(at) {
    const { headers } = this.facts;
    if (!headers) return this.giveOption(at, null);
    const offsets = [0];
    headers.forEach((own, i) => offsets.push(offsets[i] + own.length));
    const columns = [0, 1].map((side) => this.columnOf(headers.flat().map((header) => header[side])));
    this.giveOption(at, [this.list(offsets), ...columns]);
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

  string(given) {
    const bytes = encoder.encode(given);
    return [this.put(bytes, 1), bytes.length];
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

  timesOf(numbers) {
    const times = new BigInt64Array(numbers.map((number) => BigInt(number)));
    return [this.put(times, 8), times.length];
  }

  batch(records) {
    const column = (name) => this.columnOf(records.map((record) => record[name] ?? null));
    return [...column("key"), ...column("value"), ...this.timesOf(records.map((record) => record.timestamp ?? 0))];
  }

  groups(keys, states, offsets, members) {
    return [...this.columnOf(keys), 8, 0, 8, 0, ...this.columnOf(states), ...this.list(offsets), ...this.list(members)];
  }
}
