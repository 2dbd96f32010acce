// Keeps access-log lines of logins.

import { filter, type Record } from "millstream-sdk";

/** Whether the line has `Action: Login`. A value that is no text is refused. */
export function keep(record: Record): boolean {
  return record.text.includes("Action: Login");
}

filter(keep);
