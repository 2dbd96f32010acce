"""What a component's exports call: each class answers for an interface of the contract. Only inside a component, where
componentize-py has made `wit_world`."""

from componentize_py_types import Err
from millstream import folding, host, log, processors, registry, single
from millstream.columns import Shaped, items
from millstream.records import each_record
from wit_world.imports import context
from wit_world.imports import log as host_log

attached = False


def answered(interface: str, call):
    """Answers a call. What a function raises beside `Reject` fails the call, with what and where."""
    global attached
    if not attached:
        # Not while the component is made: then there is no host yet.
        log.attach(host_log)
        attached = True
    try:
        function = registry.exported.get(interface)
        if function is None:
            raise ValueError(f"this function has no {interface}; another function of its file may")
        return call(function)
    except Exception as error:
        raise Err(said(error)) from error


def said(error: Exception) -> str:
    """What and where. An error of the SDK itself has words enough. Not by `traceback`, which would look for the source."""
    name, place = type(error).__name__, error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None or "/millstream/" in place.tb_frame.f_code.co_filename:
        return f"{name}: {error}"
    code = place.tb_frame.f_code
    return f"{name}: {error}, in {code.co_name} at {code.co_filename.rsplit('/', 1)[-1]}:{place.tb_lineno}"


class Filter:
    def keep(self, records):
        return answered("filter", lambda function: single.keep(function, records, context))


class Mapper:
    def apply(self, records):
        return answered("mapper", lambda function: single.apply(function, records, context))


class Router:
    def route(self, records):
        return answered("router", lambda router: single.route(*router, records, context))


class Joiner:
    def join(self, keys, left, right):
        return answered("joiner", lambda function: single.join(function, keys, left, right))


class Aggregator:
    def add(self, into, records):
        return answered("aggregator", lambda made: folding.fold(made, made.add, into, records, context))

    def finish(self, of):
        return answered("aggregator", lambda made: folding.finish(made, of))


class Retractor:
    def remove(self, from_, records):
        return answered("retractor", lambda made: folding.fold(made, made.remove, from_, records, context))


class Scanner:
    def scan(self, into, records):
        return answered("scanner", lambda made: folding.scan(made, into, records, context))


class Merger:
    def merge(self, keys, left, right):
        return answered("merger", lambda made: folding.merge(made, left, right))


class Migrator:
    def describe(self):
        # Without a migrator: layout 0, for ever.
        layouts = folding.Layouts(*getattr(registry.exported.get("migrator"), "layouts", ()))
        return Shaped(current=layouts.current, reads=list(layouts.reads), writes=list(layouts.writes))

    def migrate(self, store, old, new, keys, states):
        return answered("migrator", lambda made: folding.migrate(made, store, old, new, keys, states))


class Processor:
    def process(self, records):
        return answered("processor", lambda function: processors.process(function, each_record(records, context), host))


class OnTimer:
    def fire(self, clock, due):
        return answered("on-timer", lambda function: processors.fire(function, timers_of(clock, due), host))


def timers_of(clock, due) -> list[processors.Timer]:
    clock = processors.Clock(clock.value)
    rows = zip(items(due.keys), items(due.values), due.timestamps)
    return [processors.Timer(clock, key, name.decode(), time) for key, name, time in rows]


class Lifecycle:
    def functions(self):
        return [
            Shaped(name=one.name, interfaces=list(one.interfaces), details=details(one)) for one in registry.functions
        ]

    def start(self, function, settings):
        try:
            registry.start(function, registry.Settings(dict(settings)))
        except Exception as error:
            raise Err(str(error) or type(error).__name__) from error


def details(function: registry.Function) -> list[tuple[str, str]]:
    known = [("summary", function.summary), ("settings-schema", function.settings_schema)]
    return [(name, text) for name, text in known if text]
