"""Columns of byte strings as the contract has them, read into lists and made of lists. Not what functions see."""

from itertools import pairwise

Item = bytes | None


class BytesColumn:
    """The contract's `bytes-column`: item i is `data[offsets[i]:offsets[i + 1]]`; bit i of `validity` (byte i // 8, from
    the low end) is 0 when it is null; an empty `validity`: every item is there."""

    __slots__ = ("offsets", "data", "validity")

    def __init__(self, offsets: list[int], data: bytes, validity: bytes) -> None:
        self.offsets, self.data, self.validity = offsets, data, validity

    @classmethod
    def of(cls, given: list[bytes | str | None]) -> "BytesColumn":
        """A column of these items; text is its UTF-8, `None` is null."""
        items = [item.encode() if isinstance(item, str) else item for item in given]
        offsets, end = [0], 0
        for item in items:
            if item is not None:
                end += len(item)
            offsets.append(end)
        if None not in items:
            return cls(offsets, b"".join(items), b"")
        validity = bytearray((len(items) + 7) // 8)
        for index, item in enumerate(items):
            if item is not None:
                validity[index >> 3] |= 1 << (index & 7)
        return cls(offsets, b"".join([item for item in items if item is not None]), bytes(validity))


def items(column) -> list[Item]:
    """The items of a column, also of one that the host gave."""
    data, validity = bytes(column.data), column.validity
    found: list[Item] = [data[start:end] for start, end in pairwise(column.offsets)]
    if validity:
        for index in range(len(found)):
            if not validity[index >> 3] >> (index & 7) & 1:
                found[index] = None
    return found


class HeaderColumns:
    """The contract's `header-columns`: record i owns entries `offsets[i]` to `offsets[i + 1]` of the other two."""

    __slots__ = ("offsets", "names", "values")

    def __init__(self, offsets: list[int], names: BytesColumn, values: BytesColumn) -> None:
        self.offsets, self.names, self.values = offsets, names, values

    @classmethod
    def of(cls, records) -> "HeaderColumns":
        """Of each record's headers, which are pairs of a name and a value."""
        offsets, names, values = [0], [], []
        for headers in records:
            for name, value in headers:
                names.append(name)
                values.append(value)
            offsets.append(len(names))
        return cls(offsets, BytesColumn.of(names), BytesColumn.of(values))


def headers_of(columns) -> list[tuple[tuple[str, Item], ...]]:
    """The headers of each record."""
    names = [name.decode() for name in items(columns.names)]
    pairs = list(zip(names, items(columns.values)))
    return [tuple(pairs[start:end]) for start, end in pairwise(columns.offsets)]


class Shaped:
    """A record of the contract: what it is given by name. The host's side reads fields by their names only."""

    def __init__(self, **fields) -> None:
        self.__dict__.update(fields)

    def __eq__(self, other) -> bool:
        return vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"Shaped({vars(self)})"


def rejection(index: int, reason: str) -> Shaped:
    """The contract's `rejection`."""
    return Shaped(index=index, reason=reason)
