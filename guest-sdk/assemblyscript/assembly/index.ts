//! Millstream functions in AssemblyScript: one record in, one out. What a function has is given to `filter`, `mapper`,
//! `aggregator`, … when its module starts, and exported by `export * from "…/assembly/exports/…"`.

export { Bytes } from "./bytes";
export { Buffer } from "./columns";
export { Level, log, abort } from "./log";
export { Clock } from "./host";
export { Output } from "./output";
export { Call, Entry, Store, Timer } from "./processor";
export { Group, Header, Pair, Record, Route, Stored } from "./record";
export { Definition, Settings } from "./settings";

import { Bytes } from "./bytes";
import { Buffer } from "./columns";
import { alloc } from "./memory";
import { Output } from "./output";
import { Call, Timer } from "./processor";
import { Group, Pair, Record, Route, Stored } from "./record";
import { Definition } from "./settings";

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

/**
 * What a function stores, an aggregator, a scanner or a processor, where its layout changed between versions. A function has one
 * layout, that of all its stores; without a migrator it is 0, for ever.
 */
export abstract class Migrator {
  /** The layout that is written. */
  abstract current(): u32;
  /** Other layouts that can be turned into it. */
  abstract reads(): u32[];
  /** Older layouts that it can be turned back into. */
  abstract writes(): u32[];
  /** Writes the state, of layout `old`, in layout `now`; one of them is current. The key stays. A reason fails the call. */
  abstract migrate(stored: Stored, old: u32, now: u32, into: Buffer): string | null;
}

/** @internal */
export let filterOf: ((record: Record) => bool) | null = null;
/** @internal */
export let mapperOf: ((record: Record, out: Output) => void) | null = null;
/** @internal */
export let routerOf: ((record: Record) => Bytes) | null = null;
/** @internal */
export let partitionedRouterOf: ((record: Record, to: Route) => void) | null = null;
/** @internal */
export let joinerOf: ((pair: Pair, out: Buffer) => bool) | null = null;
/** @internal */
export let processorOf: ((record: Record, out: Output, call: Call) => void) | null = null;
/** @internal */
export let onTimerOf: ((timer: Timer, out: Output, call: Call) => void) | null = null;
/** @internal */
export let functionsOf: Definition[] = [];
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

/** This module's router, for sinks: a topic of the sink's list or pattern; null: the sink's own. The partition is the key's. */
export function router(route: (record: Record) => Bytes): void {
  routerOf = route;
}

/** This module's router, where it says the partition of every result too. */
export function partitionedRouter(route: (record: Record, to: Route) => void): void {
  partitionedRouterOf = route;
}

/** This module's joiner: writes the value of a pair; false: it is null, and of two tables the row is gone. */
export function joiner(join: (pair: Pair, out: Buffer) => bool): void {
  joinerOf = join;
}

/** This module's processor: writes 0..n results of a record; the call has its stores and timers. */
export function processor(process: (record: Record, out: Output, call: Call) => void): void {
  processorOf = process;
}

/** What handles the timers that the processor sets. Results have the timer's key and its due time unless they are given others. */
export function onTimer(fire: (timer: Timer, out: Output, call: Call) => void): void {
  onTimerOf = fire;
}

/** This module's functions, each with a name, a summary and settings. What answers for them is exported beside this. */
export function functions(all: Definition[]): void {
  functionsOf = all;
}

/** This module's aggregator, by what makes a state. The same for a scanner, where what `finish` writes leaves after each record. */
export function aggregator(make: () => Aggregator): void {
  aggregatorOf = make;
}

/** This module's migrator, beside its aggregator or its processor. */
export function migrator(migrator: Migrator): void {
  migratorOf = migrator;
}

/** An answer of `size` bytes, all zero: no error, and nothing in it. @internal */
export function answer(size: usize): usize {
  const at = alloc(size);
  memory.fill(at, 0, size);
  return at;
}
