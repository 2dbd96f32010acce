//! Where a mapper's results go. Not the loop over its records.

import { Bytes } from "./bytes";
import { Buffer, Column, ColumnOut, HeaderColumns, HeadersOut, Rejections } from "./columns";
import { answer } from "./index";
import { Batch, Record } from "./record";

/** Result bytes of one call after which it stops early; the host asks again with the rest of the records. @internal */
export const RESULT_BYTES_MAX: usize = 8 << 20;

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
  /** @internal */
  headers: HeadersOut | null = null;
  /** Where headers are written, those of the records. */
  private given: HeaderColumns | null = null;
  private own: Bytes = new Bytes();
  private ownName: Bytes = new Bytes();

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

  /** Adds a header to the result emitted last, behind those it has from its record. Traps when this record has no result yet. */
  addHeader(name: Bytes, value: Bytes): void {
    this.headersOfLast().push(name, value);
  }

  /** Takes all headers from the result emitted last. Traps when this record has no result yet. */
  clearHeaders(): void {
    this.headersOfLast().clearLast();
  }

  private headersOfLast(): HeadersOut {
    if (!this.results || this.sourceOf(this.results - 1) != this.index) {
      throw new Error("a header belongs to a result: emit the result first");
    }
    let made = this.headers;
    if (!made) {
      // Here alone the records' headers are asked for, so that who writes none does not import them.
      this.given = this.records.facts.headers();
      made = HeadersOut.make();
      this.headers = made;
      for (let i = 0; i < this.results; i++) this.passHeaders(made, this.sourceOf(i));
    }
    return made;
  }

  /** Gives the next result those of a record. */
  private passHeaders(made: HeadersOut, record: i32): void {
    made.begin();
    const given = this.given;
    if (!given) return;
    const end = given.endOf(record);
    for (let i = given.startOf(record); i < end; i++) {
      given.names.read(i, this.ownName);
      given.values.read(i, this.own);
      made.push(this.ownName, this.own);
    }
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
    const headers = this.headers;
    if (headers) this.passHeaders(headers, this.index);
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
    const headers = this.headers;
    if (headers) headers.cut(results);
    this.results = results;
  }

  /** @internal About how many bytes the results take. */
  bytes(): usize {
    const keys = this.keys;
    const values = this.values;
    const headers = this.headers;
    return (keys ? keys.data.size : 0) + (values ? values.data.size : 0) + (headers ? headers.bytes() : 0) + (<usize>this.results << 3);
  }
}

/** The answer `output`, once so many records are dealt with. @internal */
export function answerOf(out: Output, taken: i32, rejected: Rejections): usize {
  if (!out.sources && (rejected.length || out.results != taken)) out.openSources();
  // The error's place, then `output`: taken, and each part behind a byte that says whether it is there.
  const at = answer(168);
  store<u32>(at, taken, 4);
  numbers(at + 8, out.sources, out.results);
  numbers(at + 20, out.ports, out.results);
  column(at + 32, out.keys);
  column(at + 60, out.values);
  numbers(at + 88, out.timestamps, out.results);
  const headers = out.headers;
  if (headers) {
    store<u8>(at, 1, 100);
    headers.done(at + 104);
  }
  rejected.done(at + 160);
  return at;
}

function numbers(at: usize, made: Buffer | null, length: i32): void {
  if (!made) return;
  store<u8>(at, 1);
  store<usize>(at, made.at, 4);
  store<usize>(at, length, 8);
}

function column(at: usize, made: ColumnOut | null): void {
  if (!made) return;
  store<u8>(at, 1);
  made.done(at + 4);
}
