//! Address and time of access-log lines: `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login`. The value
//! is left as it is; what the address looks like is not judged.
#include "millstream.hpp"

#include <array>

using std::string_view;

/// The number that the digits are; none where one is no digit.
static std::optional<int> number(string_view digits) {
  int sum = 0;
  for (char digit : digits) {
    if (digit < '0' || digit > '9') return std::nullopt;
    sum = sum * 10 + (digit - '0');
  }
  return sum;
}

static int days_of_month(int year, int month) {
  static constexpr std::array<int, 12> days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month < 1 || month > 12 ? 0 : days[month - 1] + (month == 2 && leap);
}

/// `YYYY-MM-DD hh:mm:ss` in UTC as milliseconds since 1970; leap seconds are not taken.
static std::optional<std::int64_t> milliseconds(string_view text) {
  if (text[4] != '-' || text[7] != '-' || text[10] != ' ' || text[13] != ':' || text[16] != ':') return std::nullopt;
  auto year = number(text.substr(0, 4)), month = number(text.substr(5, 2)), day = number(text.substr(8, 2));
  auto hour = number(text.substr(11, 2)), minute = number(text.substr(14, 2)), second = number(text.substr(17, 2));
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (*day < 1 || *day > days_of_month(*year, *month) || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  // Days since 1970 by the civil calendar, counted in years that begin in March; 400 years more, so that no division is
  // of a negative number.
  int from_march = *month > 2 ? *month - 3 : *month + 9;
  int years = (*month > 2 ? *year : *year - 1) + 400;
  std::int64_t days = years * 365 + years / 4 - years / 100 + years / 400 - 146097;
  days += (from_march * 153 + 2) / 5 + *day - 1 - 719468;
  return (days * 86400 + (*hour * 60 + *minute) * 60 + *second) * 1000;
}

static string_view trim(string_view text) {
  constexpr string_view space = " \t\n\f\r";
  auto first = text.find_first_not_of(space);
  return first == string_view::npos ? string_view() : text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// Key: the text after `IP:` up to the next comma; time: the bracketed one; value: as it is.
static millstream::Refusal extract_ip(const millstream::Record &record, millstream::Output out) {
  string_view line = record.value_or_empty();
  if (line.size() < 21 || line[0] != '[' || line[20] != ']') return "the line does not start with [YYYY-MM-DD hh:mm:ss]";
  auto timestamp = milliseconds(line.substr(1, 19));
  if (!timestamp) return "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss";
  if (*timestamp < 0) return "the bracketed time is before 1970";
  auto at = line.find("IP:", 20);
  if (at == string_view::npos) return "the line has no field IP";
  string_view rest = line.substr(at + 3);
  string_view ip = trim(rest.substr(0, rest.find(',')));
  if (ip.empty()) return "the field IP is empty";
  out.emit(ip, record.value, *timestamp);
  return millstream::ok;
}

MILLSTREAM_MAPPER(extract_ip)
