//! Millstream functions in AssemblyScript: one record in, one out. What a function has is given to `filter`, `mapper`,
//! `aggregator` and `migrator` when its module starts, and exported by `export * from "…/assembly/exports/…"`.

export { Bytes } from "./bytes";
export { Buffer } from "./columns";
export { Level, log, abort } from "./log";

import { Bytes } from "./bytes";
import { Buffer, Column, ColumnOut } from "./columns";
import { alloc } from "./memory";

/** A record, borrowed from the columns of its batch; the same object for each record of a call. */
export class Record {
  key: Bytes = new Bytes();
  value: Bytes = new Bytes();
  /** Event time, milliseconds since 1970-01-01T00:00:00Z. */
  timestamp: i64 = 0;
  /** @internal */
  reason: string | null = null;

  /** Refuses this record, and says to people why. Nothing that the function does with it counts; return after this. */
  reject(reason: string): void {
    this.reason = reason;
  }
}

/** A group of an aggregate. */
export class Group {
  key: Bytes = new Bytes();
  hasWindow: bool = false;
  /** Milliseconds; 0 without a window. */
  windowStart: i64 = 0;
  windowEnd: i64 = 0;
}

/** The records of a call. @internal */
export class Batch {
  constructor(public keys: Column, public values: Column, public timestamps: usize, public length: i32) {}

  @inline read(index: i32, into: Record): void {
    this.keys.read(index, into.key);
    this.values.read(index, into.value);
    into.timestamp = load<i64>(this.timestamps + (<usize>index << 3));
    into.reason = null;
  }
}

/**
 * Where a mapper's results go. A column is made only when a result differs from its record; the first that does opens it,
 * and what was before is filled in from the records.
 */
export class Output {
  /** @internal */
  results: i32 = 0;
  /** @internal Which record is at hand. */
  index: i32 = 0;
  /** @internal */
  keys: ColumnOut | null = null;
  /** @internal */
  values: ColumnOut | null = null;
  /** @internal */
  timestamps: Buffer | null = null;
  /** @internal */
  sources: Buffer | null = null;
  /** @internal */
  ports: Buffer | null = null;
  /** @internal The named output, by its place, of this record's results from here on. */
  port: u32 = 0;
  private own: Bytes = new Bytes();

  /** @internal */
  constructor(private records: Batch, private record: Record) {}

  /** A result. A part that is the record's own costs nothing while that column is unchanged. */
  emit(key: Bytes, value: Bytes, timestamp: i64): void {
    this.keys = this.put(this.keys, this.records.keys, this.record.key, key);
    this.values = this.put(this.values, this.records.values, this.record.value, value);
    this.putTime(timestamp);
    this.end();
  }

  /** A result that is the record itself. */
  emitSame(): void {
    this.emit(this.record.key, this.record.value, this.record.timestamp);
  }

  /** A result with a new value; key and time stay. */
  emitValue(value: Bytes): void {
    this.emit(this.record.key, value, this.record.timestamp);
  }

  /** A result with a new key; value and time stay. */
  emitKey(key: Bytes): void {
    this.emit(key, this.record.value, this.record.timestamp);
  }

  /** Sends this record's results from here on to another of the step's outputs, by its place in the list. */
  to(port: u32): void {
    this.port = port;
  }

  @inline private sourceOf(result: i32): i32 {
    const sources = this.sources;
    return sources ? <i32>load<u32>(sources.at + (<usize>result << 2)) : result;
  }

  private put(column: ColumnOut | null, given: Column, own: Bytes, item: Bytes): ColumnOut | null {
    let made = column;
    if (!made) {
      if (item.same(own)) return null;
      made = ColumnOut.make(this.records.length, given.dataLen);
      for (let i = 0; i < this.results; i++) {
        given.read(this.sourceOf(i), this.own);
        made.push(this.own);
      }
    }
    made.push(item);
    return made;
  }

  private putTime(time: i64): void {
    let made = this.timestamps;
    if (!made) {
      if (time == this.record.timestamp) return;
      made = Buffer.make(<usize>this.records.length << 3);
      for (let i = 0; i < this.results; i++) {
        made.push<i64>(load<i64>(this.records.timestamps + (<usize>this.sourceOf(i) << 3)));
      }
      this.timestamps = made;
    }
    made.push<i64>(time);
  }

