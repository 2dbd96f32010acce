//! What a function sees: a record, a pair, a group, a stored state; borrowed from the columns of a call. Not the columns themselves.

import { Bytes } from "./bytes";
import { Column } from "./columns";
import { Facts } from "./facts";

/** A record, borrowed from the columns of its batch; the same object for each record of a call. */
export class Record {
  key: Bytes = new Bytes();
  value: Bytes = new Bytes();
  /** Event time, milliseconds since 1970-01-01T00:00:00Z. */
  timestamp: i64 = 0;
  /** @internal */
  reason: string | null = null;
  /** @internal Where it stands in its batch. */
  index: i32 = 0;

  /** @internal */
  constructor(private facts: Facts) {}

  /** Refuses this record, and says to people why. Nothing that the function does with it counts; return after this. */
  reject(reason: string): void {
    this.reason = reason;
  }

  /** Whether the value is text; a record whose value is not there or not UTF-8 is refused. Return after false. */
  hasText(): bool {
    if (this.value.isText) return true;
    this.reject(this.value.isNull ? "the record has no value" : "the value is not UTF-8");
    return false;
  }

  /** Its headers in order; a name may come several times. */
  headers(): Header[] {
    const all: Header[] = [];
    const headers = this.facts.headers();
    if (!headers) return all;
    const end = headers.endOf(this.index);
    for (let i = headers.startOf(this.index); i < end; i++) {
      const header = new Header();
      headers.names.read(i, header.name);
      headers.values.read(i, header.value);
      all.push(header);
    }
    return all;
  }

  /** The value of the last header of this name; null when there is none, or its value is null. */
  header(name: Bytes): Bytes {
    const value = new Bytes();
    const headers = this.facts.headers();
    if (!headers) return value;
    const given = new Bytes();
    const start = headers.startOf(this.index);
    for (let i = headers.endOf(this.index) - 1; i >= start; i--) {
      headers.names.read(i, given);
      if (given != name) continue;
      headers.values.read(i, value);
      break;
    }
    return value;
  }

  /** The step's stream time once this record is in, milliseconds. */
  get streamTime(): i64 {
    return this.facts.streamTime(this.index);
  }

  /** Whether its key has a window. */
  get hasWindow(): bool {
    return this.facts.hasWindow(this.index);
  }

  /** The window of its key: milliseconds; 0 without one. */
  get windowStart(): i64 {
    return this.facts.windowStart(this.index);
  }

  get windowEnd(): i64 {
    return this.facts.windowEnd(this.index);
  }

  /** Which of the step's inputs, in the manifest's order, it came from; 0 where there is only one. */
  get input(): i32 {
    return this.facts.input(this.index);
  }
}

/** A header of a record. */
export class Header {
  name: Bytes = new Bytes();
  /** May be null. */
  value: Bytes = new Bytes();
}

/** A group of an aggregate. */
export class Group {
  key: Bytes = new Bytes();
  hasWindow: bool = false;
  /** Milliseconds; 0 without a window. */
  windowStart: i64 = 0;
  windowEnd: i64 = 0;
}

/** What has met in a join; the same object for each pair of a call. Not both sides are missing. */
export class Pair {
  /** Null: a stream's record without a key, which a left join joins with nothing. */
  key: Bytes = new Bytes();
  /** Null: there is nothing on the left. */
  left: Bytes = new Bytes();
  /** Null: there is nothing on the right. */
  right: Bytes = new Bytes();
  /** @internal */
  reason: string | null = null;

  /** Refuses this pair, and says to people why; return after this. */
  reject(reason: string): void {
    this.reason = reason;
  }
}

/**
 * What is to be brought into another layout: a state of an aggregate or a scan, or an entry of a processor's store. The same
 * object for each of a call.
 */
export class Stored {
  /** The store's name, as the manifest has it; empty: a state of an aggregate or a scan. */
  store: string = "";
  /** The group's or the entry's. Null: whoever asks has none, which a host has of all that it stores. */
  key: Bytes = new Bytes();
  /** The state, or the entry's value; not null. */
  state: Bytes = new Bytes();
}

/** Where a router sends a result that it also gives a partition. */
export class Route {
  /** A topic of the sink's list or pattern; null: the sink's own. */
  topic: Bytes = new Bytes();
  partition: u32 = 0;
}

/** The records of a call. @internal */
export class Batch {
  facts: Facts = new Facts();

  constructor(public keys: Column, public values: Column, public timestamps: usize, public length: i32) {}

  /** What each of them is read into. */
  record(): Record {
    return new Record(this.facts);
  }

  @inline read(index: i32, into: Record): void {
    this.keys.read(index, into.key);
    this.values.read(index, into.value);
    into.timestamp = load<i64>(this.timestamps + (<usize>index << 3));
    into.reason = null;
    into.index = index;
  }
}
