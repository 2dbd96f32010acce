"""What a program exports: filled by decorators while it is imported, or while a function of several starts. Not the calls
themselves."""

from collections.abc import Callable
from typing import NamedTuple

exported: dict[str, object] = {}
"""What answers for each of the contract's interfaces."""

functions: list["Function"] = []
"""The functions of a file that says its functions, in order."""


def filter(function: Callable) -> Callable:
    """`function(record)` says whether the record is kept."""
    exported["filter"] = function
    return function


def mapper(function: Callable) -> Callable:
    """`function(record)` makes results: `None` for none, `record` itself, a `Result`, or several of these (a generator)."""
    exported["mapper"] = function
    return function


def joiner(function: Callable) -> Callable:
    """`function(pair)` makes a value of two; `None`: null, of two tables the row is gone."""
    exported["joiner"] = function
    return function


def router(function: Callable) -> Callable:
    """`function(record)` is the topic of a result, of the sink's list or pattern; `None`: the sink's own."""
    exported["router"] = (function, False)
    return function


def partitioned_router(function: Callable) -> Callable:
    """`function(record)` is the topic of a result and its partition."""
    exported["router"] = (function, True)
    return function


def aggregator(kind: type) -> type:
    """A subclass of `Aggregator`: exports what it has of aggregator, merger, retractor and migrator."""
    made = kind()
    exported["aggregator"] = made
    for interface, method in (("merger", "merge"), ("retractor", "remove"), ("migrator", "migrate")):
        if hasattr(made, method):
            exported[interface] = made
    return kind


def scanner(kind: type) -> type:
    """The same type, for steps that send every intermediate result."""
    exported["scanner"] = kind()
    return kind


def migrator(kind: type) -> type:
    """A class with `layouts` and `migrate(stored, old, new)`, beside a processor or a scanner: it takes over what other versions
    have stored. An aggregator has these itself."""
    exported["migrator"] = kind()
    return kind


def processor(function: Callable) -> Callable:
    """`function(record, call)` makes results as a mapper does; `call` has the step's stores and timers."""
    exported["processor"] = function
    return function


def on_timer(function: Callable) -> Callable:
    """`function(timer, call)`, beside a processor that sets timers, is called when one is due, and makes results as the processor
    does. What they are not given is the timer's: its key, its name as value, its due time."""
    exported["on-timer"] = function
    return function


class Settings:
    """What the manifest gives a function under `config`: text by name; nested values are JSON text. It remembers which
    settings were asked for, so that one nobody asks for (a slip of the pen) is refused."""

    def __init__(self, given: dict[str, str] | None = None) -> None:
        self._given, self._asked = dict(given or {}), {}

    def get(self, name: str) -> str | None:
        """The text of a setting; `None` when it is not given."""
        self._asked[name] = True
        return self._given.get(name)

    def required(self, name: str) -> str:
        """The text of a setting that must be given."""
        value = self.get(name)
        if value is None:
            raise ValueError(f"the setting `{name}` is missing")
        return value

    def all_known(self) -> None:
        """Refuses settings that nobody asked for."""
        for name in self._given:
            if not self._asked:
                raise ValueError(f"it takes no settings, and `{name}` was given")
            if name not in self._asked:
                known = ", ".join(f"`{asked}`" for asked in self._asked)
                raise ValueError(f"there is no setting `{name}`; there are {known}")


class Function(NamedTuple):
    """One function of a file: its name, the interfaces that answer for it, details, and what makes it."""

    name: str
    interfaces: tuple[str, ...]
    summary: str
    settings_schema: str
    start: Callable[[Settings], None]


def function(name: str, interfaces: list[str], settings_schema: str = "") -> Callable:
    """One of a file's functions, by which a manifest picks it: decorates `start(settings)`, which uses the other decorators
    once it knows its settings. Its first line of documentation is what people are told."""

    def add(start: Callable[[Settings], None]) -> Callable:
        summary = (start.__doc__ or "").strip().split("\n")[0]
        functions.append(Function(name, tuple(interfaces), summary, settings_schema, start))
        return start

    return add


def start(name: str, settings: Settings) -> None:
    """Makes this instance the function of this name; an empty name is the only one of a file with one."""
    for one in functions:
        if one.name == name or (name == "" and len(functions) == 1):
            one.start(settings)
            settings.all_known()
            return
    known = ", ".join(f"`{one.name}`" for one in functions)
    if name == "":
        raise ValueError(f"which of its functions is meant: {known}?")
    raise ValueError(f"there is no function `{name}` in this file; there are {known}")


def interfaces() -> list[str]:
    """The interfaces that a component of this program exports."""
    found = {*exported, *(interface for one in functions for interface in one.interfaces)}
    if functions:
        found.add("lifecycle")
    return sorted(found)
