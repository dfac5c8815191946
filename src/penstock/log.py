"""The server's log on standard error: `2026-01-31T12:00:00.123Z WARNING penstock.rpc message`.

One line a record; a traceback follows its line. Control characters are escaped, so that text which came from
a caller cannot forge a line.
"""

from __future__ import annotations

import logging
import sys
import time

_ESCAPES = {code: f"\\x{code:02x}" for code in [*range(32), 127, *range(128, 160)]} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def one_line(text: str) -> str:
    """The text with every control character and line separator escaped."""
    return text.translate(_ESCAPES)


class LineFormatter(logging.Formatter):
    """Formats a record as the module says. Times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback if the record has one."""
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"
        line = f"{stamp} {record.levelname} {record.name} {one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: int = logging.INFO) -> None:
    """Sends the records of `penstock.*` to standard error; leaves every other logger of the process alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger("penstock")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
