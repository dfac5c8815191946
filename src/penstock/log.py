"""What the server tells: events for operators on standard output, and the log of defects on standard error.

An event is one line, `delay:1 ready in 38 ms (...)`, and the same as fields for machines. A record of the
log is `2026-01-31T12:00:00.123Z WARNING penstock.rpc message`; a traceback follows its line. Either can be a
JSON object on one line instead. Control characters are escaped, so that text which came from a caller cannot
forge a line. A server writes both through an Outlet: nothing that it does waits for whoever reads them.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, Self, TextIO, TypeVar

_ESCAPES = (
    {code: f"\\x{code:02x}" for code in [*range(32), 127, *range(128, 160)]}
    | {0x2028: "\\u2028", 0x2029: "\\u2029"}
    # Lone surrogates stand for bytes of a path that are not UTF-8; no stream could write them.
    | {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}
)

Value = str | int | float | bool | list[str]
T = TypeVar("T")


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


class Outlet(Generic[T]):
    """A way out at which nobody waits: put() hands an item over, and one thread writes them in order.

    Where whoever reads at the other end has stopped reading, at most `most` items wait. Further ones are
    dropped and counted, and what `lost(count)` makes tells of them once there is room. `write` may wait as
    long as it likes; it must not raise. Every method may be called from any thread.
    """

    def __init__(self, write: Callable[[T], None], lost: Callable[[int], T], *, most: int = 1024) -> None:
        self._write = write
        self._lost_item = lost
        self._most = most
        self._changed = threading.Condition()  # of everything below
        self._items: deque[T] = deque()
        self._lost = 0
        self._writing = False
        self._closed = False
        threading.Thread(target=self._work, name="penstock-outlet", daemon=True).start()

    def put(self, item: T) -> None:
        """Hands an item over; it is dropped where too many wait, or behind close()."""
        with self._changed:
            if self._closed:
                return
            if len(self._items) >= self._most:
                self._lost += 1
                return
            self._tell_of_lost()
            self._items.append(item)
            self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """Takes no more, and waits at most `timeout` seconds until all is written: whether it is.

        Where it is not, the thread is still within `write`, and holds what that holds.
        """
        with self._changed:
            if not self._closed:
                self._tell_of_lost()
                self._closed = True
                self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._items and not self._writing, timeout)

    def _tell_of_lost(self) -> None:
        if self._lost:
            self._items.append(self._lost_item(self._lost))
            self._lost = 0

    def _work(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._items or self._closed)
                if not self._items:
                    return
                item = self._items.popleft()
                self._writing = True
            self._write(item)


class QueuedHandler(logging.Handler):
    """Formats a record on the thread that logs it; `outlet` writes it to the stream."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self.outlet: Outlet[str] = Outlet(self._write, self._lost)

    def emit(self, record: logging.LogRecord) -> None:
        """Hands the line over."""
        try:
            self.outlet.put(self.format(record))
        except Exception:
            self.handleError(record)

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads it any more: there is no other place to say so
            return

    def _lost(self, count: int) -> str:
        record = logging.LogRecord(__name__, logging.WARNING, "", 0, lines_lost(count), None, None)
        return self.format(record)


def failing_into(
    logger: logging.Logger, doing: str, report: Callable[[Event], None]
) -> Callable[[Event], None]:
    """`report`, but where it fails, as into a pipe that nobody reads any more, `logger` has the line.

    `doing` is what failed then: "reporting".
    """

    def tell(event: Event) -> None:
        try:
            report(event)
        except Exception as error:
            logger.error("%s (%s that failed: %r)", event, doing, error)

    return tell


def lines_lost(count: int) -> str:
    """What is told where an outlet had to drop some."""
    return f"{count} line{'' if count == 1 else 's'} dropped, as nobody read them"


def configure(
    level: int = logging.INFO, *, as_json: bool = False, handler: logging.Handler | None = None
) -> None:
    """Sends the records of `penstock.*` to standard error; leaves every other logger of the process alone.

    `handler` is what takes them there, one that writes while the logging thread waits where None.
    """
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    logger = logging.getLogger("penstock")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _utc(seconds: float) -> str:
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"
