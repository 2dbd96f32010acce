//! Sends access-log lines to a topic for each action.

import { Bytes, Record, router } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/router";

const ACTION = Bytes.of("Action: ");
const PREFIX = Bytes.of("action-");

// `action-login` for a line that ends with `Action: Login`; the sink's own topic for one without an action.
router((record: Record): Bytes => {
  if (!record.hasText()) return Bytes.none();
  const at = record.value.lastIndexOf(ACTION);
  if (at < 0) return Bytes.none();
  const action = record.value.slice(at + ACTION.length).trim();
  if (!action.length) record.reject("the action is empty");
  const topic = new Uint8Array(PREFIX.length + action.length);
  for (let i = 0; i < PREFIX.length; i++) topic[i] = PREFIX[i];
  for (let i = 0; i < action.length; i++) topic[PREFIX.length + i] = small(action[i]);
  return Bytes.over(topic.buffer);
});

/** Names of topics are ASCII. */
function small(letter: u8): u8 {
  return letter >= 0x41 && letter <= 0x5a ? letter + 0x20 : letter;
}
