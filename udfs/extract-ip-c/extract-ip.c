//! Address and time of access-log lines: `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login`. The value
//! is left as it is; what the address looks like is not judged.
#include "millstream.h"

#define TIME_SIZE 19

/// Reads the digits from `from` to before `to`; false when there is another character.
static bool number(const uint8_t *text, int from, int to, int32_t *into) {
  *into = 0;
  for (int i = from; i < to; i++) {
    if (text[i] < '0' || text[i] > '9') return false;
    *into = *into * 10 + (text[i] - '0');
  }
  return true;
}

static int32_t days_of_month(int32_t year, int32_t month) {
  static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month < 1 || month > 12 ? 0 : days[month - 1] + (month == 2 && leap);
}

/// `YYYY-MM-DD hh:mm:ss` in UTC as milliseconds since 1970; leap seconds are not taken.
static bool milliseconds(const uint8_t *text, int64_t *into) {
  int32_t year, month, day, hour, minute, second;
  if (text[4] != '-' || text[7] != '-' || text[10] != ' ' || text[13] != ':' || text[16] != ':') return false;
  if (!number(text, 0, 4, &year) || !number(text, 5, 7, &month) || !number(text, 8, 10, &day)) return false;
  if (!number(text, 11, 13, &hour) || !number(text, 14, 16, &minute) || !number(text, 17, 19, &second)) return false;
  if (day < 1 || day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 59) return false;
  // Days since 1970 by the civil calendar, counted in years that begin in March.
  int32_t from_march = month > 2 ? month - 3 : month + 9;
  // 400 years more, so that no division is of a negative number.
  int32_t years = (month > 2 ? year : year - 1) + 400;
  int32_t days = years * 365 + years / 4 - years / 100 + years / 400 - 146097;
  days += (from_march * 153 + 2) / 5 + day - 1 - 719468;
  *into = ((int64_t)days * 86400 + (hour * 60 + minute) * 60 + second) * 1000;
  return true;
}

/// Key: the text after `IP:` up to the next comma; time: the bracketed one; value: as it is.
static ms_reason extract_ip(const ms_record *record, ms_output *out) {
  ms_bytes line = record->value;
  int64_t timestamp;
  if (line.size < TIME_SIZE + 2 || line.data[0] != '[' || line.data[TIME_SIZE + 1] != ']') {
    return "the line does not start with [YYYY-MM-DD hh:mm:ss]";
  }
  if (!milliseconds(line.data + 1, &timestamp)) return "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss";
  if (timestamp < 0) return "the bracketed time is before 1970";
  ms_bytes rest = ms_slice(line, TIME_SIZE + 1, line.size);
  size_t at = ms_find(rest, "IP:");
  if (at == rest.size) return "the line has no field IP";
  ms_bytes ip = ms_slice(rest, at + 3, rest.size);
  ip = ms_trim(ms_slice(ip, 0, ms_find(ip, ",")));
  if (!ip.size) return "the field IP is empty";
  ms_emit(out, ip, record->value, timestamp);
  return NULL;
}

MS_MAPPER(extract_ip)
