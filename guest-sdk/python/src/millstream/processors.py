"""Processors: a record at a time, with stores and timers. What a function writes in a call is held here and goes to the host at
once, behind the last record; what it writes for a record that it refuses never goes. Not the host's side."""

import operator
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import groupby
from math import inf
from typing import NamedTuple, Protocol

from millstream.columns import Shaped
from millstream.records import Record, Reject
from millstream.single import RESULT_BYTES_MAX, Outcome, results_of

LIMIT_MAX = (1 << 32) - 1
"""The largest `limit` of a range that the contract can say."""


class Clock(Enum):
    """What time a timer goes by. The numbers are the contract's."""

    EVENT_TIME = 0
    """The step's stream time; behind a repartition topic the smallest of its upstream tasks'."""
    WALL_CLOCK = 1
    """The host's wall clock."""


class Timer(NamedTuple):
    """A timer that is due."""

    clock: Clock
    key: bytes | None
    """`None`: it is the task's."""
    name: str
    due: int
    """The time for which it was set, milliseconds since 1970-01-01T00:00:00Z."""


class Host(Protocol):
    """What a call asks of its host: in a component the one that calls, natively `millstream.testing.Host`."""

    def get(self, store: str, key: bytes) -> bytes | None: ...

    def put(self, store: str, entries: list[tuple[bytes, bytes | None]]) -> None:
        """`None` removes the key."""

    def range(self, store: str, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]: ...

    def set(self, clock: Clock, keys: list[bytes | None], name: str, due: list[int]) -> None: ...

    def cancel(self, clock: Clock, keys: list[bytes | None], name: str) -> None: ...


class Change(NamedTuple):
    """A change of a timer; without a time it is cancelled."""

    clock: Clock
    key: bytes | None
    name: str
    due: int | None

    def kind(self) -> tuple[Clock, str, bool]:
        """What those that go to the host together have in common."""
        return self.clock, self.name, self.due is None


UNKNOWN = object()
"""In place of a value that this call has not asked for."""


def own(item: bytes | str) -> bytes:
    """Bytes that stay as they are, whatever becomes of what was given; text is its UTF-8."""
    if type(item) is bytes:
        return item
    if isinstance(item, str):
        return item.encode()
    if item is None:
        raise TypeError("a key of a store is None")
    # A number would make so many zeros.
    return bytes(memoryview(item))


class Store:
    """A store of the step, good for the call that it was asked of. Keys and values are bytes; text is its UTF-8."""

    __slots__ = ("_call", "_name", "_known", "_written")

    def __init__(self, call: "Call", name: str) -> None:
        self._call, self._name = call, name
        # Values as this call sees them, and the keys that it wrote, in order: what a set's order is, nobody promises.
        self._known: dict[bytes, object] = {}
        self._written: dict[bytes, None] = {}

    def get(self, key: bytes | str) -> bytes | None:
        """The value of a key; `None` when there is none."""
        self._call._must_be_under_way()
        key = own(key)
        value = self._known.get(key, UNKNOWN)
        if value is UNKNOWN:
            value = self._call._host.get(self._name, key)
            self._call._hold(key, value)
            self._known[key] = value
        return value

    def put(self, key: bytes | str, value: bytes | str | None) -> None:
        """Sets the value of a key; `None` removes the key."""
        self._call._must_be_under_way()
        key = own(key)
        value = None if value is None else own(value)
        self._call._hold(key, value)
        self._call._undo.append((self, key, self._known.get(key, UNKNOWN), key in self._written))
        self._known[key] = value
        self._written[key] = None

    def remove(self, key: bytes | str) -> None:
        """Removes a key, where it is there."""
        self.put(key, None)

    def range(self, start: bytes | str = b"", end: bytes | str = b"", *, limit: int) -> list[tuple[bytes, bytes]]:
        """Keys and values with `start` <= key < `end` in key order, at most `limit` of them; an empty `end` is no bound."""
        self._call._must_be_under_way()
        limit = operator.index(limit)
        if limit < 0:
            raise ValueError(f"the limit of a range is {limit}")
        # The host puts what this call wrote in its place among the others. Should the record be refused all the same, the
        # host forgets the call and asks again without it.
        self._call._flush()
        found = self._call._host.range(self._name, own(start), own(end), min(limit, LIMIT_MAX))
        for key, value in found:
            self._call._hold(key, value)
        return found

    def _back(self, key: bytes, value: object, was_written: bool) -> None:
        """Undoes a write."""
        self._known[key] = value
        if was_written:
            self._written[key] = None
        else:
            self._written.pop(key, None)

    def _flush(self) -> None:
        if self._written:
            self._call._host.put(self._name, [(key, self._known[key]) for key in self._written])
            self._written.clear()


