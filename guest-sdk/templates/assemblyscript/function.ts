//! {{name}}: the key becomes the first word of the value.

import { Bytes, Output, Record, mapper } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/mapper";

const SPACE = Bytes.of(" ");

// Refuses a record whose value has no word.
mapper((record: Record, out: Output): void => {
  const line = record.value.trim();
  const space = line.indexOf(SPACE);
  const word = space < 0 ? line : line.slice(0, space);
  if (!word.length) return record.reject("the value has no word");
  out.emitKey(word);
});
