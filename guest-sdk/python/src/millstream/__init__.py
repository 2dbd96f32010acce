"""Functions for Millstream in Python: written on single records, run on columns underneath.

A decorator says what a function is (`filter`, `mapper`, `aggregator`, …) and leaves it as it is, so that a test calls it
like any other; `python -m millstream.build` makes the component.
"""

from millstream import log
from millstream.columns import BytesColumn, HeaderColumns
from millstream.folding import Aggregator, Group, Layouts, Stored
from millstream.processors import Call, Clock, Store, Timer
from millstream.records import SAME, Pair, Record, Reject, Result, Window
from millstream.registry import (
    Settings,
    aggregator,
    filter,
    function,
    joiner,
    mapper,
    migrator,
    on_timer,
    partitioned_router,
    processor,
    router,
    scanner,
    start,
)

__all__ = [
    "SAME",
    "Aggregator",
    "BytesColumn",
    "Call",
    "Clock",
    "Group",
    "HeaderColumns",
    "Layouts",
    "Pair",
    "Record",
    "Reject",
    "Result",
    "Settings",
    "Store",
    "Stored",
    "Timer",
    "Window",
    "aggregator",
    "filter",
    "function",
    "joiner",
    "log",
    "mapper",
    "migrator",
    "on_timer",
    "partitioned_router",
    "processor",
    "router",
    "scanner",
    "start",
]
