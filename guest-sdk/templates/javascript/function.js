// Keeps access-log lines of logins.

import { filter } from "millstream-sdk";

/** Whether the line has `Action: Login`. A value that is no text is refused. */
export function keep(record) {
  return record.text.includes("Action: Login");
}

filter(keep);
