"""A record as a function sees it, what a function makes of one, and how it refuses one. Not the columns beneath."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from millstream import columns


class Reject(Exception):
    """Raised for a record that the function will not handle: the pipeline's `on-error` decides its fate, and the other
    records go on. The text is for people: what about the record is wrong. Any other exception fails the whole call."""


class Window(NamedTuple):
    """A time window, milliseconds since 1970-01-01T00:00:00Z: `start` is in it, `end` no longer."""

    start: int
    end: int


class Same:
    """See `SAME`."""

    def __repr__(self) -> str:
        return "SAME"


SAME = Same()
"""In a result: as in its record."""

Headers = Iterable[tuple[str, bytes | str | None]]


class Result(NamedTuple):
    """One result of a mapper; what is `SAME` is as in its record. Text is its UTF-8."""

    key: "bytes | str | None | Same" = SAME
    value: "bytes | str | None | Same" = SAME
    timestamp: "int | Same" = SAME
    headers: "Headers | Same" = SAME
    output: int = 0
    """The step's named output, by its place in the manifest's list (branches)."""


class Facts:
    """What the host knows about the records of a call beside the records: fetched when it is first asked for, once a
    call. Natively there is nothing but what a test gives to `Record`."""

    def __init__(self, context=None) -> None:
        self._context, self._known = context, {}

    def get(self, name: str, index: int, missing):
        if name not in self._known:
            found = getattr(self._context, name)() if self._context else None
            if name == "headers" and found is not None:
                found = columns.headers_of(found)
            elif name == "windows" and found is not None:
                found = [Window(*sides) for sides in zip(*found)]
            self._known[name] = found
        known = self._known[name]
        return known[index] if known and index < len(known) else missing


class Record:
    """A record. `Record(value=b"…")` makes one for a test; what is given there of headers and the like is what the host
    would say."""

    __slots__ = ("key", "value", "timestamp", "_facts", "_index")

    def __init__(
        self,
        key: bytes | None = None,
        value: bytes | None = None,
        timestamp: int = 0,
        *,
        headers: Headers = (),
        stream_time: int = 0,
        window: Window | None = None,
        input: int = 0,
    ) -> None:
        self.key, self.value, self.timestamp = key, value, timestamp
        self._facts, self._index = Facts(), 0
        self._facts._known.update(headers=[tuple(headers)], stream_times=[stream_time], windows=[window], inputs=[input])

    @property
    def text(self) -> str:
        """The value as text; a value that is not there or not UTF-8 is refused."""
        if self.value is None:
            raise Reject("the record has no value")
        try:
            return self.value.decode()
        except UnicodeDecodeError:
            raise Reject("the value is not UTF-8") from None

    @property
    def headers(self) -> tuple[tuple[str, bytes | None], ...]:
        """Pairs of name and value, in order; a name may come several times, a value may be `None`."""
        return self._facts.get("headers", self._index, ())

    def header(self, name: str) -> bytes | None:
        """The value of the last header of this name; `None` when there is none, or its value is null."""
        found = [value for given, value in self.headers if given == name]
        return found[-1] if found else None

    @property
    def stream_time(self) -> int:
        """The step's stream time once this record is in, milliseconds."""
        return self._facts.get("stream_times", self._index, 0)

    @property
    def window(self) -> Window | None:
        """The window of the record's key; `None` where keys have no window."""
        return self._facts.get("windows", self._index, None)

    @property
    def input(self) -> int:
        """Which of the step's inputs, in the manifest's order, the record came from; 0 where there is only one."""
        return self._facts.get("inputs", self._index, 0)

    def __repr__(self) -> str:
        return f"Record(key={self.key!r}, value={self.value!r}, timestamp={self.timestamp})"


def each_record(batch, context=None) -> Iterator[Record]:
    """The records of the contract's `batch`, each when it is wanted: a call may end before the last."""
    facts, new = Facts(context), Record.__new__
    rows = zip(columns.items(batch.keys), columns.items(batch.values), batch.timestamps)
    for index, (key, value, timestamp) in enumerate(rows):
        record = new(Record)
        record.key, record.value, record.timestamp = key, value, timestamp
        record._facts, record._index = facts, index
        yield record


def records_of(batch, context=None) -> list[Record]:
    """All of them."""
    return list(each_record(batch, context))


class Pair(NamedTuple):
    """What has met in a join; not both sides are missing."""

    key: bytes | None = None
    left: bytes | None = None
    right: bytes | None = None
