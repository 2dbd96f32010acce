"""The calls about records by themselves: filters, mappers, joiners, routers; a batch each, in the contract's shapes."""

from collections.abc import Callable

from millstream.columns import BytesColumn, HeaderColumns, Shaped, items, rejection
from millstream.records import SAME, Pair, Record, Reject, Result, each_record, records_of

RESULT_BYTES_MAX = 8 << 20
"""Result bytes of one call after which a mapper stops early; the host asks again with the rest of the records."""


def keep(filter: Callable[[Record], bool], batch, context=None) -> Shaped:
    """Asks a filter about every record: the contract's `kept`."""
    records = records_of(batch, context)
    bits, rejected = bytearray((len(records) + 7) // 8), []
    for index, record in enumerate(records):
        try:
            if filter(record):
                bits[index >> 3] |= 1 << (index & 7)
        except Reject as reject:
            rejected.append(rejection(index, str(reject)))
    return Shaped(bits=bytes(bits), rejected=rejected)


def results_of(mapped, record) -> list[Result]:
    """What a function's answer for one record, or timer, comes to: nothing, one result, or several."""
    if mapped is None:
        return []
    if isinstance(mapped, Result):
        return [mapped]
    if mapped is record:
        return [Result()]
    return [Result() if one is record else one for one in mapped]


def size(result: Result) -> int:
    """About how many bytes a result takes."""
    bytes = 8
    for part in (result.key, result.value):
        if part is not SAME and part is not None:
            bytes += len(part)
    return bytes


class Outcome:
    """What comes of a call's records: the contract's `output`, as far as they are dealt with."""

    def __init__(self) -> None:
        self.taken, self.bytes = 0, 0
        """How many records are dealt with; about how many bytes their results take."""
        self._results: list[tuple[Record, Result]] = []
        self._sources: list[int] = []
        self._rejected: list[Shaped] = []

    def add(self, record: Record, results: list[Result]) -> None:
        """The next record has these results."""
        for result in results:
            self._results.append((record, result))
            self._sources.append(self.taken)
            self.bytes += size(result)
        self.taken += 1

    def reject(self, reject: Reject) -> None:
        """The next record is refused."""
        self._rejected.append(rejection(self.taken, str(reject)))
        self.taken += 1

    def columns(self, all_values: bool = False) -> Shaped:
        """The contract's `output`; `all_values`: values are sent in any case."""
        results = self._results
        one_each = not self._rejected and self._sources == list(range(self.taken))
        outputs = [result.output for _, result in results]
        headers = part_of(results, "headers")
        return Shaped(
            taken=self.taken,
            sources=None if one_each else self._sources,
            ports=outputs if any(outputs) else None,
            keys=column_of(part_of(results, "key")),
            values=column_of(part_of(results, "value", all_values)),
            timestamps=part_of(results, "timestamp"),
            headers=None if headers is None else HeaderColumns.of(headers),
            rejected=self._rejected,
        )


def apply(mapper: Callable, batch, context=None, bytes_max: int = RESULT_BYTES_MAX) -> Shaped:
    """Maps records until they are all dealt with or the results have `bytes_max` bytes: the contract's `output`."""
    outcome = Outcome()
    for record in each_record(batch, context):
        if outcome.bytes >= bytes_max:
            break
        try:
            outcome.add(record, results_of(mapper(record), record))
        except Reject as reject:
            outcome.reject(reject)
    return outcome.columns()


def part_of(results: list[tuple[Record, Result]], name: str, always: bool = False):
    """One part of all results; `None` when each has its record's own, which is then not sent unless it is `always`."""
    parts = [getattr(result, name) for _, result in results]
    if not always and all(part is SAME for part in parts):
        return None
    filled = [getattr(record, name) if part is SAME else part for part, (record, _) in zip(parts, results)]
    same = name != "headers" and all(part is getattr(record, name) for part, (record, _) in zip(filled, results))
    return None if same and not always else filled


def column_of(parts) -> BytesColumn | None:
    return None if parts is None else BytesColumn.of(parts)


def join(joiner: Callable[[Pair], bytes | str | None], keys, left, right) -> Shaped:
    """Asks a joiner about every pair: the contract's `joined`."""
    values, rejected = [], []
    for index, pair in enumerate(map(Pair, items(keys), items(left), items(right))):
        try:
            values.append(joiner(pair))
        except Reject as reject:
            values.append(None)
            rejected.append(rejection(index, str(reject)))
    return Shaped(values=BytesColumn.of(values), rejected=rejected)


def route(router: Callable, partitioned: bool, batch, context=None) -> Shaped:
    """Asks a router about every result: the contract's `routed`. A router that is `partitioned` answers a topic and a
    partition."""
    topics, partitions, rejected = [], [], []
    for index, record in enumerate(records_of(batch, context)):
        try:
            answer = router(record)
            topic, partition = answer if partitioned else (answer, 0)
        except Reject as reject:
            topic, partition = None, 0
            rejected.append(rejection(index, str(reject)))
        topics.append(topic)
        partitions.append(partition)
    return Shaped(topics=BytesColumn.of(topics), partitions=partitions if partitioned else None, rejected=rejected)
