import doctest
import unittest
from unittest import mock

from millstream import Clock, Record, Reject, Result, Timer, processors, testing
from millstream.testing import Host

EVENT, WALL = Clock.EVENT_TIME, Clock.WALL_CLOCK


def records(*given):
    """Records with these keys, values and times."""
    return [Record(key, value, timestamp) for key, value, timestamp in given]


def at(*times):
    """Records of one key at these times."""
    return records(*((b"a", b"x", time) for time in times))


def values(answer):
    return [result.value for result in answer.results]


def count(record, call):
    """Counts by key, with a timer five later; `no` is refused behind everything else."""
    counts = call.store("counts")
    number = int(counts.get(record.key) or 0) + 1
    counts.put(record.key, str(number))
    call.set_timer(EVENT, record.key, "end", record.timestamp + 5)
    yield Result(value=call.store("counts").get(record.key))
    if record.value == b"no":
        raise Reject("no")


class Stores(unittest.TestCase):
    def test_records_see_what_those_before_wrote_and_nothing_of_those_refused(self):
        host = Host()
        given = records((b"a", b"x", 1), (b"b", b"x", 2), (b"a", b"no", 3), (b"c", b"no", 3), (b"a", b"x", 3), (b"c", b"x", 3))
        answer = host.process(count, given)
        self.assertEqual((answer.taken, values(answer), answer.sources), (6, [b"1", b"1", b"2", b"1"], [0, 1, 4, 5]))
        self.assertEqual(answer.rejected, [(2, "no"), (3, "no")])
        self.assertEqual(host.stores, {"counts": {b"a": b"2", b"b": b"1", b"c": b"1"}})
        self.assertEqual(host.timers, {(EVENT, b"a", "end"): 8, (EVENT, b"b", "end"): 7, (EVENT, b"c", "end"): 8})
        # A question for each key, one put, one for the timers.
        self.assertEqual(host.asked, 3 + 1 + 1)
        # Kept for the next call.
        self.assertEqual(values(host.process(count, at(4))), [b"3"])

    def test_what_is_refused_leaves_the_last_that_was_not(self):
        def rewrite(record, call):
            store = call.store("s")
            if record.key is not None:
                return store.put("k", record.value)
            store.remove("k")
            store.put("k", "lost")
            store.put("new", "lost")
            call.set_timer(WALL, None, "lost", 1)
            call.cancel_timer(WALL, None, "set")
            raise Reject("no")

        host = Host()
        host.timers[WALL, None, "set"] = 5
        given = records((b"", b"kept", 0), (None, b"", 0), (None, b"", 0))
        host.process(rewrite, given)
        self.assertEqual((host.stores, host.timers), ({"s": {b"k": b"kept"}}, {(WALL, None, "set"): 5}))
        untouched = Host()
        untouched.process(rewrite, given[1:])
        self.assertEqual((untouched.stores, untouched.timers, untouched.asked), ({}, {}, 0))

    def test_a_range_has_what_was_written_so_far(self):
        def rank(record, call):
            store = call.store("s")
            store.put(record.value, b"1")
            found = store.range(b"b", limit=2)
            store.remove(b"b")
            return Result(value=b"".join(key for key, _ in found))

        host = Host()
        answer = host.process(rank, records(*((b"", value, 1) for value in (b"c", b"a", b"b", b"d"))))
        self.assertEqual(values(answer), [b"c", b"c", b"bc", b"cd"])
        self.assertEqual(host.stores, {"s": {b"c": b"1", b"a": b"1", b"d": b"1"}})

    def test_a_range_has_bounds_and_a_limit(self):
        host, found = Host(), []
        host.stores["s"] = {bytes([key]): b"v" for key in (5, 1, 3, 2)}

        def look(record, call):
            store = call.store("s")
            for start, end, limit in ((b"", b"", 9), (b"\2", b"\5", 9), (b"\2", b"", 2), (b"", b"\1", 9), (b"", b"", 0)):
                found.append([key[0] for key, _ in store.range(start, end, limit=limit)])
            store.range(limit=1 << 40)
            with self.assertRaisesRegex(ValueError, "the limit of a range is -1"):
                store.range(limit=-1)

        with mock.patch.object(host, "range", wraps=host.range) as asked:
            host.process(look, at(1))
        self.assertEqual(found, [[1, 2, 3, 5], [2, 3], [2, 3], [], []])
        # As much as the contract can say.
        asked.assert_called_with("s", b"", b"", (1 << 32) - 1)

    def test_the_host_is_asked_for_a_key_once_and_given_a_write_once(self):
        def twice(record, call):
            for _ in range(2):
                self.assertIsNone(call.store("s").get("none"))
            call.store("s").put("k", "v")
            for _ in range(2):
                self.assertEqual(call.store("s").range(limit=1), [(b"k", b"v")])

        host = Host()
        host.process(twice, at(1))
        self.assertEqual(host.asked, 1 + 1 + 2)

    def test_a_range_sends_a_timer_once_and_what_was_refused_behind_it_leaves_the_rest(self):
        def look(record, call):
            call.set_timer(WALL, record.key, "t", record.timestamp)
            call.store("s").range(limit=1)
            if record.value == b"no":
                raise Reject("no")

        host = Host()
        answer = host.process(look, records((b"a", b"", 1), (b"b", b"no", 2), (b"c", b"", 3)))
        self.assertEqual((answer.taken, answer.rejected), (3, [(1, "no")]))
        self.assertEqual(host.asked, 3 * 2)

    def test_stores_are_apart_and_a_value_may_be_empty(self):
        def both(record, call):
            call.store("one").put(record.key, b"")
            return Result(value=call.store("two").get(record.key))

        host = Host()
        host.stores["two"] = {b"a": b"\xff\x00"}
        self.assertEqual(values(host.process(both, at(1))), [b"\xff\x00"])
        self.assertEqual(host.stores["one"], {b"a": b""})

    def test_what_is_written_is_a_copy_and_text_is_its_utf_8(self):
        def fill(record, call):
            buffer = bytearray(record.value)
            call.store("s").put("é", buffer)
            buffer[:] = b"lost"

        host = Host()
        host.process(fill, at(1))
        self.assertEqual(host.stores, {"s": {"é".encode(): b"x"}})

    def test_what_is_no_bytes_is_an_error(self):
        for wrong in (
            lambda record, call: call.store("s").get(None),
            lambda record, call: call.store("s").get(5),
            lambda record, call: call.store("s").put("k", 5),
            lambda record, call: call.set_timer(EVENT, 5, "t", 1),
            lambda record, call: call.set_timer(EVENT, None, "t", 1.5),
            lambda record, call: call.set_timer(EVENT, None, b"t", 1),
            lambda record, call: call.cancel_timer(0, None, "t"),
        ):
            host = Host()
            with self.assertRaises(TypeError):
                host.process(wrong, at(1))
            self.assertEqual((host.stores, host.timers), ({}, {}))

    def test_a_call_that_has_ended_is_of_no_use(self):
        kept = []
        Host().process(lambda record, call: kept.extend([call, call.store("s")]), at(1))
        call, store = kept
        for use in (
            lambda: call.store("t"),
            lambda: call.set_timer(EVENT, None, "t", 1),
            lambda: store.get("k"),
            lambda: store.put("k", "v"),
            lambda: store.range(limit=1),
        ):
            with self.assertRaisesRegex(RuntimeError, "it has ended"):
                use()

    def test_a_failed_call_writes_nothing(self):
        def fail(record, call):
            call.store("s").put("k", "v")
            raise ZeroDivisionError

        host = Host()
        with self.assertRaises(ZeroDivisionError):
            host.process(fail, at(1))
        self.assertEqual(host.stores, {})


