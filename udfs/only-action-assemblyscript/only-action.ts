//! Keeps access-log lines of one action, which the manifest names.

import { Bytes, Record, Settings, filter, functions } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/filter";
export * from "millstream-assemblyscript/assembly/exports/lifecycle";

const SCHEMA = '{"type":"object","properties":{"action":{"type":"string"}},"required":["action"],"additionalProperties":false}';

/** How a line of the action ends. Set when the function starts. */
let field = Bytes.none();

filter((record: Record): bool => record.hasText() && record.value.endsWith(field));

functions([
  {
    name: "only-action",
    interfaces: ["filter"],
    summary: "Keeps access-log lines of one action.",
    settingsSchema: SCHEMA,
    start: (settings: Settings): void => {
      field = Bytes.of("Action: " + settings.required("action"));
    },
  },
]);