  /** Ports, sources and the count: after the columns, which fill in by what was before. */
  private end(): void {
    let ports = this.ports;
    if (!ports && this.port) {
      ports = Buffer.make((<usize>this.results + 1) << 2);
      for (let i = 0; i < this.results; i++) ports.push<u32>(0);
      this.ports = ports;
    }
    if (ports) ports.push<u32>(this.port);
    if (!this.sources && this.results != this.index) this.openSources();
    const sources = this.sources;
    if (sources) sources.push<u32>(this.index);
    this.results++;
  }

  /** @internal */
  openSources(): void {
    const made = Buffer.make((<usize>this.results + 1) << 2);
    for (let i = 0; i < this.results; i++) made.push<u32>(i);
    this.sources = made;
  }

  /** @internal Forgets all results from `results` on. */
  forget(results: i32): void {
    const keys = this.keys;
    const values = this.values;
    const timestamps = this.timestamps;
    const sources = this.sources;
    const ports = this.ports;
    if (keys) keys.cut(results);
    if (values) values.cut(results);
    if (timestamps) timestamps.size = <usize>results << 3;
    if (sources) sources.size = <usize>results << 2;
    if (ports) ports.size = <usize>results << 2;
    this.results = results;
  }

  /** @internal Bytes of results so far. */
  bytes(): usize {
    const keys = this.keys;
    const values = this.values;
    return (keys ? keys.data.size : 0) + (values ? values.data.size : 0);
  }
}

/**
 * The state of a group, and what is done with it. The SDK makes one or two objects and uses them for every group, so
 * `start` and `decode` must set every field.
 */
export abstract class Aggregator {
  /** Becomes the state before the first record. */
  abstract start(group: Group): void;
  /** Becomes a stored state. A reason fails the call: stored bytes are no record's fault. */
  abstract decode(stored: Bytes): string | null;
  abstract encode(into: Buffer): void;
  /** Takes a record in. One that is rejected must leave the state as it was. */
  abstract add(record: Record): void;
  /** Writes what leaves the pipeline; false: nothing does. */
  abstract finish(group: Group, into: Buffer): bool;
  /** Becomes both; this is the earlier. For `export * from "…/merger"`. A reason fails the call. */
  merge(right: Aggregator): string | null {
    return "this function does not merge";
  }
  /** Takes a record out again. For `export * from "…/retractor"`. */
  remove(record: Record): void {
    record.reject("this function takes nothing out");
  }
  /** Whether nothing worth keeping is left: the group is removed. */
  isGone(): bool {
    return false;
  }
}

/** Stored states whose layout changed between versions of a function. */
export abstract class Migrator {
  /** The layout that is written. */
  abstract current(): u32;
  /** Other layouts that can be turned into it. */
  abstract reads(): u32[];
  /** Older layouts that it can be turned back into. */
  abstract writes(): u32[];
  /** Writes the state, of layout `old`, in layout `now`. A reason fails the call. */
  abstract migrate(state: Bytes, old: u32, now: u32, into: Buffer): string | null;
}

/** @internal */
export let filterOf: ((record: Record) => bool) | null = null;
/** @internal */
export let mapperOf: ((record: Record, out: Output) => void) | null = null;
/** @internal */
export let aggregatorOf: (() => Aggregator) | null = null;
/** @internal */
export let migratorOf: Migrator | null = null;

/** This module's filter: whether a record is kept. */
export function filter(keep: (record: Record) => bool): void {
  filterOf = keep;
}

/** This module's mapper: writes 0..n results of a record. */
export function mapper(apply: (record: Record, out: Output) => void): void {
  mapperOf = apply;
}

/** This module's aggregator, by what makes a state. */
export function aggregator(make: () => Aggregator): void {
  aggregatorOf = make;
}

/** This module's migrator. */
export function migrator(migrator: Migrator): void {
  migratorOf = migrator;
}

/** An answer of `size` bytes, all zero: no error, and nothing in it. @internal */
export function answer(size: usize): usize {
  const at = alloc(size);
  memory.fill(at, 0, size);
  return at;
}
