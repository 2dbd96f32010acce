"""Address and time of access-log lines: `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login`. The value is
left as it is; what the address looks like is not judged."""

import re

import millstream
from millstream import Record, Reject, Result

TIME = re.compile(rb"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})")
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse(line: bytes) -> tuple[bytes, int]:
    """Reads a line: the text after `IP:` up to the next comma, and the bracketed UTC time in milliseconds since 1970."""
    time_end = len("[YYYY-MM-DD hh:mm:ss")
    if line[:1] != b"[" or line[time_end : time_end + 1] != b"]":
        raise Reject("the line does not start with [YYYY-MM-DD hh:mm:ss]")
    timestamp = milliseconds(line[1:time_end])
    if timestamp is None:
        raise Reject("the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss")
    if timestamp < 0:
        raise Reject("the bracketed time is before 1970")
    _, field, rest = line[time_end:].partition(b"IP:")
    if not field:
        raise Reject("the line has no field IP")
    ip = rest.partition(b",")[0].strip(b" \t\n\f\r")
    if not ip:
        raise Reject("the field IP is empty")
    return ip, timestamp


def milliseconds(text: bytes) -> int | None:
    """`YYYY-MM-DD hh:mm:ss` in UTC; leap seconds are not taken. The standard library's calendar has no year 0."""
    found = TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= DAYS[month - 1] + (leap and month == 2):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    # Days since 1970 by the civil calendar, counted in years that begin in March.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 + 2) // 5 + day - 1 - 719_468
    return (days * 86_400 + (hour * 60 + minute) * 60 + second) * 1000


@millstream.mapper
def extract_ip(record: Record) -> Result:
    """Key: the address; time: the bracketed one; value: as it is."""
    ip, timestamp = parse(record.value or b"")
    return Result(key=ip, timestamp=timestamp)
