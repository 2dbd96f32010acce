// Functions for Millstream: written on single records, run on columns underneath.

/** Bytes as they are, text as its UTF-8, or null. */
export type Bytes = Uint8Array | string | null;

/** A header: its name, and its value, which may be null. */
export type Header = readonly [name: string, value: Uint8Array | null];

/** A time window, milliseconds since 1970: `start` is in it, `end` no longer. */
export interface Window {
  readonly start: number;
  readonly end: number;
}

/** What a test says of a record; a key and a value that are left out are null, times are 0. */
export interface Fields {
  key?: Bytes;
  value?: Bytes;
  timestamp?: number;
  headers?: readonly Header[];
  streamTime?: number;
  window?: Window | null;
  input?: number;
}

/** A record, borrowed from the columns of its batch; its bytes are views. */
export class Record {
  /** For tests; what is given of headers and the like is what the host would say. */
  static of(fields?: Fields): Record;
  /** null: the record has no key. */
  readonly key: Uint8Array | null;
  /** null: the record has no value (in a table: a tombstone). */
  readonly value: Uint8Array | null;
  /** Event time, milliseconds since 1970. */
  readonly timestamp: number;
  /** The value as text; one that is not there or not UTF-8 is refused. */
  readonly text: string;
  /** In order; a name may come several times. */
  readonly headers: readonly Header[];
  /** The value of the last header of this name; null when there is none. */
  header(name: string): Uint8Array | null;
  /** The step's stream time once this record is in, milliseconds. */
  readonly streamTime: number;
  /** The window of the record's key; null where keys have no window. */
  readonly window: Window | null;
  /** Which of the step's inputs, in the manifest's order, the record came from. */
  readonly input: number;
}

/** Thrown for a record that the function will not handle; anything else that is thrown fails the whole call. */
export class Reject extends Error {}

/** In a result: as in its record. */
export const SAME: undefined;

/** One result of a mapper or a processor; what is not given is as in the record. */
export interface Result {
  key?: Bytes;
  value?: Bytes;
  timestamp?: number;
  headers?: readonly (readonly [name: string, value: Bytes])[];
  /** The step's named output, by its place in the manifest's list (branches, processors). */
  output?: number;
}

/** What a mapper answers: nothing, the record itself, a result, or several. */
export type Mapped = null | undefined | void | Record | Result | Iterable<Record | Result>;

/** What time a timer goes by: the step's stream time, behind a repartition topic the smallest of its upstream tasks'; or the host's
 * wall clock. */
export type Clock = "event-time" | "wall-clock";

/** A timer that is due; it is gone unless it is set again. */
export interface Timer {
  readonly clock: Clock;
  /** null: it is the task's. */
  readonly key: Uint8Array | null;
  readonly name: string;
  /** The time for which it was set, milliseconds since 1970. */
  readonly due: number;
}

/** What comes of a timer: as of a record. What a result does not give is the timer's: its key, its name as value, its due time, no
 * headers. */
export type Fired = null | undefined | void | Timer | Result | Iterable<Timer | Result>;

/** A store of the step; it belongs to the call, and is not there behind it. A key is not null: that is a TypeError. */
export interface Store {
  /** The value of a key, a copy; null: there is none. What this call wrote before is seen. */
  get(key: Uint8Array | string): Uint8Array | null;
  /** Sets the value of a key; null removes it. Both are copied. */
  put(key: Uint8Array | string, value: Bytes): void;
  remove(key: Uint8Array | string): void;
  /** Keys and values with `start` <= key < `end`, in the order of keys, at most `limit` of them, below 2^32; an `end` that is empty or
   * null is no bound. What this call wrote before is seen. The host gives 65,536 entries at most, or 64 MiB; what has more ends the call. */
  range(start: Bytes, end: Bytes, limit: number): [key: Uint8Array, value: Uint8Array][];
}

/** The stores and timers of a processor's call. What is written for a record counts once the record is dealt with, and never when it is
 * refused; it goes to the host when the call ends. */
export interface Call {
  /** A store, by the name that the manifest gives it. One that the step does not have fails the call. */
  store(name: string): Store;
  /** Sets a timer. There is one for each clock, key and name: setting it again moves it. `key` null: it is the task's. `due`: a whole
   * number of milliseconds since 1970, else a TypeError. Needs a function that is given to `onTimer`. */
  setTimer(clock: Clock, key: Bytes, name: string, due: number): void;
  /** Cancels a timer, where there is one. */
  cancelTimer(clock: Clock, key: Bytes, name: string): void;
}

/** What has met in a join; not both sides are missing. */
export interface Pair {
  readonly key: Uint8Array | null;
  readonly left: Uint8Array | null;
  readonly right: Uint8Array | null;
}

/** What an aggregator folds records into. */
export interface Group {
  readonly key: Uint8Array;
  readonly window: Window | null;
}

/** Which layouts of states a function knows. */
export interface Layouts {
  /** What it writes. */
  current: number;
  /** What `migrate` turns into that. */
  reads: readonly number[];
  /** What `migrate` turns that back into. */
  writes: readonly number[];
}

/** What is to be brought into another layout: a state of an aggregate or a scan, or an entry of a processor's store. Bytes are views. */
export interface Stored {
  /** The store's name, as the manifest has it; empty: a state of an aggregate or a scan. */
  readonly store: string;
  /** The group's or the entry's; null: whoever asks has none, which a host has of all that it stores. */
  readonly key: Uint8Array | null;
  /** The state, or the entry's value. */
  readonly state: Uint8Array;
}

/** For what a function stores, an aggregator, a scanner or a processor, where its layout changes between versions. A function has one
 * layout, that of all its stores; without a migrator it is 0, for ever. */
