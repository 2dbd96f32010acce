import unittest

from alarm import AGAIN, ALARM, HEAD, heard, silent
from millstream import Clock, Record, Timer
from millstream.testing import Host


class Alarm(unittest.TestCase):
    def test_silence_gives_an_alarm_and_its_end_is_told(self):
        host = Host()

        def say(*items):
            answer = host.process(heard, [Record(b"k", value, timestamp) for value, timestamp in items])
            return [(result.value, result.output) for result in answer.results]

        self.assertEqual(say((b"a", 1_000), (b"b", 5_000), (b"older", 2_000)), [])
        due = host.pop_timer()
        self.assertEqual(due, Timer(Clock.EVENT_TIME, b"k", "silent", 35_000))
        (alarm,) = host.fire(silent, due).results
        self.assertEqual((alarm.key, alarm.value, alarm.timestamp, alarm.output), (b"k", b"b", 35_000, ALARM))
        self.assertEqual(host.stores["last"][b"k"], bytes([0x88, 0x13, 0, 0, 0, 0, 0, 0, 1]) + b"b")
        self.assertEqual(say((b"c", 45_000), (b"d", 46_000)), [(b"40000", AGAIN)])
        self.assertEqual(host.stores["last"][b"k"], HEAD.pack(46_000, False) + b"d")
        self.assertEqual(host.pop_timer().due, 76_000)

    def test_a_record_without_a_key_is_refused_and_a_timer_of_nothing_does_nothing(self):
        host = Host()
        self.assertEqual(host.process(heard, [Record(value=b"x")]).rejected, [(0, "a record without a key belongs to nobody")])
        self.assertEqual(host.fire(silent, Timer(Clock.EVENT_TIME, b"x", "silent", 1)).results, [])
        self.assertEqual((host.stores, host.timers), ({}, {}))
