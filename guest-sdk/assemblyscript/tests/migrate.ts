//! A module with stores, and one with states, that were laid out otherwise: for the test of the SDK's migrators.

import {
  Aggregator, Buffer, Bytes, Call, Group, Migrator, Output, Record, Settings, Stored,
  aggregator, functions, migrator, processor,
} from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/lifecycle";
export * from "millstream-assemblyscript/assembly/exports/migrator";
export * from "millstream-assemblyscript/assembly/exports/processor";
export * from "millstream-assemblyscript/assembly/exports/scanner";

/** From layout 1 on, entries of `names` begin with their keys, and all else says what it is. */
class Several extends Migrator {
  current(): u32 {
    return 1;
  }

  reads(): u32[] {
    return [0];
  }

  writes(): u32[] {
    return [2, 3];
  }

  migrate(stored: Stored, old: u32, now: u32, into: Buffer): string | null {
    if (stored.state == Bytes.of("bad")) return `${stored.store}: it is bad`;
    const key = stored.key.isNull ? "null" : stored.key.toString();
    into.pushText(stored.store == "names" ? `${key}=` : `${stored.store}/${key} ${old}>${now} `);
    into.pushBytes(stored.state);
    // Its object is its own, and has no say in what the next one is.
    stored.key = Bytes.of("lost");
    stored.state = Bytes.none();
    return null;
  }
}

/** Leaves after each record what it was. */
class Last extends Aggregator {
  value: Bytes = Bytes.none();

  start(group: Group): void {
    this.value = Bytes.of("");
  }

  decode(stored: Bytes): string | null {
    this.value = stored.copy();
    return null;
  }

  encode(into: Buffer): void {
    into.pushBytes(this.value);
  }

  add(record: Record): void {
    this.value = record.value.copy();
  }

  finish(group: Group, into: Buffer): bool {
    into.pushBytes(this.value);
    return true;
  }
}

processor((record: Record, out: Output, call: Call): void => call.store("names").put(record.key, record.value));
aggregator((): Aggregator => new Last());

functions([
  { name: "stores", interfaces: ["processor", "migrator"], start: (_: Settings): void => migrator(new Several()) },
  { name: "last", interfaces: ["scanner", "migrator"], start: (_: Settings): void => migrator(new Several()) },
  { name: "plain", interfaces: ["processor"] },
]);
