//! A running total: after each record the sum of a number in a JSON field so far. The state is the exact sum, results are decimal
//! text; a record without such a number is refused.

import { Aggregator, Buffer, Bytes, Group, Record, Settings, aggregator, functions } from "millstream-assemblyscript/assembly";
import { Decimal } from "./decimal";
import { Found, Reader } from "./json";

export * from "millstream-assemblyscript/assembly/exports/lifecycle";
export * from "millstream-assemblyscript/assembly/exports/scanner";

const SCHEMA = '{"type":"object","properties":{"field":{"type":"string","description":"The field that holds the number, as a.b for one inside another; without it the whole value is the number."}},"additionalProperties":false}';

/** The field, from the outside in, and as it stands in the settings; empty: the value itself. Set when the function starts. */
let path: Bytes[] = [];
let field = "";

const json = new Reader();
const number = new Decimal();

/** The number in the field, into `number`; false: the record was refused. */
function read(record: Record): bool {
  if (record.value.isNull) record.reject("the record has no value");
  else {
    const found = json.find(record.value, path);
    if (found == Found.NotJson) record.reject("the value is not JSON");
    else if (found == Found.NoField) record.reject(`the value has no field \`${field}\``);
    else {
      const wrong = number.parse(json.found);
      if (!wrong) return true;
      record.reject(path.length ? `the field \`${field}\` ${wrong}` : `the value ${wrong}`);
    }
  }
  return false;
}

class Total extends Aggregator {
  private sum: Decimal = new Decimal();

  start(group: Group): void {
    this.sum.set(0, 0);
  }

  decode(stored: Bytes): string | null {
    if (stored.length != 16) return `a number has 16 bytes, this state has ${stored.length}`;
    this.sum.set(stored.u64(), stored.u64(8));
    return null;
  }

  encode(into: Buffer): void {
    into.push<u64>(this.sum.low);
    into.push<u64>(this.sum.high);
  }

  add(record: Record): void {
    if (read(record) && !this.sum.add(number)) record.reject("the sum would be too large");
  }

  finish(group: Group, into: Buffer): bool {
    this.sum.print(into);
    return true;
  }
}

function start(settings: Settings): void {
  const given = settings.get("field");
  if (given === null) return;
  const names = given.split(".");
  if (names.includes("")) settings.refuse(`the setting \`field\` is \`${given}\`: between dots there are names, as in \`user.age\``);
  field = given;
  path = names.map<Bytes>((name: string): Bytes => Bytes.of(name));
}

aggregator((): Aggregator => new Total());
functions([
  {
    name: "running-total",
    interfaces: ["scanner"],
    summary: "After each record the sum of the number in a JSON field so far.",
    settingsSchema: SCHEMA,
    start,
  },
]);
