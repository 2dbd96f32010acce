"""Aggregators: fold records into states one by one, over the contract's groups. Not the store: the host keeps states."""

from typing import Any, NamedTuple

from millstream.columns import BytesColumn, Shaped, items, rejection
from millstream.records import Record, Reject, Window, records_of


class Group(NamedTuple):
    """What an aggregator folds records into: the key all of its records have, and its window, if there is one."""

    key: bytes = b""
    window: Window | None = None


class Layouts(NamedTuple):
    """Which layouts of states a function knows: what it writes, what `migrate` turns into that, and what it turns that
    back into."""

    current: int = 0
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()


class Stored(NamedTuple):
    """A state that is to be turned into another layout: the processor's store that it is in (empty for the states of an
    aggregator or a scanner), its key, its bytes."""

    store: str = ""
    key: bytes = b""
    state: bytes = b""


class Aggregator:
    """Folds records into a state that the host stores as bytes. A class that also has `merge(left, right)` can join states
    (sessions that meet, windows built from panes); with `remove(state, record)` it aggregates over tables, too; with
    `layouts` and `migrate(stored, old, new)`, which gives bytes, it takes over states of other versions. Any exception but `Reject` in `add`
    and `remove` fails the call: stored bytes are no record's fault."""

    layouts = Layouts()

    def start(self, group: Group) -> Any:
        """The state before the first record."""
        raise NotImplementedError

    def decode(self, data: bytes) -> Any:
        """A stored state."""
        raise NotImplementedError

    def encode(self, state: Any) -> bytes:
        """The state's bytes."""
        raise NotImplementedError

    def add(self, state: Any, record: Record) -> Any:
        """The state with a record in it. Who raises `Reject` must have left the state as it was."""
        raise NotImplementedError

    def gone(self, state: Any) -> bool:
        """Whether nothing worth keeping is left; such a group is removed from the store."""
        return False

    def finish(self, state: Any, group: Group) -> bytes | str | None:
        """What leaves the pipeline; `None`: nothing (in a table: a tombstone)."""
        raise NotImplementedError


def groups_of(groups) -> list[Group]:
    """The groups of the contract's `groups`."""
    keys = items(groups.keys)
    if not groups.starts:
        return [Group(key) for key in keys]
    return [Group(key, Window(*sides)) for key, *sides in zip(keys, groups.starts, groups.ends)]


def fold(aggregator: Aggregator, take, groups, batch, context=None, each=None) -> Shaped:
    """Folds the members of each group into its state by `take`: the contract's `folded`. `each` gets what every member
    leaves."""
    records, states, rejected = records_of(batch, context), [], []
    offsets, members = groups.offsets, groups.members
    for index, (stored, group) in enumerate(zip(items(groups.states), groups_of(groups))):
        state = aggregator.start(group) if stored is None else aggregator.decode(stored)
        added = False
        for place in range(offsets[index], offsets[index + 1]):
            left = None
            try:
                state = take(state, records[members[place]])
                added = True
                if each is not None:
                    left = aggregator.finish(state, group)
            except Reject as reject:
                rejected.append(rejection(place, str(reject)))
            if each is not None:
                each.append(left)
        if not added:
            # A group whose every record was refused is as it was: stored bytes, or nothing.
            states.append(stored)
        else:
            states.append(None if aggregator.gone(state) else aggregator.encode(state))
    return Shaped(states=BytesColumn.of(states), rejected=rejected)


def scan(aggregator: Aggregator, groups, batch, context=None) -> Shaped:
    """Folds, and finishes after each record: the contract's `scanned`."""
    values: list = []
    folded = fold(aggregator, aggregator.add, groups, batch, context, values)
    return Shaped(states=folded.states, values=BytesColumn.of(values), rejected=folded.rejected)


def finish(aggregator: Aggregator, groups) -> BytesColumn:
    """What leaves the pipeline for each group; null where nothing was stored."""
    stored = zip(items(groups.states), groups_of(groups))
    return BytesColumn.of(
        [None if state is None else aggregator.finish(aggregator.decode(state), group) for state, group in stored]
    )


def merge(aggregator, left, right) -> BytesColumn:
    """Joins two states of each key; a null side leaves the other as it is."""
    merged = []
    for one, other in zip(items(left), items(right)):
        if one is None or other is None:
            merged.append(other if one is None else one)
        else:
            merged.append(aggregator.encode(aggregator.merge(aggregator.decode(one), aggregator.decode(other))))
    return BytesColumn.of(merged)


def migrate(migrator, store: str, old: int, new: int, keys, states) -> BytesColumn:
    """Turns states from one layout into another; null stays null."""
    known = Layouts(*migrator.layouts)
    reads = new == known.current and old in known.reads
    writes = old == known.current and new in known.writes
    if not reads and not writes:
        made = f"layout {known.current} is made of {list(known.reads)}, and made into {list(known.writes)}"
        raise ValueError(f"no way from layout {old} to {new}: {made}")
    rows = zip(items(keys), items(states))
    return BytesColumn.of(
        [None if state is None else migrator.migrate(Stored(store, key, state), old, new) for key, state in rows]
    )
