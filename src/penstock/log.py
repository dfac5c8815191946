"""What the server tells: events for operators on standard output, and the log of defects on standard error.

An event is one line, `delay:1 ready in 38 ms (...)`, and the same as fields for machines. A record of the
log is `2026-01-31T12:00:00.123Z WARNING penstock.rpc message`; a traceback follows its line. Either can be a
JSON object on one line instead. Control characters are escaped, so that text which came from a caller cannot
forge a line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Self

_ESCAPES = (
    {code: f"\\x{code:02x}" for code in [*range(32), 127, *range(128, 160)]}
    | {0x2028: "\\u2028", 0x2029: "\\u2029"}
    # Lone surrogates stand for bytes of a path that are not UTF-8; no stream could write them.
    | {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}
)

Value = str | int | float | bool | list[str]


def one_line(text: str) -> str:
    """The text with every control character, line separator and lone surrogate escaped."""
    return text.translate(_ESCAPES)


class Event(str):
    """One thing that an operator should know. As text it is the line for people.

    What takes lines thus takes events too. `kind` says in one word what happened; `fields` are the facts of
    the line, such as `model`, `version`, `ms` (milliseconds), `digest` and `reason`.
    """

    kind: str
    fields: Mapping[str, Value]
    at: float  # seconds since 1970

    def __new__(cls, kind: str, line: str, /, **fields: Value) -> Self:
        """`line` may be any text; it is escaped."""
        made = super().__new__(cls, one_line(line))
        made.kind, made.fields, made.at = kind, fields, time.time()
        return made

    def to_json(self) -> str:
        """One JSON object in ASCII: `time` (UTC), `event` (the kind), `message` (the line), the fields."""
        return json.dumps({"time": _utc(self.at), "event": self.kind, "message": str(self), **self.fields})


class LineFormatter(logging.Formatter):
    """Formats a record as the module says. Times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback if the record has one."""
        line = f"{_utc(record.created)} {record.levelname} {record.name} {one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: `time`, `level`, `logger`, `message`, and `traceback` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, on one line."""
        fields = {
            "time": _utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": one_line(record.getMessage()),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def configure(level: int = logging.INFO, *, as_json: bool = False) -> None:
    """Sends the records of `penstock.*` to standard error; leaves every other logger of the process alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    logger = logging.getLogger("penstock")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _utc(seconds: float) -> str:
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"
