//! Columns as the contract has them, read and written. Places and lengths, no objects: not for functions.

import { Bytes } from "./bytes";
import { alloc } from "./memory";

/** Bytes that grow. */
@unmanaged
export class Buffer {
  at: usize;
  size: usize;
  capacity: usize;

  static make(capacity: usize): Buffer {
    const buffer = changetype<Buffer>(alloc(offsetof<Buffer>()));
    buffer.at = capacity ? alloc(capacity) : 0;
    buffer.size = 0;
    buffer.capacity = capacity;
    return buffer;
  }

  @inline reserve(more: usize): void {
    if (more > this.capacity - this.size) this.grow(more);
  }

  private grow(more: usize): void {
    if (more > 0x7fffffff) unreachable();
    const capacity = max<usize>(max<usize>(this.size + more, 2 * this.capacity), 64);
    const at = alloc(capacity);
    memory.copy(at, this.at, this.size);
    this.at = at;
    this.capacity = capacity;
  }

  @inline push<T>(value: T): void {
    this.reserve(sizeof<T>());
    store<T>(this.at + this.size, value);
    this.size += sizeof<T>();
  }

  @inline pushBytes(bytes: Bytes): void {
    this.reserve(bytes.length);
    memory.copy(this.at + this.size, bytes.at, bytes.length);
    this.size += bytes.length;
  }

  /** What was written until now: not a copy, good until more is written or the call ends. */
  bytes(): Bytes {
    const bytes = new Bytes();
    bytes.set(this.at, <i32>this.size);
    return bytes;
  }

  /** The UTF-8 of a text. */
  pushText(text: string): void {
    this.reserve(text.length * 3);
    this.size += String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, this.at + this.size);
  }
}

/** A column of bytes that is read; in memory as the canonical ABI has the record. */
@unmanaged
export class Column {
  offsets: usize;
  offsetsLen: usize;
  data: usize;
  dataLen: usize;
  validity: usize;
  validityLen: usize;

  static make(offsets: usize, offsetsLen: usize, data: usize, dataLen: usize, validity: usize, validityLen: usize): Column {
    const column = changetype<Column>(alloc(offsetof<Column>()));
    column.offsets = offsets;
    column.offsetsLen = offsetsLen;
    column.data = data;
    column.dataLen = dataLen;
    column.validity = validity;
    column.validityLen = validityLen;
    return column;
  }

  @inline get length(): i32 {
    return this.offsetsLen ? <i32>this.offsetsLen - 1 : 0;
  }

  /** Item `index`; one that is not there traps. */
  @inline read(index: i32, into: Bytes): void {
    if (<usize>index + 1 >= this.offsetsLen) unreachable();
    if (this.validityLen && !((load<u8>(this.validity + (index >> 3)) >> <u8>(index & 7)) & 1)) return into.setNull();
    const place = this.offsets + (<usize>index << 2);
    const start: usize = load<u32>(place);
    const end: usize = load<u32>(place, 4);
    if (start > end || end > this.dataLen) unreachable();
    into.set(this.data + start, <i32>(end - start));
  }
}

/** A column of bytes that is written. */
@unmanaged
export class ColumnOut {
  data: Buffer;
  offsets: Buffer;
  /** Empty until the first null. */
  validity: Buffer;
  len: i32;

  static make(items: i32, bytes: usize): ColumnOut {
    const column = changetype<ColumnOut>(alloc(offsetof<ColumnOut>()));
    column.data = Buffer.make(bytes);
    column.offsets = Buffer.make((<usize>items + 1) << 2);
    column.validity = Buffer.make(0);
    column.len = 0;
    column.offsets.push<u32>(0);
    return column;
  }

  @inline push(item: Bytes): void {
    this.data.pushBytes(item);
    this.end(!item.isNull);
  }

  /** Ends the item whose bytes were pushed to `data`. */
  @inline end(there: bool): void {
    const index = this.len++;
    this.offsets.push<u32>(<u32>this.data.size);
    if (!there || this.validity.size) this.mark(index, there);
  }

  private mark(index: i32, there: bool): void {
    while (this.validity.size <= <usize>(index >> 3)) this.validity.push<u8>(0xff);
    const place = this.validity.at + (index >> 3);
    const bit = <u8>1 << <u8>(index & 7);
    store<u8>(place, there ? load<u8>(place) | bit : load<u8>(place) & ~bit);
  }

  /** Forgets the items from `len` on. */
  cut(len: i32): void {
    if (len >= this.len) return;
    this.len = len;
    this.offsets.size = (<usize>len + 1) << 2;
    this.data.size = load<u32>(this.offsets.at + (<usize>len << 2));
    this.validity.size = min<usize>(this.validity.size, <usize>((len + 7) >> 3));
  }

