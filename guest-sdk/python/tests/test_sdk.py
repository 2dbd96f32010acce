import contextlib
import io
import re
import sys
import unittest
from pathlib import Path
from unittest import mock

import millstream
from millstream import SAME, Aggregator, Layouts, Pair, Record, Reject, Result, Window, build, folding, log, registry, single
from millstream.columns import BytesColumn, HeaderColumns, Shaped, headers_of, items, rejection


def batch(*values, **facts):
    """Records with these values, key `k`, times from 0; and the context that the host would have for them."""
    given = Shaped(
        keys=BytesColumn.of([b"k"] * len(values)), values=BytesColumn.of(list(values)), timestamps=list(range(len(values)))
    )
    return given, Shaped(**{name: (lambda answer=answer: answer) for name, answer in facts.items()}) if facts else None


class Columns(unittest.TestCase):
    def test_every_place_of_a_null_is_read_back(self):
        for length in range(18):
            for null in range(length + 1):
                given = [None if index == null else b"item %d" % index for index in range(length)]
                column = BytesColumn.of(given)
                self.assertEqual(items(column), given)
                self.assertEqual(len(column.validity), (length + 7) // 8 if null < length else 0)

    def test_text_is_its_utf_8_and_an_empty_item_is_not_null(self):
        self.assertEqual(items(BytesColumn.of(["é", "", b"", None])), ["é".encode(), b"", b"", None])

    def test_headers_belong_to_their_records(self):
        given = [(("a", b"1"), ("a", None)), (), (("b", b""),)]
        self.assertEqual(headers_of(HeaderColumns.of(given)), given)


class Filters(unittest.TestCase):
    def test_a_refused_record_has_its_bit_at_0_and_its_reason(self):
        def long(record):
            if record.text == "bad":
                raise Reject("it is bad")
            return len(record.text) > 0

        kept = single.keep(long, *batch("a", "bad", "b", "", b"\xff", "c", "d", "e", None))
        reasons = [rejection(1, "it is bad"), rejection(4, "the value is not UTF-8"), rejection(8, "the record has no value")]
        self.assertEqual(kept, Shaped(bits=bytes([0b1110_0101, 0]), rejected=reasons))
        self.assertEqual(single.keep(long, *batch()).bits, b"")

    def test_any_other_exception_fails_the_call(self):
        with self.assertRaises(ZeroDivisionError):
            single.keep(lambda record: 1 // 0, *batch("a"))


class Mappers(unittest.TestCase):
    def test_what_stays_is_not_sent(self):
        for same in (lambda record: record, lambda record: Result(), lambda record: Result(value=record.value)):
            out = single.apply(same, *batch("a", "b"))
            self.assertEqual((out.taken, out.sources, out.keys, out.values, out.timestamps), (2, None, None, None, None))
            self.assertEqual((out.ports, out.headers, out.rejected), (None, None, []))

    def test_a_generator_makes_several_and_what_is_the_same_is_filled_in(self):
        def mapper(record):
            yield record
            if record.value == b"b":
                yield Result(value="B", output=1)
                yield Result(value=None, timestamp=9)

        out = single.apply(mapper, *batch("a", "b"))
        self.assertEqual(items(out.values), [b"a", b"b", b"B", None])
        self.assertEqual((out.sources, out.ports, out.timestamps), ([0, 1, 1, 1], [0, 0, 1, 0], [0, 1, 1, 9]))
        self.assertIsNone(out.keys)

    def test_nothing_of_a_refused_record_stays(self):
        def mapper(record):
            yield Result(key=record.value)
            if record.value == b"bad":
                raise Reject("it is bad")

        out = single.apply(mapper, *batch("bad", "a", "bad", "b"))
        self.assertEqual((items(out.keys), out.sources, out.taken), ([b"a", b"b"], [1, 3], 4))
        self.assertEqual(out.rejected, [rejection(0, "it is bad"), rejection(2, "it is bad")])

    def test_a_record_without_results_is_left_out(self):
        out = single.apply(lambda record: Result(key=b"n") if record.value else None, *batch("a", "", "b", ""))
        self.assertEqual((out.sources, out.taken, out.rejected), ([0, 2], 4, []))

    def test_headers_are_those_of_the_record_or_others(self):
        def mapper(record):
            return Result(headers=[*record.headers, ("y", "3")]) if record.value == b"b" else record

        given = HeaderColumns.of([[("x", b"1"), ("x", b"2")], [("x", None)]])
        records, context = batch("a", "b", headers=given)
        out = single.apply(mapper, records, context)
        self.assertEqual(headers_of(out.headers), [(("x", b"1"), ("x", b"2")), (("x", None), ("y", b"3"))])

    def test_it_stops_when_its_results_are_large(self):
        out = single.apply(lambda record: Result(value="x" * 60), *batch("a", "b", "c", "d"), bytes_max=100)
        self.assertEqual((out.taken, out.values.offsets, out.sources), (2, [0, 60, 120], None))

    def test_an_empty_batch_is_taken(self):
        self.assertEqual(single.apply(lambda record: record, *batch()).taken, 0)


class Facts(unittest.TestCase):
    def test_they_belong_to_their_records_and_are_asked_for_once(self):
        windows = mock.Mock(return_value=([0, 10], [10, 20]))
        records, context = batch("a", "b", stream_times=[5, 15], inputs=None, headers=None)
        context.windows = windows
        seen = []
        single.keep(lambda r: seen.append((r.window, r.stream_time, r.input, r.headers)), records, context)
        self.assertEqual(seen, [(Window(0, 10), 5, 0, ()), (Window(10, 20), 15, 0, ())])
        windows.assert_called_once_with()

    def test_a_record_of_a_test_has_what_it_is_given(self):
        record = Record(b"k", b"v", 3, headers=[("a", b"1"), ("a", b"2")], window=Window(1, 2), input=1, stream_time=4)
        self.assertEqual((record.header("a"), record.header("b")), (b"2", None))
        self.assertEqual((record.window, record.input, record.stream_time), (Window(1, 2), 1, 4))
        self.assertEqual((Record().window, Record().headers), (None, ()))


class Lengths(Aggregator):
    """Adds the lengths of values; the state is one byte; at 100 nothing is left."""

    layouts = Layouts(2, (1,), (1,))

    def start(self, group):
        return 0

    def decode(self, data):
        (state,) = data
        return state

    def encode(self, state):
        return bytes([state])

    def add(self, state, record):
        if record.value is None:
            raise Reject("no value")
        return state + len(record.value)

    def remove(self, state, record):
        return state - len(record.value)

    def gone(self, state):
        return state == 100

    def merge(self, left, right):
        return left + right

    def finish(self, state, group):
        return f"{group.key.decode()}:{state}" if state else None

    def migrate(self, stored, old, new):
        return stored.state + b"+" if new == 2 else stored.state[:-1]


class Told:
    """A migrator that gives what it is told."""

    layouts = (1, (0,), (0,))

    def migrate(self, stored, old, new):
        return f"{stored.store}/{stored.key.decode()}/{stored.state.decode()}/{old}/{new}".encode()


class Folds(unittest.TestCase):
    groups = Shaped(
        keys=BytesColumn.of(["a", "b", "c", "d"]),
        states=BytesColumn.of([b"\x01", b"\x07", None, b"\x62"]),
        starts=[],
        ends=[],
        offsets=[0, 3, 4, 5, 6],
        members=[0, 1, 2, 1, 1, 0],
    )

    def test_groups_are_folded_scanned_and_finished(self):
        lengths, given = Lengths(), batch("ab", None, "c")
        folded = folding.fold(lengths, lengths.add, self.groups, *given)
        self.assertEqual(items(folded.states), [b"\x04", b"\x07", None, None])
        self.assertEqual(folded.rejected, [rejection(place, "no value") for place in (1, 3, 4)])
        scanned = folding.scan(lengths, self.groups, *given)
        self.assertEqual(items(scanned.values), [b"a:3", None, b"a:4", None, None, b"d:100"])
        self.assertEqual(items(folding.finish(lengths, self.groups)), [b"a:1", b"b:7", None, b"d:98"])
        removed = folding.fold(lengths, lengths.remove, self.groups, *batch("a", "", ""))
        self.assertEqual(items(removed.states)[:2], [b"\x00", b"\x07"])

    def test_windows_are_in_the_group(self):
        with_windows = Shaped(**{**vars(self.groups), "starts": [0] * 4, "ends": [5] * 4})
        self.assertEqual(folding.groups_of(with_windows)[1], folding.Group(b"b", Window(0, 5)))

    def test_a_state_that_cannot_be_read_fails_the_call(self):
        with self.assertRaises(ValueError):
            folding.merge(Lengths(), BytesColumn.of([b"\x01"]), BytesColumn.of([b""]))

    def test_states_are_merged(self):
        merged = folding.merge(Lengths(), BytesColumn.of([b"\1", None, b"\1", None]), BytesColumn.of([b"\2", b"\2", None, None]))
        self.assertEqual(items(merged), [b"\x03", b"\x02", b"\x01", None])

    def test_states_migrate_there_and_back_and_nulls_stay(self):
        old, keys = [b"a", None, b""], BytesColumn.of(["k", "l", "m"])
        new = folding.migrate(Lengths(), "", 1, 2, keys, BytesColumn.of(old))
        self.assertEqual(items(new), [b"a+", None, b"+"])
        self.assertEqual(items(folding.migrate(Lengths(), "", 2, 1, keys, new)), old)
        for way in ((0, 2), (2, 0), (1, 1), (2, 2)):
            with self.assertRaisesRegex(ValueError, "no way from layout"):
                folding.migrate(Lengths(), "", *way, keys, new)

    def test_a_migrator_is_told_store_and_key(self):
        keys, states = BytesColumn.of(["k", "l"]), BytesColumn.of(["x", None])
        self.assertEqual(items(folding.migrate(Told(), "last", 0, 1, keys, states)), [b"last/k/x/0/1", None])
        self.assertEqual(items(folding.migrate(Told(), "", 1, 0, keys, states)), [b"/k/x/1/0", None])


class Others(unittest.TestCase):
    def test_each_pair_has_a_value_none_or_a_reason(self):
        def both(pair: Pair):
            if pair.left is None:
                raise Reject("nothing on the left")
            return None if pair.right is None else pair.left + pair.right

        keys, left, right = (BytesColumn.of(side) for side in (["a", "b", None], ["1", "2", None], ["x", None, "y"]))
        joined = single.join(both, keys, left, right)
        self.assertEqual((items(joined.values), joined.rejected), ([b"1x", None, None], [rejection(2, "nothing on the left")]))

    def test_routes(self):
        def by_length(record):
            if not record.value:
                raise Reject("an empty line")
            return record.text, len(record.value)

        routed = single.route(by_length, True, *batch("abc", "", "a"))
        self.assertEqual((items(routed.topics), routed.partitions), ([b"abc", None, b"a"], [3, 0, 1]))
        self.assertIsNone(single.route(lambda record: None, False, *batch("a")).partitions)
        self.assertEqual(single.route(by_length, True, *batch()).partitions, [])

    def test_lines_of_what_is_printed_go_to_the_log(self):
        host = mock.Mock()
        host.Level = lambda number: log.LEVELS[number]
        with mock.patch.object(log, "_host", None), mock.patch.object(sys, "stdout"), mock.patch.object(sys, "stderr"):
            log.attach(host)
            print("a", "b")
            print("begun", end="")
            sys.stdout.flush()
            log.error("c")
        self.assertEqual([call.args for call in host.write.mock_calls], [("info", "a b"), ("info", "begun"), ("error", "c")])

    def test_natively_the_log_is_standard_error(self):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            log.warn("a line")
        self.assertEqual(said.getvalue(), "warn: a line\n")


class Registry(unittest.TestCase):
    def setUp(self):
        for name, empty in (("exported", {}), ("functions", [])):
            patch = mock.patch.object(registry, name, empty)
            patch.start()
            self.addCleanup(patch.stop)

    def test_an_aggregator_exports_what_it_has(self):
        millstream.aggregator(Lengths)
        self.assertEqual(registry.interfaces(), ["aggregator", "merger", "migrator", "retractor"])

    def test_a_processor_and_its_handler_of_timers_are_what_is_exported(self):
        heard, silent = millstream.processor(len), millstream.on_timer(repr)
        self.assertEqual(registry.interfaces(), ["on-timer", "processor"])
        self.assertEqual((heard, silent, registry.exported["processor"], registry.exported["on-timer"]), (len, repr, len, repr))

    def test_a_migrator_stands_beside_a_processor(self):
        millstream.processor(len)
        millstream.migrator(Told)
        self.assertEqual(registry.interfaces(), ["migrator", "processor"])
        self.assertIsInstance(registry.exported["migrator"], Told)

    def test_a_function_is_started_by_its_name_and_settings(self):
        @millstream.function("longer", ["filter"])
        def longer(settings):
            """Keeps long values.

            More."""
            least = int(settings.required("least"))
            millstream.filter(lambda record: len(record.value) >= least)

        self.assertEqual(registry.interfaces(), ["filter", "lifecycle"])
        self.assertEqual(registry.functions[0].summary, "Keeps long values.")
        millstream.start("", millstream.Settings({"least": "2"}))
        self.assertEqual(single.keep(registry.exported["filter"], *batch("a", "abc")).bits, b"\x02")
        for name, given, said in (
            ("longer", {}, "the setting `least` is missing"),
            ("longer", {"least": "2", "last": "3"}, "there is no setting `last`; there are `least`"),
            ("shorter", {}, "there is no function `shorter` in this file; there are `longer`"),
        ):
            with self.assertRaises(ValueError) as error:
                millstream.start(name, millstream.Settings(given))
            self.assertEqual(str(error.exception), said)
        with self.assertRaisesRegex(ValueError, "it takes no settings, and `a` was given"):
            millstream.Settings({"a": "b"}).all_known()


class Contract(unittest.TestCase):
    def test_the_copy_is_the_contract(self):
        copy = (build.HERE / "wit/udf.wit").read_text()
        self.assertIn(f"package millstream:udf@{build.VERSION};", copy)
        original = Path(__file__).parents[3] / "wit/udf.wit"
        if original.exists():
            self.assertEqual(copy, original.read_text())

    def test_a_world_exports_what_the_program_has(self):
        world = build.world_of(["filter"])
        self.assertIn("export millstream:udf/filter@0.1.0;", world)
        self.assertNotIn("mapper", world)

    def test_a_world_imports_stores_for_processors_and_timers_where_they_are_handled(self):
        for exported, imported in (
            (["filter"], ["context", "log"]),
            (["processor"], ["context", "log", "state"]),
            (["on-timer", "processor"], ["context", "log", "state", "timers"]),
        ):
            world = build.world_of(exported)
            self.assertEqual(re.findall("import millstream:udf/(.*)@0.1.0;", world), imported)
            self.assertEqual(re.findall("export millstream:udf/(.*)@0.1.0;", world), exported)

    def test_classes_are_named_as_their_interfaces(self):
        self.assertEqual([build.class_of(name) for name in ("filter", "on-timer")], ["Filter", "OnTimer"])

    def test_same_shows_itself(self):
        self.assertEqual(repr(SAME), "SAME")


if __name__ == "__main__":
    unittest.main()
