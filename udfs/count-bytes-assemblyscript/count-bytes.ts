//! Counts records and the bytes of their values: the successor of count, whose states it reads and writes back. For
//! records that count counted, their bytes are not known and count as 0.

import {
  Aggregator, Buffer, Bytes, Group, Migrator, Record, Stored, aggregator, migrator,
} from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/aggregator";
export * from "millstream-assemblyscript/assembly/exports/merger";
export * from "millstream-assemblyscript/assembly/exports/migrator";

/** Layout 0: the u64 of count, the low byte first. Layout 1: that, and a u64 of bytes behind it. */
const COUNT: u32 = 0;

class Counts extends Aggregator {
  records: u64 = 0;
  bytes: u64 = 0;

  start(group: Group): void {
    this.records = 0;
    this.bytes = 0;
  }

  decode(stored: Bytes): string | null {
    if (stored.length != 16) return "a state has two counts of 8 bytes";
    this.records = stored.u64();
    this.bytes = stored.u64(8);
    return null;
  }

  encode(into: Buffer): void {
    into.push<u64>(this.records);
    into.push<u64>(this.bytes);
  }

  add(record: Record): void {
    this.records++;
    this.bytes += record.value.length;
  }

  finish(group: Group, into: Buffer): bool {
    into.pushText(`${this.records} records, ${this.bytes} bytes`);
    return true;
  }

  merge(right: Aggregator): string | null {
    const other = right as Counts;
    this.records += other.records;
    this.bytes += other.bytes;
    return null;
  }
}

class Layouts extends Migrator {
  current(): u32 {
    return 1;
  }

  reads(): u32[] {
    return [COUNT];
  }

  writes(): u32[] {
    return [COUNT];
  }

  migrate(stored: Stored, old: u32, now: u32, into: Buffer): string | null {
    const state = stored.state;
    if (state.length != (old == COUNT ? 8 : 16)) return "a count has 8 bytes, and a state of layout 1 has two";
    into.push<u64>(state.u64());
    if (old == COUNT) into.push<u64>(0);
    return null;
  }
}

aggregator((): Aggregator => new Counts());
migrator(new Layouts());
