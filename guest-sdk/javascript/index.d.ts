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

/** A record, borrowed from the columns of its batch; its bytes are views. */
export class Record {
  /** For tests; what is given of headers and the like is what the host would say. */
  static of(fields?: {
    key?: Bytes;
    value?: Bytes;
    timestamp?: number;
    headers?: readonly Header[];
    streamTime?: number;
    window?: Window | null;
    input?: number;
  }): Record;
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

/** One result of a mapper; what is not given is as in the record. */
export interface Result {
  key?: Bytes;
  value?: Bytes;
  timestamp?: number;
  headers?: readonly (readonly [name: string, value: Bytes])[];
  /** The step's named output, by its place in the manifest's list (branches). */
  output?: number;
}

/** What a mapper answers: nothing, the record itself, a result, or several. */
export type Mapped = null | undefined | void | Record | Result | Iterable<Record | Result>;

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

/** Folds records into a state that the host stores as bytes. */
export interface Aggregator<State> {
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
  layouts?: Layouts;
  /** For stored states of other versions. */
  migrate?(state: Uint8Array, from: number, to: number): Uint8Array | string;
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
export function scanner<State, A extends Aggregator<State>>(made: A & Aggregator<State>): A;
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
export function migrate(made: Aggregator<any>, from: number, to: number, states: Column): Column;
export function merge(made: Aggregator<any>, left: Column, right: Column): Column;
