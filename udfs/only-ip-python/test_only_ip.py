import unittest

from millstream import Record
from only_ip import only_ip


class OnlyIp(unittest.TestCase):
    def test_lines_with_an_address_are_kept(self):
        for value in (b"[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice", b"IP:"):
            self.assertTrue(only_ip(Record(value=value)), value)
        for value in (b"IP 192.168.1.1", b"IP", b"", None):
            self.assertFalse(only_ip(Record(value=value)), value)
