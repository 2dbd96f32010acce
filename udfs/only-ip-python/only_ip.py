"""Keeps lines that carry an address. Whether the address is one is not its matter."""

import millstream


@millstream.filter
def only_ip(record: millstream.Record) -> bool:
    """Whether the value contains `IP:`."""
    return record.value is not None and b"IP:" in record.value
