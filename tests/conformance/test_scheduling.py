"""Requests that share runs, and requests that run in the pool, as callers see them."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from generated_stubs import Generated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from infer_requests import add_raw, loop_request, network_request, raw_output
from together import Runs, all_at_once

import penstock
from sample_bundles import MATRIX_COLUMNS, Samples, flights
from server_process import ServerProcess

CONNECTIONS = 4
SHARES = {"merge": True}
QUEUE = 6
SETTINGS = {
    "server": {"loops": 1},
    "pool": {"threads": 1, "queue_limit": QUEUE},
    "models.loop.scheduling": {"execution": "pool"},
    "models.delay.scheduling": SHARES,
    "models.matrix.scheduling": SHARES,
    "models.classes.scheduling": SHARES,
    "models.linear.scheduling": SHARES,
}


@pytest.fixture(scope="module")
def scheduled(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("scheduled")
    with ServerProcess(samples.path, settings=SETTINGS, folder=folder) as process:
        yield process


@pytest.fixture(scope="module")
def stubs(scheduled: ServerProcess, generated: Generated) -> Iterator[list[Any]]:
    """Of several connections."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(scheduled.address, options=options) for _ in range(CONNECTIONS)]
    yield [generated.services.GRPCInferenceServiceStub(channel) for channel in channels]
    for channel in channels:
        channel.close()


def statistics(stub: Any, messages: Any, model: str) -> Any:
    return stub.ModelStatistics(messages.ModelStatisticsRequest(name=model)).model_stats[0]


def matrix_request(messages: Any, model: str, rows: np.ndarray[Any, Any]) -> Any:
    request = messages.ModelInferRequest(model_name=model, id=str(rows.shape[0]))
    add_raw(request, "features", "FP64", rows)
    return request


def flights_request(messages: Any, model: str, first: int, rows: int) -> Any:
    frame = flights(64, seed=4).iloc[first : first + rows]
    request = messages.ModelInferRequest(model_name=model, id=f"{first}+{rows}")
    for name in frame.columns:
        values = frame[name].to_numpy()
        if values.dtype == object:
            encoded = np.array([str(value).encode() for value in values], dtype=object)
            add_raw(request, name, "BYTES", encoded)
        else:
            add_raw(request, name, "INT64" if values.dtype.kind == "i" else "FP64", values)
    return request


def answers_at_once(server: ServerProcess, stubs: list[Any], requests: list[Any]) -> list[Any]:
    return [future.result(timeout=60) for future in all_at_once(server, stubs, requests)]


@pytest.mark.parametrize("model", ["matrix", "classes"])
def test_answers_of_trees_do_not_depend_on_who_shared_the_run(
    model: str, scheduled: ServerProcess, stubs: list[Any], generated: Generated
) -> None:
    messages = generated.messages
    table = np.random.default_rng(2).normal(size=(40, len(MATRIX_COLUMNS)))
    table[::7, 2] = np.nan
    alone = [
        raw_output(stubs[0].ModelInfer(matrix_request(messages, model, table[i : i + 1])), "prediction")
        for i in range(len(table))
    ]
    before = statistics(stubs[0], messages, model)

    @given(st.lists(st.tuples(st.integers(0, 39), st.integers(1, 9)), min_size=2, max_size=40))
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def hold(parts: list[tuple[int, int]]) -> None:
        requests = [matrix_request(messages, model, table[at : at + rows]) for at, rows in parts]
        for (at, rows), answer in zip(parts, answers_at_once(scheduled, stubs, requests), strict=True):
            expected = np.concatenate(alone[at : at + rows])
            assert raw_output(answer, "prediction").tobytes() == expected.tobytes()
            assert answer.id == str(min(rows, 40 - at))

    hold()
    after = statistics(stubs[0], messages, model)
    requests = after.inference_stats.success.count - before.inference_stats.success.count
    runs = after.execution_count - before.execution_count
    assert runs < requests, "no run was shared: the test showed nothing"
    assert sum(size.compute_infer.count for size in after.batch_stats) == after.execution_count


@pytest.mark.parametrize("model", ["delay", "linear"])
def test_answers_behind_transforms_do_not_depend_on_who_shared_the_run(
    model: str, scheduled: ServerProcess, stubs: list[Any], generated: Generated
) -> None:
    messages = generated.messages
    requests = [flights_request(messages, model, at, 1 + at % 5) for at in range(48)]
    alone = [stubs[0].ModelInfer(request) for request in requests]
    before = statistics(stubs[0], messages, model)

    for _ in range(10):
        for one, other in zip(alone, answers_at_once(scheduled, stubs, requests), strict=True):
            assert other.raw_output_contents == one.raw_output_contents
            assert (other.id, other.model_version) == (one.id, one.model_version)

    after = statistics(stubs[0], messages, model)
    assert after.execution_count - before.execution_count < 10 * len(requests)


def test_one_bad_request_among_many_fails_alone(
    scheduled: ServerProcess, stubs: list[Any], generated: Generated
) -> None:
    messages = generated.messages
    table = np.ones((4, len(MATRIX_COLUMNS)))
    good = matrix_request(messages, "matrix", table)
    bad = matrix_request(messages, "matrix", table[:, :3])
    counted = Runs(stubs[0], messages, "matrix")
    for _ in range(10):
        requests = [bad if i == 7 else good for i in range(24)]
        for i, future in enumerate(all_at_once(scheduled, stubs, requests)):
            if i == 7:
                assert future.exception(timeout=60).code() == grpc.StatusCode.INVALID_ARGUMENT
            else:
                assert len(raw_output(future.result(timeout=60), "prediction")) == 4
    assert counted.requests == 230
    assert counted.runs < counted.requests, "no run was shared: the test showed nothing"


