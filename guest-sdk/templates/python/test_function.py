import unittest

from function import keep
from millstream import Record, Reject


class Keeps(unittest.TestCase):
    def test_logins_are_kept(self):
        self.assertTrue(keep(Record(value=b"User: Alice, Action: Login")))
        self.assertFalse(keep(Record(value=b"User: Alice, Action: Logout")))

    def test_what_is_no_text_is_refused(self):
        with self.assertRaises(Reject):
            keep(Record(value=b"\xff"))
