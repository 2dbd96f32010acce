// The export of a component whose processor sets timers, which alone imports them.

import * as timers from "millstream:udf/timers@0.1.0";
import { column } from "./columns.js";
import { kept } from "./component-processor.js";
import { answered } from "./component.js";
import { fire } from "./processing.js";
import { Records } from "./records.js";

kept.time = (clock, name, keys, due) => {
  if (due) timers.set(clock, column(keys), name, new BigInt64Array(due.map(BigInt)));
  else timers.cancel(clock, column(keys), name);
};

export const onTimer = { fire: (clock, due) => answered("on-timer", (f) => fire(f, clock, new Records(due), kept)) };
