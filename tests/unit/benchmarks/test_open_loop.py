"""The load generator of the reload benchmark against servers that stall, refuse, lie and leave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from open_loop import GeneratorError, OpenLoop, Trace

METHOD = "/test.Echo/Call"
EMPTY_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
Answer = Callable[[bytes, grpc.ServicerContext], bytes]


@contextmanager
def peer(answer: Answer) -> Iterator[str]:
    """A grpcio server on one thread, so that one slow answer holds up those behind it; its address."""
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Call": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def load(target: str, **options: Any) -> OpenLoop:
    options = {"answers": [b"old", b"new"], "rate": 200, "connections": 3, "method": METHOD, **options}
    return OpenLoop(target, b"ask", **options)


def test_every_request_is_answered_counted_and_timed() -> None:
    asked: list[bytes] = []

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        asked.append(request)
        return b"new" if len(asked) > 60 else b"old"

    with peer(answer) as target:
        outcome = load(target).run(0.5)
    assert outcome.requests == 100 == len(asked)
    assert set(asked) == {b"ask"}
    assert outcome.answers == [60, 40]
    assert not outcome.failed
    assert outcome.seconds == pytest.approx(0.5)
    trace = outcome.trace
    assert np.diff(trace.due) == pytest.approx([5e6] * 99, abs=1)
    assert (trace.late > 0).all()
    assert (trace.latency > trace.late).all()


def test_a_stall_is_seen_in_full_by_every_request_that_it_holds_up() -> None:
    stall = 0.5
    seen = iter(range(10**6))

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        if next(seen) == 100:
            time.sleep(stall)
        return b"old"

    with peer(answer) as target:
        outcome = load(target, rate=200).run(1.5)
    assert outcome.answers == [300, 0]
    assert outcome.trace.latency.max() >= stall * 1e9
    # It began when one request in flight met it: 100 come while it lasts, each due 5 ms after the one before,
    # so that half of them wait for more than half of it. A closed loop would show three.
    assert np.count_nonzero(outcome.trace.latency > stall / 2 * 1e9) >= 45


def test_each_kind_of_failure_is_counted_by_its_name() -> None:
    kinds = iter(["ok", "status", "other", "ok", "status", "ok"] * 10)

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        kind = next(kinds)
        if kind == "status":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return b"old" if kind == "ok" else b"neither"

    with peer(answer) as target:
        outcome = load(target).run(60 / 200)
        unknown = load(target, method="/test.Echo/Other").run(0.1)
    assert outcome.answers == [30, 0]
    assert dict(outcome.failed) == {"grpc-status 8": 20, "another answer": 10}
    assert dict(unknown.failed) == {"grpc-status 12": 20}


def test_requests_that_a_closing_server_leaves_behind_are_failures() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(3):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(EMPTY_SETTINGS)
                    connection.recv(1 << 16)
                    time.sleep(0.1)

        thread = threading.Thread(target=hang_up)
        thread.start()
        outcome = load(f"127.0.0.1:{listener.getsockname()[1]}").run(0.5)
        thread.join()
    assert outcome.answers == [0, 0]
    assert outcome.failed.total() == outcome.requests == 100
    assert set(outcome.failed) == {"connection closed"}


def test_without_a_time_it_goes_on_until_the_block_ends() -> None:
    with peer(lambda request, context: b"old") as target, load(target).during() as outcome:
        time.sleep(0.5)
    assert outcome.requests >= 60
    assert outcome.answers == [outcome.requests, 0]


def test_a_server_that_is_not_there_is_said() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(GeneratorError, match="Connection refused"):
            load(target).run(0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"rate": 0}, "rate is 0"), ({"connections": 0}, "connections is 0"), ({"answers": []}, "answers")],
)
def test_wrong_use_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(GeneratorError, match=said):
        load("127.0.0.1:1", **options).run(0.1)


def test_a_trace_is_in_the_order_of_what_was_due_whatever_ended_first() -> None:
    trace = Trace.of([(30, 3, 300), (10, 1, 100), (20, 2, 200), (40, 4, 400)])
    assert trace.due.tolist() == [10, 20, 30, 40]
    assert trace.latency.tolist() == [100, 200, 300, 400]
    assert trace.late[trace.span(20, 40)].tolist() == [2, 3]
    assert trace.taken([trace.span(40, 99), trace.span(0, 20)]).due.tolist() == [40, 10]
    assert trace.span(31, 40) == slice(3, 3)
    assert Trace.of([]).taken([]).due.tolist() == []


def test_the_block_begins_before_the_first_request_is_due() -> None:
    with peer(lambda request, context: b"old") as target, load(target).during() as outcome:
        began = time.monotonic_ns()
        time.sleep(0.2)
    assert began < outcome.trace.due[0] < began + 100_000_000
