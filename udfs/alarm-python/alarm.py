"""Tells of keys that have fallen silent: no record of a key for thirty seconds of event time gives an alarm, and the first record
after one gives how long the silence was. A record without a key is refused."""

import struct

import millstream
from millstream import Call, Clock, Record, Reject, Result, Timer

SILENCE_MS = 30_000
"""How long a key may be silent, milliseconds."""

LAST = "last"
"""The store with what each key said last: `HEAD`, and behind it the value."""

HEAD = struct.Struct("<q?")
"""When that was, and whether there was an alarm about it: eight bytes and one."""

ALARM, AGAIN = 0, 1
"""The output of alarms, and that of keys that are heard of again."""


@millstream.processor
def heard(record: Record, call: Call):
    """Notes what a key says and starts its thirty seconds anew."""
    if record.key is None:
        raise Reject("a record without a key belongs to nobody")
    last = call.store(LAST)
    held = last.get(record.key)
    if held is not None:
        time, alarmed = HEAD.unpack_from(held)
        if alarmed and record.timestamp > time:
            yield Result(value=str(record.timestamp - time), output=AGAIN)
        # One that comes out of order is older than what is known.
        if record.timestamp < time:
            return
    last.put(record.key, HEAD.pack(record.timestamp, False) + (record.value or b""))
    call.set_timer(Clock.EVENT_TIME, record.key, "silent", record.timestamp + SILENCE_MS)


@millstream.on_timer
def silent(timer: Timer, call: Call) -> Result | None:
    """A key was silent for thirty seconds."""
    last, key = call.store(LAST), timer.key or b""
    held = last.get(key)
    if held is None:
        return None
    time, _ = HEAD.unpack_from(held)
    value = held[HEAD.size :]
    last.put(key, HEAD.pack(time, True) + value)
    return Result(value=value, output=ALARM)