export interface Migrator {
  layouts: Layouts;
  /** The state in layout `to`, of layout `from`; one of them is current. The key stays. Anything that is thrown fails the call. */
  migrate(stored: Stored, from: number, to: number): Uint8Array | string;
}

/** Folds records into a state that the host stores as bytes. One with `layouts` and `migrate` is a migrator too. */
export interface Aggregator<State> extends Partial<Migrator> {
  start(group: Group): State;
  /** Anything that is thrown fails the call. */
  decode(data: Uint8Array): State;
  encode(state: State): Uint8Array | string;
  /** The state with a record in it. Who throws a Reject must have left the state as it was. */
  add(state: State, record: Record): State;
  /** Whether nothing worth keeping is left; such a group is removed from the store. */
  gone?(state: State): boolean;
  /** What leaves the pipeline; null: nothing (in a table: a tombstone). */
  finish(state: State, group: Group): Bytes;
  /** For sessions that meet and windows built from panes; `left` is the earlier. */
  merge?(left: State, right: State): State;
  /** For aggregates over tables: takes out what `add` took in. */
  remove?(state: State, record: Record): State;
}

/** What the manifest gives a function: text by name; nested values are JSON text. One that nobody asks for is refused. */
export interface Settings {
  get(name: string): string | null;
  required(name: string): string;
}

/** One function of a file. */
export interface Function {
  name: string;
  /** The contract's interfaces that answer for it. */
  interfaces: readonly string[];
  summary?: string;
  /** JSON Schema of its settings; absent: it takes none. */
  settingsSchema?: string;
  /** Makes it from its settings: calls `filter` and the like. */
  start(settings: Settings): void;
}

export function filter<F extends (record: Record) => boolean>(keeps: F): F;
export function mapper<F extends (record: Record) => Mapped>(maps: F): F;
export function joiner<F extends (pair: Pair) => Bytes>(joins: F): F;
/** A topic of the sink's list or pattern; null: the sink's own. */
export function router<F extends (record: Record) => string | null>(routes: F): F;
export function partitionedRouter<F extends (record: Record) => [topic: string | null, partition: number]>(routes: F): F;
/** Exports what it has of aggregator, merger, retractor and migrator. */
export function aggregator<State, A extends Aggregator<State>>(made: A & Aggregator<State>): A;
/** Exports a scanner, and what it has of a migrator. */
export function scanner<State, A extends Aggregator<State>>(made: A & Aggregator<State>): A;
/** What takes over what other versions stored, beside a processor. An aggregator or a scanner may have it as its own. */
export function migrator<M extends Migrator>(made: M): M;
/** Handles a record with stores and timers; its results are those of a mapper. */
export function processor<F extends (record: Record, call: Call) => Mapped>(handles: F): F;
/** Handles a timer that is due, beside a processor that sets timers. */
export function onTimer<F extends (timer: Timer, call: Call) => Fired>(handles: F): F;
export function functions(...all: Function[]): void;
/** Starts a function of this file, for tests. */
export function start(name: string, settings: Iterable<readonly [name: string, value: string]>): void;

/** Lines for the host's log; natively standard error. */
export const log: { [level in "trace" | "debug" | "info" | "warn" | "error"]: (message: unknown) => void };

/** The UTF-8 of a text. */
export function bytes(text: string): Uint8Array;
/** The text of UTF-8; anything else is a TypeError. */
export function text(bytes: Uint8Array): string;

/** The contract's `bytes-column`, for tests of states. */
export interface Column {
  offsets: Uint32Array;
  data: Uint8Array;
  validity: Uint8Array;
}
export function column(items: readonly Bytes[]): Column;
export function items(column: Column): (Uint8Array | null)[];
/** Turns states from one layout into another; null stays null. `store` is empty for those of an aggregate or a scan; `keys` has one
 * for each of `states`. */
export function migrate(made: Migrator, store: string, from: number, to: number, keys: Column, states: Column): Column;
export function merge(made: Aggregator<any>, left: Column, right: Column): Column;

/** What a processor made of a call's records, or of timers, with all parts of each result. */
export interface Processed {
  /** How many were dealt with; the host asks again with the rest. */
  taken: number;
  results: {
    /** Of which record or timer, by its place. */
    source: number;
    key: Uint8Array | null;
    value: Uint8Array | null;
    timestamp: number;
    headers: readonly Header[];
    /** The step's named output, by its place. */
    output: number;
  }[];
  rejected: { index: number; reason: string }[];
}

/** Stores and timers for tests of processors: stores are there when they are asked for, and timers fire when a test says so. */
export class TestHost {
  /** How often it was asked or told something: what a function costs besides its own work. */
  asked: number;
  /** The timers that are set, in the order of due time, key (the task's first) and name. */
  readonly timers: Timer[];
  /** What a processor makes of the records of a call. */
  process(processor: (record: Record, call: Call) => Mapped, records: readonly (Record | Fields)[]): Processed;
  /** What comes of timers that are due, all of one clock; those that are set are taken out before. */
  fire(onTimer: (timer: Timer, call: Call) => Fired, timers: readonly Timer[]): Processed;
  /** Sets a timer as a call before did: by event time and of the task, unless something else is said. */
  setTimer(timer: { clock?: Clock; key?: Bytes; name: string; due: number }): void;
  /** The value of a key; null: there is none. */
  get(store: string, key: Uint8Array | string): Uint8Array | null;
  /** Sets the value of a key; null removes it. */
  put(store: string, key: Uint8Array | string, value: Bytes): void;
  /** A store's keys and values, in the order of keys. */
  entries(store: string): [key: Uint8Array, value: Uint8Array][];
}
