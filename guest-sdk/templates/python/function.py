"""Keeps access-log lines of logins."""

import millstream


@millstream.filter
def keep(record: millstream.Record) -> bool:
    """Whether the line has `Action: Login`. A value that is no text is refused."""
    return "Action: Login" in record.text