class Busy:
    """A request that keeps the pool's only worker busy."""

    def __init__(self, stub: Any, messages: Any, rounds: int = 400_000) -> None:
        self._stub, self._messages = stub, messages
        self._request = loop_request(messages, rounds)

    def __enter__(self) -> Busy:
        self.future = self._stub.ModelInfer.future(self._request)
        time.sleep(0.1)  # it has begun by then
        assert not self.future.done()
        return self

    def __exit__(self, *_: object) -> None:
        self.future.result(timeout=120)

    @property
    def over(self) -> bool:
        return bool(self.future.done())


def test_cheap_requests_are_answered_while_the_pool_is_busy(stubs: list[Any], generated: Generated) -> None:
    request, _ = network_request(generated.messages)
    with Busy(stubs[0], generated.messages) as busy:
        for stub in stubs:
            assert stub.ModelInfer(request, timeout=10).model_name == "network"
        assert not busy.over


def test_what_a_full_queue_refused_is_counted_and_told_to_the_operator(
    scheduled: ServerProcess, stubs: list[Any], generated: Generated
) -> None:
    quick = loop_request(generated.messages, 2)
    with penstock.Client(scheduled.address) as client:

        def counted() -> dict[str, int]:
            (version,) = client.counters("loop")["versions"]
            return dict(version["counters"])

        before = counted()["refused"]
        with Busy(stubs[0], generated.messages):
            calls = [stubs[1].ModelInfer.future(quick) for _ in range(QUEUE + 3)]
            time.sleep(0.1)
            now = counted()
            assert (now["waiting"], now["refused"] - before) == (QUEUE, 3)
            server = client.counters()["server"]
            assert (server["pool_waiting"], server["pool_running"]) == (QUEUE, 1)
        failed = [call for call in calls if call.exception(timeout=60) is not None]
        assert [call.code() for call in failed] == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 3
        assert counted()["waiting"] == 0
    told = scheduled.wait_for(re.compile(r"^loop:1 refused (\d+) requests? within .*pool\.queue_limit"))
    assert int(told[1]) >= 1


def test_a_full_queue_refuses_and_says_what_to_do(stubs: list[Any], generated: Generated) -> None:
    quick = loop_request(generated.messages, 2)
    with Busy(stubs[0], generated.messages):
        waiting = [stubs[1].ModelInfer.future(quick) for _ in range(QUEUE)]
        time.sleep(0.1)
        with pytest.raises(grpc.RpcError, match=r"pool\.queue_limit") as refused:
            stubs[1].ModelInfer(quick, timeout=10)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"]) >= 1
    assert [future.result(timeout=60).model_name for future in waiting] == ["loop"] * QUEUE


def test_what_is_cancelled_or_expired_in_the_queue_never_runs(stubs: list[Any], generated: Generated) -> None:
    messages = generated.messages
    quick = loop_request(messages, 2)
    before = statistics(stubs[0], messages, "loop")
    with Busy(stubs[0], messages) as busy:
        cancelled = stubs[1].ModelInfer.future(quick)
        expired = stubs[2].ModelInfer.future(quick, timeout=0.05)
        hurried = loop_request(messages, 2)
        hurried.parameters["timeout"].int64_param = 30_000
        late = stubs[3].ModelInfer.future(hurried)
        time.sleep(0.02)
        cancelled.cancel()
        assert expired.exception(timeout=10).code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert late.exception(timeout=10).code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert not busy.over  # nobody waited for the worker to be told
    after = statistics(stubs[0], messages, "loop")
    assert after.execution_count - before.execution_count == 1
    assert after.response_stats["0"].cancel.count - before.response_stats["0"].cancel.count >= 1


def test_the_more_urgent_are_answered_first(stubs: list[Any], generated: Generated) -> None:
    order: list[int] = []
    lock = threading.Lock()

    def ask(priority: int) -> None:
        request = loop_request(generated.messages, 20_000)
        request.parameters["priority"].uint64_param = priority
        stubs[priority].ModelInfer(request, timeout=60)
        with lock:
            order.append(priority)

    with ThreadPoolExecutor(3) as callers, Busy(stubs[0], generated.messages, 250_000):
        asked = []
        for priority in (3, 2, 1):
            asked.append(callers.submit(ask, priority))
            time.sleep(0.01)
    for each in asked:
        each.result()
    assert order == [1, 2, 3]


def test_a_stream_of_dear_requests_is_answered_in_order(stubs: list[Any], generated: Generated) -> None:
    messages = generated.messages

    def asked() -> Iterator[Any]:
        for index in range(20):
            request = loop_request(messages, 1 + 500 * (index % 3))
            request.id = str(index)
            if index == 11:
                request.inputs[0].datatype = "FP32"
            yield request

    answers = list(stubs[0].ModelStreamInfer(asked(), timeout=60))
    assert [answer.infer_response.id for answer in answers] == [str(index) for index in range(20)]
    assert [bool(answer.error_message) for answer in answers] == [index == 11 for index in range(20)]


def test_a_stop_waits_for_what_is_queued(
    samples: Samples, generated: Generated, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("stopping")
    with (
        ServerProcess(samples.path, settings=SETTINGS, folder=folder) as process,
        grpc.insecure_channel(process.address) as channel,
    ):
        stub = generated.services.GRPCInferenceServiceStub(channel)
        slow = loop_request(generated.messages, 100_000)
        futures = [stub.ModelInfer.future(slow) for _ in range(3)]
        time.sleep(0.1)
        process.signal(signal.SIGTERM)
        assert [future.result(timeout=60).model_name for future in futures] == ["loop"] * 3
        channel.close()
        assert process.wait() == 0