class Call:
    """The stores and timers of a call. It ends with its last record: who keeps it, or a store of it, can do nothing with it."""

    def __init__(self, host: Host) -> None:
        self._host, self._under_way = host, True
        self._stores: dict[str, Store] = {}
        # What was there before each write for the record at hand: store, key, value, whether this call had written it.
        self._undo: list[tuple[Store, bytes, object, bool]] = []
        self._timers: list[Change] = []
        # The earliest event time for which a timer was set.
        self._earliest: float = inf
        # About how many bytes it holds of stores and timers.
        self._bytes = 0

    def store(self, name: str) -> Store:
        """A store of the step, by the name that the manifest gives it."""
        self._must_be_under_way()
        found = self._stores.get(name)
        if found is None:
            found = self._stores[name] = Store(self, name)
        return found

    def set_timer(self, clock: Clock, key: bytes | str | None, name: str, due: int) -> None:
        """Sets a timer for the time `due`, milliseconds since 1970-01-01T00:00:00Z. There is one for each clock, key and name:
        setting it again moves it. Without a key it is the task's."""
        due = operator.index(due)
        if not -(1 << 63) <= due < 1 << 63:
            raise OverflowError(f"a timer is set for {due}, which 64 bits do not hold")
        self._change(clock, key, name, due)
        if clock is Clock.EVENT_TIME:
            self._earliest = min(self._earliest, due)

    def cancel_timer(self, clock: Clock, key: bytes | str | None, name: str) -> None:
        """Cancels a timer, where there is one."""
        self._change(clock, key, name, None)

    def _change(self, clock: Clock, key: bytes | str | None, name: str, due: int | None) -> None:
        self._must_be_under_way()
        if not isinstance(clock, Clock) or not isinstance(name, str):
            raise TypeError(f"a timer has a Clock and a name that is text, not {clock!r} and {name!r}")
        key = None if key is None else own(key)
        self._hold(key, None)
        self._timers.append(Change(clock, key, name, due))

    def _must_be_under_way(self) -> None:
        if not self._under_way:
            raise RuntimeError("stores and timers are for the call that they are from, and it has ended")

    def _hold(self, key: bytes | None, value: bytes | None) -> None:
        """Counts an entry, or a timer, with what it takes besides its bytes."""
        self._bytes += 64 + len(key or b"") + len(value or b"")

    def _mark(self) -> tuple[int, float]:
        """The record at hand begins here."""
        self._undo.clear()
        return len(self._timers), self._earliest

    def _forget(self, mark: tuple[int, float]) -> None:
        """The record at hand is refused: what was written for it is forgotten."""
        for store, *before in reversed(self._undo):
            store._back(*before)
        timers, self._earliest = mark
        # None where a range has sent them.
        del self._timers[timers:]

    def _flush(self) -> None:
        """Hands what was written over; changes of timers in their order, those that follow each other and are alike together."""
        for store in self._stores.values():
            store._flush()
        for (clock, name, cancels), alike in groupby(self._timers, Change.kind):
            _, keys, _, due = zip(*alike)
            if cancels:
                self._host.cancel(clock, list(keys), name)
            else:
                self._host.set(clock, list(keys), name, list(due))
        self._timers.clear()

    def _end(self) -> None:
        self._flush()
        self._under_way = False
        # They know this call: a circle, which would stay until somebody looks for circles.
        self._stores.clear()


def process(processor: Callable, records: Iterable[Record], host: Host, bytes_max: int = RESULT_BYTES_MAX) -> Shaped:
    """Handles records until they are all dealt with, a timer that was set is due before the next one, or results, stores and
    timers have `bytes_max` bytes: the contract's `output`."""
    call = Call(host)
    rows = ((record, record) for record in until_due(records, call))
    return handle(processor, rows, call, bytes_max).columns()


def fire(on_timer: Callable, timers: list[Timer], host: Host, bytes_max: int = RESULT_BYTES_MAX) -> Shaped:
    """Handles timers that are due: the contract's `output`, in which values are given in any case."""
    # Of what is not given, a result has the timer's key, its name as value, its time, and no headers.
    rows = ((Record(timer.key, timer.name.encode(), timer.due), timer) for timer in timers)
    return handle(on_timer, rows, Call(host), bytes_max).columns(all_values=True)


def until_due(records: Iterable[Record], call: Call) -> Iterator[Record]:
    """The records up to the first at which a timer that the call has set is due, which has to fire before it."""
    newest: float = -inf
    for record in records:
        newest = max(newest, record.timestamp)
        if call._earliest <= newest:
            return
        yield record


def handle(function: Callable, rows: Iterator[tuple[Record, Record | Timer]], call: Call, bytes_max: int) -> Outcome:
    """Asks a function about each second of `rows`; the first is what its results are like unless it says otherwise."""
    outcome = Outcome()
    for record, asked in rows:
        if outcome.bytes + call._bytes >= bytes_max:
            break
        mark = call._mark()
        try:
            outcome.add(record, results_of(function(asked, call), asked))
        except Reject as reject:
            call._forget(mark)
            outcome.reject(reject)
    call._end()
    return outcome
