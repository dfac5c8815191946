"""Takes the calls that the data plane hands over, has them answered, and turns errors into gRPC statuses.

Slow methods (loads) run on threads of their own: however many wait there, metadata is answered at once. No
error ends a thread: what goes wrong is that call's answer, and a line of the log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import DecodeError, Message

from penstock.errors import (
    INTERNAL,
    INVALID_ARGUMENT,
    OK,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    PenstockError,
    StatusError,
)
from penstock.niceness import yield_to_serving

_log = logging.getLogger("penstock.rpc")
_DEFECT = "the server failed to answer; its log says why"
_STOPS = "the server stops"
_TAKE_S = 1.0  # how long one take() waits at most; stop() ends it sooner


class Call(Protocol):
    """One message to answer, exactly once; penstock._core.Call."""

    @property
    def method(self) -> str:
        """The path, as in "/package.Service/Method"."""

    @property
    def message(self) -> bytes:
        """The request's message, without gRPC's prefix."""

    def finish(self, status: int, message: str, reply: bytes | None = None) -> None:
        """The status and, where it is OK, the reply's message."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a method is answered: `answer` gets the request's message and gives the reply's.

    On a stream it is called once a message. `slow`: it may wait for long.
    """

    request: Any  # the message's class
    answer: Callable[[Any], Message]
    stream: bool = False
    slow: bool = False

    def reply(self, message: bytes) -> bytes:
        """Bytes to bytes."""
        return bytes(self.answer(self.request.FromString(message)).SerializeToString())


def status_of(error: Exception) -> tuple[int, str]:
    """The gRPC status and message that an error is answered with. INTERNAL for one that nobody foresaw."""
    if isinstance(error, StatusError):
        return error.status, str(error)
    if isinstance(error, PenstockError):
        return error.code, str(error)
    if isinstance(error, DecodeError):
        return INVALID_ARGUMENT, f"the request is not the protobuf message of this method: {error}"
    return INTERNAL, _DEFECT


class Dispatcher:
    """Threads that take calls until stop().

    `take(timeout)` gives the next call, or None after `timeout` seconds or when the data plane stopped.
    """

    def __init__(
        self,
        take: Callable[[float], Call | None],
        methods: Mapping[str, Method],
        *,
        threads: int = 2,
        slow_threads: int = 4,
        max_slow_waiting: int = 64,
    ) -> None:
        self._take = take
        self._methods = methods
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, name=f"penstock-rpc-{number}", daemon=True)
            for number in range(threads)
        ]
        self._slow = ThreadPoolExecutor(slow_threads, "penstock-rpc-slow", yield_to_serving)
        self._slow_places = threading.BoundedSemaphore(slow_threads + max_slow_waiting)

    def start(self) -> None:
        """Begins to take."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Takes no more. To be followed by the data plane's stop, which wakes the threads; see join()."""
        self._stopping.set()
        self._slow.shutdown(wait=False, cancel_futures=True)

    def join(self) -> None:
        """Waits for the threads that answer quick methods."""
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        yield_to_serving()
        while not self._stopping.is_set():
            try:
                call = self._take(_TAKE_S)
            except Exception:
                _log.exception("no call could be taken")
                self._stopping.wait(_TAKE_S)  # it may go on failing: not as fast as it can
                continue
            if call is not None:
                self._route(call)

    def _route(self, call: Call) -> None:
        try:
            path = call.method
            method = self._methods.get(path)
            if method is None:
                _finish(call, UNIMPLEMENTED, f"nothing answers {path}")
            elif not method.slow:
                _answer(call, method)
            elif not self._slow_places.acquire(blocking=False):
                _finish(call, RESOURCE_EXHAUSTED, f"too many calls of {path} are waiting; try again later")
            else:
                self._hand_over(call, method)
        except Exception:
            _log.exception("a call could not be routed")
            _finish(call, INTERNAL, _DEFECT)

    def _hand_over(self, call: Call, method: Method) -> None:
        def ended(done: Future[None]) -> None:
            self._slow_places.release()
            if done.cancelled():
                _finish(call, UNAVAILABLE, _STOPS)

        try:
            job = self._slow.submit(_answer, call, method)
        except RuntimeError:  # stop() was faster, or no thread can be had
            self._slow_places.release()
            _finish(call, UNAVAILABLE, _STOPS)
        else:
            job.add_done_callback(ended)


def _answer(call: Call, method: Method) -> None:
    """Finishes the call, whatever the method does."""
    try:
        reply = method.reply(call.message)
    except Exception as error:
        status, message = status_of(error)
        if status == INTERNAL:
            _log.exception("%s failed", call.method)
        _finish(call, status, message)
    else:
        _finish(call, OK, "", reply)


def _finish(call: Call, status: int, message: str, reply: bytes | None = None) -> None:
    """Hands the answer over; INTERNAL where that one cannot be."""
    try:
        call.finish(status, message, reply)
    except Exception:
        _log.exception("an answer with status %d could not be handed over", status)
        try:
            call.finish(INTERNAL, _DEFECT)
        except Exception:
            _log.exception("nor could INTERNAL")  # the data plane answers for a call that is dropped