class Timers(unittest.TestCase):
    def test_a_call_stops_before_the_record_at_which_its_timer_is_due(self):
        def stops(*times):
            return Host().process(count, at(*times)).taken

        self.assertEqual((stops(1, 5, 9), stops(1, 6, 9), stops(1, 3, 5, 2)), (2, 1, 4))
        self.assertEqual(stops(9, 1, 2), 2, "the second sets one for a time that has passed")
        refused = Host().process(count, records((b"a", b"no", 1), (b"a", b"x", 6)))
        self.assertEqual(refused.taken, 2, "one that was refused has set none")
        self.assertEqual(Host().process(count, []), testing.Answer(0, [], [], []))

    def test_timers_of_the_wall_clock_stop_nothing(self):
        host = Host()
        answer = host.process(lambda record, call: call.set_timer(WALL, record.key, "t", record.timestamp), at(1, 2, 3))
        self.assertEqual(answer.taken, 3)
        self.assertEqual((host.pop_timer(), host.pop_timer(WALL)), (None, Timer(WALL, b"a", "t", 3)))

    def test_changes_come_in_their_order_alike_ones_together(self):
        def several(record, call):
            call.set_timer(EVENT, "k", "x", 10)
            call.set_timer(EVENT, "k", "y", 11)
            call.cancel_timer(EVENT, "k", "y")
            call.set_timer(WALL, "k", "y", 12)
            call.set_timer(WALL, None, "y", 13)
            call.set_timer(EVENT, None, "y", 14)

        host = Host()
        host.process(several, at(1))
        self.assertEqual(host.asked, 5)
        left = {(EVENT, b"k", "x"): 10, (WALL, b"k", "y"): 12, (WALL, None, "y"): 13, (EVENT, None, "y"): 14}
        self.assertEqual(host.timers, left)

    def test_they_are_taken_in_the_order_in_which_they_fire(self):
        host = Host()
        due = [(2, b"a", "x"), (1, b"b", "x"), (2, None, "z"), (2, b"a", "w"), (2, b"", "x")]
        host.timers = {(EVENT, key, name): time for time, key, name in due}
        fired = [(timer.key, timer.name) for timer in iter(host.pop_timer, None)]
        self.assertEqual(fired, [(b"b", "x"), (None, "z"), (b"", "x"), (b"a", "w"), (b"a", "x")])

    def test_a_time_that_64_bits_do_not_hold_is_an_error(self):
        for due in (1 << 63, -(1 << 63) - 1):
            with self.assertRaises(OverflowError):
                Host().process(lambda record, call: call.set_timer(EVENT, None, "t", due), at(1))

    def test_they_are_told_and_their_results_have_values(self):
        def ring(timer, call):
            call.cancel_timer(timer.clock, None, "other")
            call.set_timer(timer.clock, timer.key, timer.name, timer.due + 1)
            yield timer
            if timer.name == "bad":
                raise Reject("bad")
            if timer.key is None:
                yield Result(key="n", value=None, timestamp=3, headers=[("h", "1")], output=2)

        host = Host()
        host.timers[WALL, None, "other"] = 1
        due = [Timer(WALL, b"a", "one", 7), Timer(WALL, b"b", "bad", 7), Timer(WALL, None, "two", 9)]
        answer = host.fire(ring, *due)
        self.assertEqual((answer.taken, answer.sources, answer.rejected), (3, [0, 2, 2], [(1, "bad")]))
        self.assertEqual(
            answer.results,
            [Result(b"a", b"one", 7, (), 0), Result(None, b"two", 9, (), 0), Result(b"n", None, 3, (("h", b"1"),), 2)],
        )
        self.assertEqual(host.timers, {(WALL, b"a", "one"): 8, (WALL, None, "two"): 10})

    def test_values_are_sent_in_any_case_and_nothing_else(self):
        for given in ([Timer(EVENT, b"a", "one", 7)], []):
            output = processors.fire(lambda timer, call: timer, given, Host())
            self.assertEqual(output.values.offsets, [0, 3] if given else [0])
            self.assertEqual((output.keys, output.timestamps, output.headers, output.ports), (None,) * 4)


