from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock import _proto, errors
from penstock.rpc.dispatch import Dispatcher, Method, status_of

WAIT_S = 10.0
DEFECT = "the server failed to answer; its log says why"
QUICK, SLOW = "/test.Service/Quick", "/test.Service/Slow"


@dataclass
class RecordedCall:
    """A call as the data plane would hand it over; keeps what it was finished with."""

    method: str
    message: bytes
    unfit: int = 0  # answers that cannot be handed over before one can
    finished: queue.SimpleQueue[tuple[int, str, bytes | None]] = field(default_factory=queue.SimpleQueue)

    def finish(self, status: int, message: str, reply: bytes | None = None) -> None:
        if self.unfit:
            self.unfit -= 1
            raise MemoryError
        message.encode()
        self.finished.put((status, message, reply))

    def outcome(self) -> tuple[int, str, bytes | None]:
        return self.finished.get(timeout=WAIT_S)


class Plane:
    """Calls that wait to be taken."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[RecordedCall] = queue.SimpleQueue()
        self.failures = 0  # take()s that fail before one does not

    def take(self, timeout: float) -> RecordedCall | None:
        if self.failures:
            self.failures -= 1
            raise OSError("the plane is gone for a moment")
        try:
            return self.calls.get(timeout=min(timeout, 0.01))
        except queue.Empty:
            return None

    def ask(self, method: str, message: bytes = b"", unfit: int = 0) -> RecordedCall:
        call = RecordedCall(method, message, unfit)
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


@pytest.mark.parametrize("slow", [False, True])
def test_an_answer_that_cannot_be_handed_over_is_internal_and_ends_no_thread(
    serve: Serve, caplog: pytest.LogCaptureFixture, slow: bool
) -> None:
    def refuse(request: Any) -> Any:
        raise errors.NotFoundError("no file \udcff.txt")  # a path that is not UTF-8, and cannot be sent

    plane = serve({QUICK: _method(refuse, slow=slow), SLOW: _method(slow=slow)}, threads=1, slow_threads=1)
    with caplog.at_level(logging.ERROR, "penstock.rpc"):
        assert plane.ask(QUICK, REQUEST).outcome() == (errors.INTERNAL, DEFECT, None)
        plane.ask(SLOW, REQUEST, unfit=2)  # not even INTERNAL: nothing more can be done for it
        assert plane.ask(SLOW, REQUEST).outcome()[0] == errors.OK
    assert "an answer with status 5 could not be handed over" in caplog.text
    assert "UnicodeEncodeError" in caplog.text


def test_answers_without_a_method_are_guarded_too(serve: Serve) -> None:
    plane = serve({QUICK: _method()}, threads=1)
    assert plane.ask("/nothing", unfit=1).outcome() == (errors.INTERNAL, DEFECT, None)
    assert plane.ask(QUICK, REQUEST).outcome()[0] == errors.OK


def test_a_plane_that_fails_to_give_a_call_is_asked_again(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.rpc.dispatch._TAKE_S", 0.01)
    with caplog.at_level(logging.ERROR, "penstock.rpc"):
        plane = serve({QUICK: _method()}, threads=1)
        plane.failures = 3
        end = time.monotonic() + WAIT_S
        while plane.failures and time.monotonic() < end:
            time.sleep(0.005)
        assert plane.ask(QUICK, REQUEST).outcome()[0] == errors.OK
    assert "no call could be taken" in caplog.text


def test_slow_calls_that_wait_when_the_server_stops_are_told_so() -> None:
    gate, begun = threading.Event(), threading.Event()

    def wait(request: Any) -> Any:
        begun.set()
        assert gate.wait(WAIT_S)
        return _named(request)

    plane = Plane()
    dispatcher = Dispatcher(plane.take, {SLOW: _method(wait, slow=True)}, threads=1, slow_threads=1)
    dispatcher.start()
    running = plane.ask(SLOW, REQUEST)
    assert begun.wait(WAIT_S)
    waiting = plane.ask(SLOW, REQUEST)
    while not plane.calls.empty():
        time.sleep(0.005)
    quick = plane.ask("/nothing")  # answered after the one before it was handed over
    assert quick.outcome()[0] == errors.UNIMPLEMENTED
    dispatcher.stop()
    dispatcher.join()
    assert waiting.outcome() == (errors.UNAVAILABLE, "the server stops", None)
    gate.set()
    assert running.outcome()[0] == errors.OK


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
