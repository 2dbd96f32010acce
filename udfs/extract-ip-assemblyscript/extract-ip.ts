//! Address and time of access-log lines: `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login`. The value
//! is left as it is; what the address looks like is not judged.

import { Bytes, Output, Record, mapper } from "millstream-assemblyscript/assembly";

export * from "millstream-assemblyscript/assembly/exports/mapper";

const IP = Bytes.of("IP:");
const COMMA = Bytes.of(",");
const TIME_SIZE = 19;
const NO_TIME: i64 = i64.MIN_VALUE;

/** The number that the digits from `from` to before `to` are; -1 where one is none. */
function number(text: Bytes, from: i32, to: i32): i32 {
  let number = 0;
  for (let i = from; i < to; i++) {
    const digit = <i32>text[i] - 48;
    if (<u32>digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}

function within(number: i32, least: i32, most: i32): bool {
  return number >= least && number <= most;
}

function daysOfMonth(year: i32, month: i32): i32 {
  if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/** `YYYY-MM-DD hh:mm:ss` in UTC as milliseconds since 1970; leap seconds are not taken. */
function milliseconds(text: Bytes): i64 {
  if (text[4] != 0x2d || text[7] != 0x2d || text[10] != 0x20 || text[13] != 0x3a || text[16] != 0x3a) return NO_TIME;
  const year = number(text, 0, 4);
  const month = number(text, 5, 7);
  const day = number(text, 8, 10);
  const hour = number(text, 11, 13);
  const minute = number(text, 14, 16);
  const second = number(text, 17, 19);
  if (!within(year, 0, 9999) || !within(month, 1, 12) || !within(day, 1, daysOfMonth(year, month))) return NO_TIME;
  if (!within(hour, 0, 23) || !within(minute, 0, 59) || !within(second, 0, 59)) return NO_TIME;
  // Days since 1970 by the civil calendar, counted in years that begin in March; 400 years more, so that no division is
  // of a negative number.
  const fromMarch = month > 2 ? month - 3 : month + 9;
  const years = (month > 2 ? year : year - 1) + 400;
  const before = years * 365 + years / 4 - years / 100 + years / 400 - 146097;
  const days = before + (fromMarch * 153 + 2) / 5 + day - 1 - 719468;
  return (<i64>days * 86400 + (hour * 60 + minute) * 60 + second) * 1000;
}

/** Key: the text after `IP:` up to the next comma; time: the bracketed one; value: as it is. */
mapper((record: Record, out: Output): void => {
  const line = record.value;
  if (line.length < TIME_SIZE + 2 || line[0] != 0x5b || line[TIME_SIZE + 1] != 0x5d) {
    return record.reject("the line does not start with [YYYY-MM-DD hh:mm:ss]");
  }
  const time = milliseconds(line.slice(1, TIME_SIZE + 1));
  if (time == NO_TIME) return record.reject("the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss");
  if (time < 0) return record.reject("the bracketed time is before 1970");
  const at = line.indexOf(IP, TIME_SIZE + 1);
  if (at < 0) return record.reject("the line has no field IP");
  const comma = line.indexOf(COMMA, at);
  const ip = line.slice(at + 3, comma < 0 ? line.length : comma).trim();
  if (!ip.length) return record.reject("the field IP is empty");
  out.emit(ip, record.value, time);
});
