// Keeps lines that carry an address. Whether the address is one is not its matter.

import { filter } from "millstream-sdk";

const [I, P, COLON] = [0x49, 0x50, 0x3a];

/** Whether the value contains `IP:`. */
export function onlyIp({ value }) {
  if (value === null) return false;
  for (let at = value.indexOf(I); at >= 0; at = value.indexOf(I, at + 1)) {
    if (value[at + 1] === P && value[at + 2] === COLON) return true;
  }
  return false;
}

filter(onlyIp);
