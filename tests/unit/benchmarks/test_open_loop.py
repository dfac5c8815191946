"""The load generator of the reload benchmark against servers that stall, refuse, lie and leave."""

from __future__ import annotations

import bisect
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from open_loop import GeneratorError, Histogram, OpenLoop, Outcome

METHOD = "/test.Echo/Call"
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


def load(target: str, folder: Path, **options: Any) -> OpenLoop:
    options = {"answers": [b"old", b"new"], "rate": 200, "connections": 3, "method": METHOD, **options}
    return OpenLoop(target, b"ask", directory=folder, **options)


def test_every_request_is_answered_counted_and_timed(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        asked.append(request)
        return b"new" if len(asked) > 60 else b"old"

    with peer(answer) as target:
        outcome = load(target, tmp_path).run(0.5)
    assert outcome.requests == 100 == len(asked)
    assert set(asked) == {b"ask"}
    assert outcome.answers == [60, 40]
    assert not outcome.failed
    assert outcome.seconds == pytest.approx(0.5)
    assert outcome.latency.count == outcome.late.count == 100
    assert 0 < outcome.latency.quantile_ns(0.5) <= outcome.latency.max_ns
    assert len(outcome.slowest_ns) == 64
    assert max(latency for _, latency in outcome.slowest_ns) == outcome.latency.max_ns


def test_a_stall_is_seen_in_full_by_every_request_that_it_holds_up(tmp_path: Path) -> None:
    stall = 0.5
    seen = iter(range(10**6))

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        if next(seen) == 100:
            time.sleep(stall)
        return b"old"

    with peer(answer) as target:
        outcome = load(target, tmp_path, rate=200).run(1.5)
    assert outcome.answers == [300, 0]
    assert outcome.latency.max_ns >= stall * 1e9
    # It began when one request in flight met it: 100 come while it lasts, each due 5 ms after the one before,
    # so that half of them wait for more than half of it. A closed loop would show three.
    slow = sum(count for bound, count in outcome.latency.counts.items() if bound > stall / 2 * 1e9)
    assert slow >= 45


def test_each_kind_of_failure_is_counted_by_its_name(tmp_path: Path) -> None:
    kinds = iter(["ok", "status", "other", "ok", "status", "ok"] * 10)

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        kind = next(kinds)
        if kind == "status":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return b"old" if kind == "ok" else b"neither"

    with peer(answer) as target:
        outcome = load(target, tmp_path).run(60 / 200)
        unknown = load(target, tmp_path, method="/test.Echo/Other").run(0.1)
    assert outcome.answers == [30, 0]
    assert dict(outcome.failed) == {"grpc-status 8": 20, "another answer": 10}
    assert dict(unknown.failed) == {"grpc-status 12": 20}


def test_requests_that_a_closing_server_leaves_behind_are_failures(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(3):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    time.sleep(0.1)

        thread = threading.Thread(target=hang_up)
        thread.start()
        outcome = load(f"127.0.0.1:{listener.getsockname()[1]}", tmp_path).run(0.5)
        thread.join()
    assert outcome.answers == [0, 0]
    assert outcome.failed.total() == outcome.requests == 100
    assert set(outcome.failed) == {"connection closed", "no answer"}


def test_without_a_time_it_goes_on_until_the_block_ends(tmp_path: Path) -> None:
    with peer(lambda request, context: b"old") as target, load(target, tmp_path).during() as outcome:
        time.sleep(0.5)
    assert outcome.requests >= 60
    assert outcome.answers == [outcome.requests, 0]


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(GeneratorError, match="Connection refused"):
            load(target, tmp_path).run(0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"rate": 0}, "--rate"), ({"connections": 0}, "--connections"), ({"answers": []}, "--answer")],
)
def test_wrong_use_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(GeneratorError, match=f"with 2: open-loop: {said}|with 2: .*{said}"):
        load("127.0.0.1:1", tmp_path, **options).run(0.1)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.floats(0.01, 1))
def test_quantiles_are_those_of_the_values(values: list[int], quantile: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(Histogram(type(histogram.counts)([value]), value))
    ordered = sorted(values)
    found = histogram.quantile_ns(quantile)
    assert bisect.bisect_right(ordered, found) >= quantile * len(values) - 1e-6
    assert bisect.bisect_left(ordered, found) < quantile * len(values) + 1
    assert histogram.max_ns == ordered[-1]


def test_runs_add_up() -> None:
    whole = Outcome()
    for values in ([1000, 2000], [5000]):
        latency = Histogram()
        for value in values:
            latency.add(Histogram(type(latency.counts)([value]), value))
        part = Outcome(len(values), 0.5, [len(values), 0], latency=latency)
        part.failed["no answer"] = 1
        whole.add(part)
    assert (whole.requests, whole.seconds, whole.answers) == (3, 1.0, [3, 0])
    assert whole.failed == {"no answer": 2}
    assert whole.latency.max_ns == 5000
    assert whole.latency.quantile_ns(0.5) == 2000
