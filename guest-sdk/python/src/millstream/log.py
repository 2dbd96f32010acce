"""Lines for the host's log, which adds pipeline, function and position, and cuts and counts. Natively they go to standard
error. Nothing to rely on: a host may drop lines. In a component what is printed goes there too, line by line."""

import sys

LEVELS = ("trace", "debug", "info", "warn", "error")

_host = None


def write(level: str, message: str) -> None:
    """Writes a line at one of `LEVELS`."""
    number = LEVELS.index(level)
    if _host is None:
        print(f"{level}: {message}", file=sys.stderr)
    else:
        _host.write(_host.Level(number), message)


def debug(message: str) -> None:
    write("debug", message)


def info(message: str) -> None:
    write("info", message)


def warn(message: str) -> None:
    write("warn", message)


def error(message: str) -> None:
    write("error", message)


class Lines:
    """A text file whose lines go to the log."""

    encoding = "utf-8"

    def __init__(self, level: str) -> None:
        self._level, self._begun = level, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            write(self._level, line)
        return len(text)

    def flush(self) -> None:
        """Sends what has no end of line yet."""
        begun, self._begun = self._begun, ""
        if begun:
            write(self._level, begun)


def attach(host) -> None:
    """From now on lines go to the host, and so does what is printed."""
    global _host
    _host = host
    sys.stdout, sys.stderr = Lines("info"), Lines("warn")
