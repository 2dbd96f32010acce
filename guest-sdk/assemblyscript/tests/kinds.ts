//! Functions of several kinds: for the test of the SDK's headers, facts, settings, routers, joiners and scanners.

import {
  Aggregator, Buffer, Bytes, Group, Output, Pair, Record, Route, Settings,
  aggregator, filter, functions, joiner, mapper, partitionedRouter, router,
} from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/filter";
export * from "millstream-assemblyscript/assembly/exports/joiner";
export * from "millstream-assemblyscript/assembly/exports/lifecycle";
export * from "millstream-assemblyscript/assembly/exports/mapper";
export * from "millstream-assemblyscript/assembly/exports/router";
export * from "millstream-assemblyscript/assembly/exports/scanner";

const USER = Bytes.of("user");
const NEW = Bytes.of("new");
let least: i64 = 0;
let name = "";

filter((record: Record): bool => record.header(USER).length >= <i32>least);

function facts(record: Record): string {
  let text = "";
  const headers = record.headers();
  for (let i = 0; i < headers.length; i++) {
    const value = headers[i].value;
    text += `${headers[i].name.toString()}=${value.isNull ? "-" : value.toString()} `;
  }
  text += `at ${record.streamTime} `;
  if (record.hasWindow) text += `${record.windowStart}..${record.windowEnd} `;
  return text + `from ${record.input}`;
}

mapper((record: Record, out: Output): void => {
  const word = record.value.toString();
  if (word == "orphan") return out.addHeader(NEW, Bytes.none());
  if (word == "drop") return;
  if (word == "facts") return out.emitValue(Bytes.of(facts(record)));
  out.emitSame();
  if (word == "add") out.addHeader(NEW, Bytes.none());
  if (word == "bare") out.clearHeaders();
  if (word == "two") {
    out.addHeader(Bytes.of("first"), Bytes.of("1"));
    out.emitSame();
    out.clearHeaders();
    out.addHeader(Bytes.of("second"), Bytes.of("2"));
  }
  if (word == "large") out.addHeader(NEW, Bytes.over(new ArrayBuffer(1 << 20)));
  if (word == "bad") {
    out.addHeader(NEW, USER);
    record.reject("it is bad");
  }
});

router((record: Record): Bytes => {
  if (!record.hasText()) return Bytes.none();
  if (!record.value.length) record.reject("an empty line");
  return record.value == Bytes.of("debug") ? Bytes.none() : record.value;
});

joiner((pair: Pair, out: Buffer): bool => {
  out.pushBytes(pair.left);
  if (pair.left.isNull) pair.reject("nothing on the left");
  out.pushBytes(pair.right);
  return !pair.right.isNull;
});

/** Bytes so far; nothing leaves at an odd sum. */
class Sum extends Aggregator {
  bytes: u8 = 0;

  start(group: Group): void {
    this.bytes = 0;
  }

  decode(stored: Bytes): string | null {
    if (stored.length != 1) return "a state has a byte";
    this.bytes = stored[0];
    return null;
  }

  encode(into: Buffer): void {
    into.push<u8>(this.bytes);
  }

  add(record: Record): void {
    if (record.hasText()) this.bytes += <u8>record.value.length;
  }

  finish(group: Group, into: Buffer): bool {
    into.pushBytes(group.key);
    into.pushText(this.bytes.toString());
    return this.bytes % 2 == 0;
  }

  isGone(): bool {
    return !this.bytes;
  }
}

aggregator((): Aggregator => new Sum());

functions([
  {
    name: "longer",
    interfaces: ["filter"],
    summary: "Long ones.",
    settingsSchema: "{}",
    start: (settings: Settings): void => {
      least = settings.integer("least", 1, -5, 100);
      name = settings.required("name");
      if (!least) settings.refuse("never");
    },
  },
  {
    name: "partitioned",
    interfaces: ["router", "mapper"],
    start: (settings: Settings): void => {
      partitionedRouter((record: Record, to: Route): void => {
        if (record.hasWindow) to.topic = Bytes.of("windowed");
        to.partition = record.value.length;
      });
    },
  },
  { name: "named", interfaces: ["scanner"] },
]);
