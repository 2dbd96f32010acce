//! A map whose results depend on what the value says: for the test of the SDK's columns.

import { Bytes, Level, Output, Record, log, mapper } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/mapper";

mapper((record: Record, out: Output): void => {
  const word = record.value.toString();
  if (word == "same") return out.emitSame();
  if (word == "twice") {
    out.emitValue(Bytes.of("one"));
    return out.emitValue(Bytes.none());
  }
  if (word == "port") {
    out.to(2);
    return out.emit(Bytes.of("key"), record.value, 99);
  }
  if (word == "mega") return out.emitValue(Bytes.over(new ArrayBuffer(1 << 20)));
  if (word == "log") log(Level.Warn, "é");
  if (word == "throw") throw new Error("thrown");
  if (word == "bad") {
    out.emitKey(Bytes.of("lost"));
    record.reject("no");
  }
});
