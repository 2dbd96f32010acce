//! Bytes as functions see them: borrowed from the columns of a call, or of one's own.

/**
 * Bytes, or null, where a record has no key or value. Those of a record are only good while that record is at hand; copy
 * them (`toString`, `copy`) to keep them.
 */
export class Bytes {
  /** @internal */
  at: usize = 0;
  private size: i32 = 0;
  private there: bool = false;
  /** Keeps the bytes of `of` and `copy` from the collector. */
  private own: ArrayBuffer | null = null;

  /** The UTF-8 of a text. */
  static of(text: string): Bytes {
    return Bytes.over(String.UTF8.encode(text));
  }

  /** Null. */
  static none(): Bytes {
    return new Bytes();
  }

  /** All of a buffer. */
  static over(buffer: ArrayBuffer): Bytes {
    const bytes = new Bytes();
    bytes.set(changetype<usize>(buffer), buffer.byteLength);
    bytes.own = buffer;
    return bytes;
  }

  /** Bytes of one's own: all of these, one behind the other. */
  static concat(parts: Bytes[]): Bytes {
    let size = 0;
    for (let i = 0; i < parts.length; i++) size += parts[i].size;
    const buffer = new ArrayBuffer(size);
    let at = changetype<usize>(buffer);
    for (let i = 0; i < parts.length; i++) {
      memory.copy(at, parts[i].at, parts[i].size);
      at += parts[i].size;
    }
    return Bytes.over(buffer);
  }

  /** @internal */
  @inline set(at: usize, size: i32): void {
    this.at = at;
    this.size = size;
    this.there = true;
  }

  /** @internal */
  @inline setNull(): void {
    this.size = 0;
    this.there = false;
  }

  /** @internal The very bytes of the other, not a copy of them. */
  @inline same(other: Bytes): bool {
    return this.there == other.there && this.size == other.size && (!this.size || this.at == other.at);
  }

  get isNull(): bool {
    return !this.there;
  }

  /** 0 of null. */
  get length(): i32 {
    return this.size;
  }

  /** A byte; one that is not there traps. */
  @operator("[]") get(index: i32): u8 {
    if (<u32>index >= <u32>this.size) throw new RangeError("a byte behind the last");
    return load<u8>(this.at + index);
  }

  /** Where the other bytes begin for the first time, from `from` on; -1 when they do not occur. */
  indexOf(other: Bytes, from: i32 = 0): i32 {
    if (!other.size) return from <= this.size ? from : -1;
    const first = load<u8>(other.at);
    for (let i = max(from, 0); i <= this.size - other.size; i++) {
      if (load<u8>(this.at + i) == first && memory.compare(this.at + i, other.at, other.size) == 0) return i;
    }
    return -1;
  }

  /** Where the other bytes begin for the last time; -1 when they do not occur. */
  lastIndexOf(other: Bytes): i32 {
    for (let i = this.size - other.size; i >= 0; i--) {
      if (memory.compare(this.at + i, other.at, other.size) == 0) return i;
    }
    return -1;
  }

  contains(other: Bytes): bool {
    return this.indexOf(other) >= 0;
  }

  startsWith(other: Bytes): bool {
    return this.size >= other.size && memory.compare(this.at, other.at, other.size) == 0;
  }

  endsWith(other: Bytes): bool {
    return this.size >= other.size && memory.compare(this.at + this.size - other.size, other.at, other.size) == 0;
  }

  @operator("==") equals(other: Bytes): bool {
    return this.there == other.there && this.size == other.size && memory.compare(this.at, other.at, this.size) == 0;
  }

  @operator("!=") differs(other: Bytes): bool {
    return !this.equals(other);
  }

  /** The bytes from `start` to before `end`, both cut to what is there: the same bytes, not a copy. */
  slice(start: i32, end: i32 = i32.MAX_VALUE): Bytes {
    const part = new Bytes();
    const last = min(max(end, 0), this.size);
    const first = min(max(start, 0), last);
    if (this.there) part.set(this.at + first, last - first);
    part.own = this.own;
    return part;
  }

  /** Without the white space of ASCII at both ends. */
  trim(): Bytes {
    let start = 0;
    let end = this.size;
    while (start < end && isSpace(load<u8>(this.at + start))) start++;
    while (start < end && isSpace(load<u8>(this.at + end - 1))) end--;
    return this.slice(start, end);
  }

  /** Bytes of one's own, good for ever. */
  copy(): Bytes {
    if (!this.there) return new Bytes();
    const buffer = new ArrayBuffer(this.size);
    memory.copy(changetype<usize>(buffer), this.at, this.size);
    return Bytes.over(buffer);
  }

  /** Whether they are there and UTF-8. */
  get isText(): bool {
    if (!this.there) return false;
    const end = this.at + this.size;
    for (let at = this.at; at < end; ) {
      const more = behindLead(at, end);
      if (more < 0) return false;
      at += 1 + more;
    }
    return true;
  }

  /** As text; what is not UTF-8 becomes U+FFFD. Empty of null. */
  toString(): string {
    return String.UTF8.decodeUnsafe(this.at, this.size);
  }

  /** @internal FNV-1a: null is as empty. */
  hash(): u32 {
    let hash: u32 = 0x811c9dc5;
    for (let i = 0; i < this.size; i++) hash = (hash ^ load<u8>(this.at + i)) * 0x01000193;
    return hash;
  }

  /** Eight of the bytes from `at` on as a number, the low one first; too few trap. */
  u64(at: i32 = 0): u64 {
    if (at < 0 || at > this.size - 8) throw new RangeError("a number has 8 bytes");
    return load<u64>(this.at + at);
  }
}

@inline function isSpace(byte: u8): bool {
  return byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0c || byte == 0x0d;
}

/** How many bytes the character at `at` has behind its first; -1 when it is none of UTF-8. */
function behindLead(at: usize, end: usize): i32 {
  const lead = load<u8>(at);
  if (lead < 0x80) return 0;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  const more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  if (at + more >= end) return -1;
  // The first of those behind says what is too long a way to write it, a half of a pair, or too large.
  const second = load<u8>(at, 1);
  const least: u8 = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const most: u8 = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return -1;
  for (let i = 2; i <= more; i++) if ((load<u8>(at + i) & 0xc0) != 0x80) return -1;
  return more;
}