  /** As a column that is read. */
  column(): Column {
    const at = alloc(offsetof<Column>());
    this.done(at);
    return changetype<Column>(at);
  }

  /** Writes the record of the column to `at`. */
  done(at: usize): void {
    if (this.validity.size && this.len & 7) {
      const last = this.validity.at + (this.len >> 3);
      store<u8>(last, load<u8>(last) & ((<u8>1 << <u8>(this.len & 7)) - 1));
    }
    store<usize>(at, this.offsets.at);
    store<usize>(at, this.len + 1, 4);
    store<usize>(at, this.data.at, 8);
    store<usize>(at, this.data.size, 12);
    store<usize>(at, this.validity.at, 16);
    store<usize>(at, this.validity.size, 20);
  }
}

/** Headers that are read; in memory as the canonical ABI has the record. */
@unmanaged
export class HeaderColumns {
  offsets: usize;
  offsetsLen: usize;

  /** Of a record; one that is not there traps. */
  startOf(index: i32): i32 {
    if (<usize>index + 1 >= this.offsetsLen) unreachable();
    return <i32>load<u32>(this.offsets + (<usize>index << 2));
  }

  endOf(index: i32): i32 {
    if (<usize>index + 1 >= this.offsetsLen) unreachable();
    return <i32>load<u32>(this.offsets + (<usize>index << 2), 4);
  }

  get names(): Column {
    return changetype<Column>(changetype<usize>(this) + offsetof<HeaderColumns>());
  }

  get values(): Column {
    return changetype<Column>(changetype<usize>(this) + offsetof<HeaderColumns>() + offsetof<Column>());
  }
}

/** Headers that are written, record by record. */
@unmanaged
export class HeadersOut {
  /** Where those of each record begin; the last end where the names do. */
  starts: Buffer;
  names: ColumnOut;
  values: ColumnOut;

  static make(): HeadersOut {
    const headers = changetype<HeadersOut>(alloc(offsetof<HeadersOut>()));
    headers.starts = Buffer.make(0);
    headers.names = ColumnOut.make(0, 0);
    headers.values = ColumnOut.make(0, 0);
    return headers;
  }

  /** From here on, those of the next record. */
  begin(): void {
    this.starts.push<u32>(this.names.len);
  }

  push(name: Bytes, value: Bytes): void {
    this.names.data.pushBytes(name);
    this.names.end(true);
    this.values.push(value);
  }

  /** The last record has none. */
  clearLast(): void {
    this.cutEntries(load<u32>(this.starts.at + this.starts.size - 4));
  }

  /** Forgets the records from `len` on. */
  cut(len: i32): void {
    if (<usize>len << 2 >= this.starts.size) return;
    this.cutEntries(load<u32>(this.starts.at + (<usize>len << 2)));
    this.starts.size = <usize>len << 2;
  }

  private cutEntries(len: i32): void {
    this.names.cut(len);
    this.values.cut(len);
  }

  bytes(): usize {
    return this.names.data.size + this.values.data.size + (<usize>this.names.len << 3);
  }

  /** Writes the record of the headers to `at`. */
  done(at: usize): void {
    this.begin();
    store<usize>(at, this.starts.at);
    store<usize>(at, this.starts.size >> 2, 4);
    this.names.done(at + 8);
    this.values.done(at + 32);
  }
}

/** Records that are refused: index, and the reason as a place and a length. */
@unmanaged
export class Rejections {
  buffer: Buffer;

  static make(): Rejections {
    const rejections = changetype<Rejections>(alloc(offsetof<Rejections>()));
    rejections.buffer = Buffer.make(0);
    return rejections;
  }

  @inline get length(): i32 {
    return <i32>(this.buffer.size / 12);
  }

  push(index: i32, reason: string): void {
    const text = Buffer.make(0);
    text.pushText(reason);
    this.buffer.push<u32>(index);
    this.buffer.push<u32>(<u32>text.at);
    this.buffer.push<u32>(<u32>text.size);
  }

  /** Writes the list to `at`. */
  done(at: usize): void {
    store<usize>(at, this.buffer.at);
    store<usize>(at, this.length, 4);
  }
}

/** Writes an answer that a call failed to `at`. */
export function failed(at: usize, reason: string): usize {
  const text = Buffer.make(0);
  text.pushText(reason);
  store<u32>(at, 1);
  store<usize>(at, text.at, 4);
  store<usize>(at, text.size, 8);
  return at;
}
