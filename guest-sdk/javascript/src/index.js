// Functions for Millstream in JavaScript: written on single records, run on columns underneath. What a program registers
// here its component exports; natively it is called by tests like any other function.

export { column, items } from "./columns.js";
export { Reject, Record, SAME } from "./records.js";
export {
  aggregator, filter, functions, joiner, mapper, migrator, onTimer, partitionedRouter, processor, router, scanner, start,
} from "./registry.js";
export { log } from "./log.js";
export { bytes, text } from "./text.js";
export { merge } from "./folding.js";
export { migrate } from "./migrating.js";
export { TestHost } from "./testing.js";
