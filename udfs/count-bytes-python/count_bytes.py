"""Counts records and the bytes of their values: the successor of `count`, whose states it reads and writes back. For records
that `count` counted, their bytes are not known and count as 0."""

import struct

import millstream
from millstream import Group, Layouts, Record, Stored

COUNT = struct.Struct("<Q")
"""Layout 0: the u64 of `count`."""

BOTH = struct.Struct("<QQ")
"""Layout 1: that, and a u64 of bytes behind it."""


@millstream.aggregator
class CountBytes(millstream.Aggregator):
    """The state is a pair: how many records, and how many bytes."""

    layouts = Layouts(current=1, reads=(0,), writes=(0,))

    def start(self, group: Group):
        return 0, 0

    def decode(self, data: bytes):
        return BOTH.unpack(data)

    def encode(self, state) -> bytes:
        return BOTH.pack(*state)

    def add(self, state, record: Record):
        records, bytes = state
        return records + 1, bytes + len(record.value or b"")

    def merge(self, left, right):
        return left[0] + right[0], left[1] + right[1]

    def finish(self, state, group: Group) -> str:
        return f"{state[0]} records, {state[1]} bytes"

    def migrate(self, stored: Stored, old: int, new: int) -> bytes:
        if old == 0:
            return BOTH.pack(*COUNT.unpack(stored.state), 0)
        return COUNT.pack(self.decode(stored.state)[0])
