// Address and time of access-log lines: `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login`. The value is left
// as it is; what the address looks like is not judged.

import { mapper, Reject, type Record } from "millstream-sdk";

const TIME_END = "[YYYY-MM-DD hh:mm:ss".length;
const [I, P, COLON, COMMA] = [0x49, 0x50, 0x3a, 0x2c];
const SPACES: readonly number[] = [0x20, 0x09, 0x0a, 0x0c, 0x0d];
const TIME = /^([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})$/;
const DAYS: readonly number[] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Reads a line: the text after `IP:` up to the next comma, and the bracketed UTC time in milliseconds since 1970. */
export function parse(line: Uint8Array): { ip: Uint8Array; timestamp: number } {
  if (line[0] !== 0x5b || line[TIME_END] !== 0x5d) {
    throw new Reject("the line does not start with [YYYY-MM-DD hh:mm:ss]");
  }
  const timestamp = milliseconds(String.fromCharCode(...line.subarray(1, TIME_END)));
  if (timestamp === null) throw new Reject("the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss");
  if (timestamp < 0) throw new Reject("the bracketed time is before 1970");
  let at = line.indexOf(I, TIME_END);
  while (at >= 0 && !(line[at + 1] === P && line[at + 2] === COLON)) at = line.indexOf(I, at + 1);
  if (at < 0) throw new Reject("the line has no field IP");
  const comma = line.indexOf(COMMA, at);
  let [start, end] = [at + 3, comma < 0 ? line.length : comma];
  while (start < end && SPACES.includes(line[start]!)) start++;
  while (start < end && SPACES.includes(line[end - 1]!)) end--;
  if (start === end) throw new Reject("the field IP is empty");
  return { ip: line.subarray(start, end), timestamp };
}

/** `YYYY-MM-DD hh:mm:ss` in UTC; leap seconds are not taken. Not by Date, which takes days that there are not. */
export function milliseconds(text: string): number | null {
  const found = TIME.exec(text);
  if (!found) return null;
  let [year, month, day, hour, minute, second] = found.slice(1).map(Number) as [number, number, number, number, number, number];
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (month < 1 || month > 12 || day < 1 || day > DAYS[month - 1]! + (leap && month === 2 ? 1 : 0)) return null;
  if (hour > 23 || minute > 59 || second > 59) return null;
  // Days since 1970 by the civil calendar, counted in years that begin in March.
  [year, month] = month > 2 ? [year, month - 3] : [year - 1, month + 9];
  const leaps = Math.floor(year / 4) - Math.floor(year / 100) + Math.floor(year / 400);
  const days = year * 365 + leaps + Math.floor((month * 153 + 2) / 5) + day - 1 - 719_468;
  return (days * 86_400 + (hour * 60 + minute) * 60 + second) * 1000;
}

/** Key: the address; time: the bracketed one; value: as it is. */
export function extractIp({ value }: Record): { key: Uint8Array; timestamp: number } {
  const { ip, timestamp } = parse(value ?? new Uint8Array());
  return { key: ip, timestamp };
}

mapper(extractIp);
