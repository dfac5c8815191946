from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock import _proto, errors
from penstock.rpc.dispatch import Dispatcher, Method, status_of

WAIT_S = 10.0
QUICK, SLOW = "/test.Service/Quick", "/test.Service/Slow"


@dataclass
class RecordedCall:
    """A call as the data plane would hand it over; keeps what it was finished with."""

    method: str
    message: bytes
    finished: queue.SimpleQueue[tuple[int, str, bytes | None]] = field(default_factory=queue.SimpleQueue)

    def finish(self, status: int, message: str, reply: bytes | None = None) -> None:
        self.finished.put((status, message, reply))

    def outcome(self) -> tuple[int, str, bytes | None]:
        return self.finished.get(timeout=WAIT_S)


class Plane:
    """Calls that wait to be taken."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[RecordedCall] = queue.SimpleQueue()

    def take(self, timeout: float) -> RecordedCall | None:
        try:
            return self.calls.get(timeout=min(timeout, 0.01))
        except queue.Empty:
            return None

    def ask(self, method: str, message: bytes = b"") -> RecordedCall:
        call = RecordedCall(method, message)
        self.calls.put(call)
        return call


Serve = Callable[..., Plane]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Dispatcher] = []

    def start(methods: dict[str, Method], **options: int) -> Plane:
        plane = Plane()
        dispatcher = Dispatcher(plane.take, methods, **options)
        dispatcher.start()
        started.append(dispatcher)
        return plane

    yield start
    for dispatcher in started:
        dispatcher.stop()
        dispatcher.join()


def _named(request: Any) -> Any:
    return _proto.ModelMetadataResponse(name=request.name)


def _method(answer: Callable[[Any], Any] = _named, **options: bool) -> Method:
    return Method(_proto.ModelMetadataRequest, answer, **options)


REQUEST = _proto.ModelMetadataRequest(name="delay").SerializeToString()


def test_a_call_is_answered_with_the_reply_of_its_method(serve: Serve) -> None:
    status, message, reply = serve({QUICK: _method()}).ask(QUICK, REQUEST).outcome()
    assert (status, message) == (errors.OK, "")
    assert _proto.ModelMetadataResponse.FromString(reply).name == "delay"


def test_a_method_that_nobody_answers_is_unimplemented(serve: Serve) -> None:
    assert serve({}).ask(QUICK).outcome() == (errors.UNIMPLEMENTED, f"nothing answers {QUICK}", None)


def test_bytes_that_are_no_message_are_an_invalid_argument(serve: Serve) -> None:
    status, message, _ = serve({QUICK: _method()}).ask(QUICK, b"\xff\xff").outcome()
    assert status == errors.INVALID_ARGUMENT
    assert "not the protobuf message" in message


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFoundError("no such model"), errors.NOT_FOUND),
        (errors.RefusedError("not allowed"), errors.PERMISSION_DENIED),
        (errors.BundleError("altered"), errors.FAILED_PRECONDITION),
        (errors.GoldenError("differs"), errors.FAILED_PRECONDITION),
        (errors.StatusError(errors.UNAVAILABLE, "not ready"), errors.UNAVAILABLE),
    ],
)
def test_errors_on_purpose_reach_the_caller_with_their_status_and_words(
    error: Exception, status: int
) -> None:
    assert status_of(error) == (status, str(error))


def test_an_error_that_nobody_foresaw_is_internal_and_its_traceback_is_in_the_log_only(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> Any:
        raise ZeroDivisionError("a secret")

    with caplog.at_level(logging.ERROR, "penstock.rpc"):
        status, message, _ = serve({QUICK: _method(fail)}).ask(QUICK, REQUEST).outcome()
    assert status == errors.INTERNAL
    assert "secret" not in message
    assert "ZeroDivisionError: a secret" in caplog.text


def test_slow_calls_however_many_hold_up_no_quick_one(serve: Serve) -> None:
    gate = threading.Event()

    def wait(request: Any) -> Any:
        assert gate.wait(WAIT_S)
        return _named(request)

    plane = serve(
        {QUICK: _method(), SLOW: _method(wait, slow=True)}, threads=1, slow_threads=2, max_slow_waiting=3
    )
    slow = [plane.ask(SLOW, REQUEST) for _ in range(5)]
    refused = plane.ask(SLOW, REQUEST)
    assert plane.ask(QUICK, REQUEST).outcome()[0] == errors.OK
    assert refused.outcome()[0] == errors.RESOURCE_EXHAUSTED
    assert all(call.finished.empty() for call in slow)
    gate.set()
    assert [call.outcome()[0] for call in slow] == [errors.OK] * 5
    assert plane.ask(SLOW, REQUEST).outcome()[0] == errors.OK


def test_stopping_ends_the_threads() -> None:
    plane = Plane()
    before = threading.active_count()
    dispatcher = Dispatcher(plane.take, {}, threads=3)
    dispatcher.start()
    assert threading.active_count() == before + 3
    dispatcher.stop()
    dispatcher.join()
    assert threading.active_count() == before
