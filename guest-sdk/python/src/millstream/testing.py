"""For tests of processors: a host with stores and timers. They are there when the test asks, and nothing fires by itself; what a
step's manifest says about them, such as `ttl`, it does not know."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from millstream import processors
from millstream.columns import Shaped, headers_of, items
from millstream.processors import Clock, Timer
from millstream.records import Record, Result


class Answer(NamedTuple):
    """What a call comes to."""

    taken: int
    """How many of the records, or timers, were dealt with: a call ends before a record at which one of its timers is due."""
    results: list[Result]
    """In order, with nothing left to be the `SAME`: keys and values are bytes or `None`."""
    sources: list[int]
    """Which record each result came from."""
    rejected: list[tuple[int, str]]
    """Which records were refused, and why."""


class Host:
    """Stores and timers, and calls that have them.

    >>> def later(record, call):
    ...     call.set_timer(Clock.EVENT_TIME, record.key, "later", record.timestamp + 10_000)
    >>> host = Host()
    >>> host.process(later, [Record(b"k", timestamp=5)]).taken
    1
    >>> host.pop_timer()
    Timer(clock=<Clock.EVENT_TIME: 0>, key=b'k', name='later', due=10005)
    """

    def __init__(self) -> None:
        self.stores: dict[str, dict[bytes, bytes]] = {}
        """By store, entries."""
        self.timers: dict[tuple[Clock, bytes | None, str], int] = {}
        """By clock, key and name, due times."""
        self.asked = 0
        """How often it was asked for something: what a function costs besides its own work."""

    def process(self, processor: Callable, records: Iterable[Record]) -> Answer:
        """Calls a processor with these records."""
        records = list(records)
        return answer(processors.process(processor, records, self), records)

    def fire(self, on_timer: Callable, *timers: Timer) -> Answer:
        """Calls a handler with timers that are due."""
        records = [Record(timer.key, timer.name.encode(), timer.due) for timer in timers]
        return answer(processors.fire(on_timer, list(timers), self), records)

    def pop_timer(self, clock: Clock = Clock.EVENT_TIME) -> Timer | None:
        """Takes out the timer of a clock that fires next: by due time, then key, the task's first, then name."""
        timers = [Timer(*which, due) for which, due in self.timers.items() if which[0] is clock]
        first = min(timers, key=lambda timer: (timer.due, timer.key is not None, timer.key, timer.name), default=None)
        if first is not None:
            del self.timers[first[:3]]
        return first

    def get(self, store: str, key: bytes) -> bytes | None:
        self.asked += 1
        return self.stores.get(store, {}).get(key)

    def put(self, store: str, entries: list[tuple[bytes, bytes | None]]) -> None:
        self.asked += 1
        held = self.stores.setdefault(store, {})
        for key, value in entries:
            if value is None:
                held.pop(key, None)
            else:
                held[key] = value

    def range(self, store: str, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        self.asked += 1
        inside = [key for key in self.stores.get(store, {}) if start <= key and (not end or key < end)]
        return [(key, self.stores[store][key]) for key in sorted(inside)[:limit]]

    def set(self, clock: Clock, keys: list[bytes | None], name: str, due: list[int]) -> None:
        self.asked += 1
        self.timers.update(((clock, key, name), time) for key, time in zip(keys, due))

    def cancel(self, clock: Clock, keys: list[bytes | None], name: str) -> None:
        self.asked += 1
        for key in keys:
            self.timers.pop((clock, key, name), None)


def answer(output: Shaped, records: list[Record]) -> Answer:
    """The contract's `output`, with what is as in its record filled in."""
    sources = list(range(output.taken)) if output.sources is None else output.sources
    of = [records[source] for source in sources]
    keys = [record.key for record in of] if output.keys is None else items(output.keys)
    values = [record.value for record in of] if output.values is None else items(output.values)
    times = [record.timestamp for record in of] if output.timestamps is None else output.timestamps
    headers = [record.headers for record in of] if output.headers is None else headers_of(output.headers)
    ports = [0] * len(of) if output.ports is None else output.ports
    results = [Result(*parts) for parts in zip(keys, values, times, headers, ports)]
    return Answer(output.taken, results, sources, [(one.index, one.reason) for one in output.rejected])
