"""What processors ask their host for, from within a component: stores and timers, in columns. Natively `testing.Host` stands in."""

from componentize_py_types import Err
from millstream.columns import BytesColumn, Shaped, items
from millstream.processors import Clock

# A component imports what its world has: nothing of this without a processor, no timers without a handler of timers.
try:
    from wit_world.imports import state
except ImportError:
    state = None
try:
    from wit_world.imports import timers
except ImportError:
    timers = None

opened: dict = {}
"""Stores that were opened, for as long as the instance lives: as many as the manifest gives the step."""


def store_of(name: str):
    if name not in opened:
        try:
            opened[name] = state.Store.open(name)
        except Err as error:
            raise LookupError(error.value) from None
    return opened[name]


def get(store: str, key: bytes) -> bytes | None:
    # A column of one, without the way through lists.
    column = store_of(store).get(BytesColumn([0, len(key)], key, b""))
    if column.validity and not column.validity[0] & 1:
        return None
    return bytes(column.data)


def put(store: str, entries: list[tuple[bytes, bytes | None]]) -> None:
    keys, values = zip(*entries)
    store_of(store).put(Shaped(keys=BytesColumn.of(keys), values=BytesColumn.of(values)))


def range(store: str, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    found = store_of(store).range(start, end, limit)
    return list(zip(items(found.keys), items(found.values)))


def set(clock: Clock, keys: list[bytes | None], name: str, due: list[int]) -> None:
    there().set(clock, BytesColumn.of(keys), name, due)


def cancel(clock: Clock, keys: list[bytes | None], name: str) -> None:
    there().cancel(clock, BytesColumn.of(keys), name)


def there():
    if timers is None:
        raise RuntimeError("a timer was set or cancelled, and nothing is decorated with @millstream.on_timer")
    return timers
