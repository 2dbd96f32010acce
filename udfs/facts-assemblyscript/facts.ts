//! Shows what the host says about each record, as the new value; adds a header; and logs a line for a record whose value
//! begins with `log `. For tests of hosts, not for pipelines.

import { Bytes, Level, Output, Record, log, mapper } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/mapper";

const LOG = Bytes.of("log ");
const SEEN = Bytes.of("seen");
const YES = Bytes.of("yes");

// `headers a=1 b; stream time 5; window 0..10; input 0`, with what is not there left out. Values of headers need not be text,
// so that the new value is put together of bytes.
mapper((record: Record, out: Output): void => {
  if (record.value.startsWith(LOG)) log(Level.Info, record.value.slice(LOG.length).toString());
  const parts = [Bytes.of("headers")];
  const headers = record.headers();
  for (let i = 0; i < headers.length; i++) {
    parts.push(Bytes.of(" "));
    parts.push(headers[i].name);
    if (headers[i].value.isNull) continue;
    parts.push(Bytes.of("="));
    parts.push(headers[i].value);
  }
  const window = record.hasWindow ? `; window ${record.windowStart}..${record.windowEnd}` : "";
  parts.push(Bytes.of(`; stream time ${record.streamTime}${window}; input ${record.input}`));
  out.emitValue(Bytes.concat(parts));
  out.addHeader(SEEN, YES);
});
