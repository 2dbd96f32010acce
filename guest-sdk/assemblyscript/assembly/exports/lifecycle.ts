//! Exports `lifecycle`, by what was given to `functions()`: names, summaries and settings of the module's functions.

import { answer, functionsOf } from "../index";
import { Buffer, failed } from "../columns";
import { endCall } from "../memory";
import { Settings, started } from "../settings";

export { cabi_realloc } from "../memory";

/** A list of what `size` bytes have each. */
function list(into: Buffer, items: Buffer, size: usize): void {
  into.push<usize>(items.at);
  into.push<usize>(items.size / size);
}

function text(into: Buffer, given: string): void {
  const bytes = Buffer.make(0);
  bytes.pushText(given);
  list(into, bytes, 1);
}

function detail(into: Buffer, name: string, given: string): void {
  if (!given.length) return;
  text(into, name);
  text(into, given);
}

export function ms__lifecycle__functions(): usize {
  const all = Buffer.make(0);
  for (let i = 0; i < functionsOf.length; i++) {
    const one = functionsOf[i];
    const interfaces = Buffer.make(0);
    for (let j = 0; j < one.interfaces.length; j++) text(interfaces, one.interfaces[j]);
    const details = Buffer.make(0);
    detail(details, "summary", one.summary);
    detail(details, "settings-schema", one.settingsSchema);
    text(all, one.name);
    list(all, interfaces, 8);
    list(all, details, 16);
  }
  const answered = Buffer.make(8);
  list(answered, all, 24);
  return answered.at;
}

export function ms_post__lifecycle__functions(_: usize): void {
  endCall();
}

let isStarted = false;

export function ms__lifecycle__start(name: usize, nameLen: usize, given: usize, length: i32): usize {
  const at = answer(12);
  if (isStarted) return failed(at, "this instance was started before");
  const settings = new Settings();
  for (let i = 0; i < length; i++) {
    const place = given + (<usize>i << 4);
    const value = String.UTF8.decodeUnsafe(load<usize>(place, 8), load<usize>(place, 12));
    settings.put(String.UTF8.decodeUnsafe(load<usize>(place), load<usize>(place, 4)), value);
  }
  const wrong = started(functionsOf, String.UTF8.decodeUnsafe(name, nameLen), settings);
  if (wrong) return failed(at, wrong);
  isStarted = true;
  return at;
}

export function ms_post__lifecycle__start(_: usize): void {
  endCall();
}
