"""Loads on a grpcio server: what arrives there, and what is made of what comes back."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from penstock.bench import Body, Interrupted, Load, measure

METHOD = "/test.Echo/Call"
Answer = Callable[[bytes, Any], bytes]


@contextmanager
def serving(answer: Answer, address: str = "127.0.0.1:0", threads: int = 4) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(threads))
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Call": handler})])
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield address if address.startswith("unix") else f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def load(**options: Any) -> Load:
    return Load(**{"method": METHOD, "connections": 3, "warmup": 0.0, "seconds": 0.3, **options})


def echo(request: bytes, context: Any) -> bytes:
    return request


def test_an_open_loop_answers_all_and_says_how_long_it_took() -> None:
    with serving(echo) as target:
        result = measure(target, [b"a", b"b" * 5000], load(rate=300.0, schedule="even", seconds=0.5))
    assert (result.requests, result.good, result.failed) == (150, 150, 0)
    assert result.seconds == 0.5
    assert result.throughput == pytest.approx(300, rel=0.1)  # the last answers come after the end
    assert result.answers == ((75,), (75,))
    assert 0 < result.percentile_ms(50) < result.percentile_ms(100) < 1000
    assert result.late.count == 150
    assert 0 < result.late_ns / 1e6 < result.percentile_ms(100)
    assert result.times is None


def test_a_closed_loop_has_no_schedule_to_be_late_for() -> None:
    with serving(echo) as target:
        result = measure(target, b"a", load(streams=2))
    assert result.rate is None
    assert result.good == result.requests > 50
    assert result.late.count == 0 == result.late_ns


def test_a_poisson_schedule_is_that_of_its_seed() -> None:
    with serving(echo) as target:
        due = [measure(target, b"a", load(rate=400.0, seed=seed, trace=True)).times for seed in (5, 5, 6)]
    gaps = [np.diff(np.sort(times[:, 0])) for times in due if times is not None]
    assert gaps[0].tolist() == gaps[1].tolist() != gaps[2].tolist()
    assert 60 < len(gaps[0]) < 180  # 120, and 5 of their standard deviations


def test_metadata_and_deadline_reach_the_server() -> None:
    seen: list[tuple[dict[str, Any], float | None]] = []

    def answer(request: bytes, context: Any) -> bytes:
        seen.append((dict(context.invocation_metadata()), context.time_remaining()))
        return request

    with serving(answer) as target:
        result = measure(
            target, b"a", load(rate=100.0, seconds=0.1, deadline=7.5, metadata=[("X-Tenant", "blue")])
        )
    assert result.failed == 0
    for metadata, remaining in seen:
        assert metadata["x-tenant"] == "blue"
        assert metadata["user-agent"].startswith("penstock-bench/")
        assert remaining is not None
        assert 6 < remaining <= 7.5


def test_answers_after_the_deadline_failed_by_whoever_notices_first() -> None:
    def answer(request: bytes, context: Any) -> bytes:
        time.sleep(0.05)
        return request

    with serving(answer) as target:
        result = measure(target, b"a", load(rate=40.0, deadline=0.02))
    assert result.good == 0
    assert result.failed == result.requests > 0
    assert {failure.text for failure in result.failures} <= {
        "DEADLINE_EXCEEDED",
        "DEADLINE_EXCEEDED (client)",
    }
    assert result.overdue


def test_an_answer_that_is_not_the_expected_one_failed() -> None:
    with serving(lambda request, context: b"same" if request == b"a" else b"other") as target:
        bodies = [Body(b"a", (b"same",)), Body(b"b", (b"same", b"third"))]
        result = measure(target, bodies, load(rate=200.0, schedule="even", seconds=0.2))
    assert result.answers == ((20,), (0, 0))
    assert [(failure.label, failure.count) for failure in result.failures] == [("another answer", 20)]


def test_what_a_server_says_of_a_refusal_is_kept() -> None:
    def answer(request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")
        raise AssertionError

    with serving(answer) as target:
        (failure,) = measure(target, b"a", load(rate=100.0)).failures
    assert (failure.text, failure.example) == ("RESOURCE_EXHAUSTED", "the queue is full")


def test_a_unix_socket_is_a_target(tmp_path: Any) -> None:
    with serving(echo, f"unix:{tmp_path}/socket") as target:
        assert measure(target, b"a", load(rate=100.0)).failed == 0


def test_several_threads_share_the_load() -> None:
    told: list[tuple[int, int]] = []
    with serving(echo) as target:
        result = measure(
            target,
            b"a",
            load(rate=300.0, schedule="even", threads=3, warmup=0.1),
            progress=lambda sent, answered: told.append((sent, answered)),
        )
    assert (result.requests, result.good) == (90, 90)
    assert told[-1] == (120, 120)
    assert told == sorted(told)


def test_the_generator_leaves_python_to_others() -> None:
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1

    with serving(echo) as target:
        counting = threading.Thread(target=count)
        counting.start()
        try:
            result = measure(target, b"a", load(rate=50.0, seconds=0.5))
        finally:
            stop.set()
            counting.join()
    assert result.failed == 0
    assert counted > 100_000


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as a terminal's programs have it: those that a shell starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_the_load_and_keeps_what_was_measured() -> None:
    with serving(echo) as target:
        timer = threading.Timer(0.4, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        began = time.monotonic()
        with pytest.raises(Interrupted) as caught:
            measure(target, b"a", load(rate=200.0, schedule="even", seconds=30.0))
        timer.join()
    assert time.monotonic() - began < 10
    result = caught.value.result
    assert result.interrupted
    assert 20 < result.requests == result.good < 1000
    assert result.seconds == pytest.approx(result.requests / 200, abs=0.05)


def test_leaving_the_block_ends_a_load_without_a_time_of_its_own() -> None:
    with serving(echo) as target:
        with load(rate=100.0, seconds=0.0).start(target, b"a") as running:
            assert not running.wait(0.3)
            assert running.sent > 0
        result = running.result()
    assert result.requests == result.good > 10


def test_a_server_that_hangs_keeps_no_stream_of_a_closed_loop_longer_than_the_deadline() -> None:
    hung = threading.Event()

    def answer(request: bytes, context: Any) -> bytes:
        if request == b"hang":
            hung.wait(5)
        return request

    with serving(answer, threads=64) as target:
        result = measure(target, [b"a", b"hang"], load(streams=2, deadline=0.1, seconds=0.5))
        hung.set()
    (failure,) = result.failures
    assert failure.overdue
    assert failure.count >= 10  # six streams, each of them every tenth of a second
    assert result.good >= 10


def test_a_maximum_connection_age_costs_no_request() -> None:
    """grpcio says GOAWAY then; what is under way is answered within the grace."""
    server = grpc.server(
        ThreadPoolExecutor(4),
        options=[("grpc.max_connection_age_ms", 200), ("grpc.max_connection_age_grace_ms", 5000)],
    )
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Call": handler})])
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        for options in ({"rate": 300.0}, {"streams": 2}):
            result = measure(target, b"a", load(seconds=1.5, **options))
            assert result.failed == 0
            assert result.good == result.requests > 300
            assert result.reconnects >= 6
            assert result.to_json()["reconnects"] == result.reconnects
    finally:
        server.stop(None).wait()


def test_what_a_server_says_is_told_without_control_characters() -> None:
    def answer(request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.INTERNAL, "\x1b[2Jgone\nbad ü")
        raise AssertionError

    with serving(answer) as target:
        (failure,) = measure(target, b"a", load(rate=100.0)).failures
    assert failure.said == "\\x1b[2Jgone\\nbad ü"
