//! Keeps lines that carry an address. Whether the address is one is not its matter.

import { Bytes, Record, filter } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/filter";

const IP = Bytes.of("IP:");

// Whether the value contains `IP:`.
filter((record: Record): bool => record.value.contains(IP));