class Results(unittest.TestCase):
    def test_they_go_to_the_outputs_that_they_name_with_nulls_where_nothing_is(self):
        def spread(record, call):
            self.assertEqual(record.header("h"), b"1")
            yield record
            yield Result(value=None, output=2)
            yield Result(key=None, value="", timestamp=9, headers=(), output=1)

        given = [Record(b"k", b"v", 3, headers=[("h", b"1")]), Record(None, None, 4, headers=[("h", b"1")])]
        answer = Host().process(spread, given)
        held = (("h", b"1"),)
        last = Result(None, b"", 9, (), 1)
        first = [Result(b"k", b"v", 3, held, 0), Result(b"k", None, 3, held, 2), last]
        self.assertEqual(answer.results, first + [Result(None, None, 4, held, 0), Result(None, None, 4, held, 2), last])
        self.assertEqual(answer.sources, [0, 0, 0, 1, 1, 1])

    def test_what_stays_is_not_sent(self):
        output = processors.process(lambda record, call: record, at(1, 2), Host())
        self.assertEqual((output.taken, output.sources, output.keys, output.values, output.ports), (2, None, None, None, None))

    def test_a_call_stops_when_its_results_or_what_it_holds_is_large(self):
        large = b"x" * 1000

        def taken(function):
            host = Host()
            host.stores["s"] = {bytes([key]): large for key in range(1, 5)}

            def silent(record, call):
                function(record, call)

            return processors.process(silent, at(1, 2, 3, 4), host, bytes_max=1500).taken

        mapped = processors.process(lambda record, call: Result(value=large), at(1, 2, 3, 4), Host(), bytes_max=1500)
        self.assertEqual(mapped.taken, 2)
        self.assertEqual(taken(lambda record, call: call.store("s").put("k", large)), 2)
        self.assertEqual(taken(lambda record, call: call.set_timer(EVENT, large, "t", 9)), 2)
        self.assertEqual(taken(lambda record, call: call.store("s").get(bytes([record.timestamp]))), 2)
        self.assertEqual(taken(lambda record, call: call.store("s").get(b"\1")), 4, "the same each time")
        self.assertEqual(taken(lambda record, call: call.store("s").range(limit=1)), 2)
        fired = processors.fire(lambda timer, call: Result(value=large), [Timer(EVENT, None, "t", 1)] * 4, Host(), bytes_max=1500)
        self.assertEqual(fired.taken, 2)


def load_tests(loader, tests, ignore):
    tests.addTests(doctest.DocTestSuite(testing))
    return tests


if __name__ == "__main__":
    unittest.main()
