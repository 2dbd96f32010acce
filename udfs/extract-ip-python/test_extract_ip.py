import unittest

from extract_ip import extract_ip, milliseconds, parse
from millstream import Record, Reject, Result

LINE = b"[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login"


class ExtractIp(unittest.TestCase):
    def test_address_and_time_of_a_line(self):
        self.assertEqual(extract_ip(Record(value=LINE)), Result(key=b"192.168.1.1", timestamp=1_619_879_400_000))

    def test_times(self):
        cases = {
            b"1970-01-01 00:00:00": 0,
            b"0000-01-01 00:00:00": -62_167_219_200_000,
            b"9999-12-31 23:59:59": 253_402_300_799_000,
            b"2000-02-29 23:59:59": 951_868_799_000,
            b"2024-03-01 00:00:00": 1_709_251_200_000,
            b"1900-02-29 00:00:00": None,
            b"2021-13-01 00:00:00": None,
            b"2021-00-01 00:00:00": None,
            b"2021-04-31 00:00:00": None,
            b"2021-05-01 24:00:00": None,
            b"2021-05-0x 10:00:00": None,
            b"2021-05-01T10:00:00": None,
        }
        for text, expected in cases.items():
            self.assertEqual(milliseconds(text), expected, text)

    def test_a_line_that_does_not_parse_says_why(self):
        cases = {
            b"": "the line does not start with [YYYY-MM-DD hh:mm:ss]",
            b"[2021-05-01 14:30:00": "the line does not start with [YYYY-MM-DD hh:mm:ss]",
            LINE.replace(b"05-01", b"05-32"): "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss",
            b"[1969-12-31 23:59:59] IP: ::1": "the bracketed time is before 1970",
            b"[2021-05-01 14:30:00] User: Alice": "the line has no field IP",
            b"[2021-05-01 14:30:00] IP: , User: Alice": "the field IP is empty",
        }
        for line, reason in cases.items():
            with self.assertRaises(Reject) as rejected:
                parse(line)
            self.assertEqual(str(rejected.exception), reason)
