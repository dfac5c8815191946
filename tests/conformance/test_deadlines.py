"""grpc-timeout, the request's own `timeout`, and cancelled calls."""

from __future__ import annotations

import threading
import time
from typing import Any

import grpc
import numpy as np
import pytest
from generated_stubs import Generated
from infer_requests import add_raw, loop_request, network_request


def test_a_deadline_that_passes_while_the_model_runs_is_exceeded(stub: Any, generated: Generated) -> None:
    with pytest.raises(grpc.RpcError) as expired:
        stub.ModelInfer(loop_request(generated.messages, 300_000), timeout=0.01)

    assert expired.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    # The next call of the same channel comes behind the long run and is answered.
    assert stub.ModelInfer(network_request(generated.messages)[0], timeout=30).model_name == "network"


def test_the_timeout_parameter_in_microseconds_is_a_deadline(stub: Any, generated: Generated) -> None:
    request = loop_request(generated.messages, 100_000)
    request.parameters["timeout"].int64_param = 1000

    with pytest.raises(grpc.RpcError, match="deadline") as expired:
        stub.ModelInfer(request, timeout=60)

    assert expired.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_deadline_far_away_changes_nothing(stub: Any, generated: Generated) -> None:
    request, _ = network_request(generated.messages)
    request.parameters["timeout"].int64_param = 60_000_000

    assert stub.ModelInfer(request, timeout=90_000).model_name == "network"


def test_a_stream_that_waits_ends_at_its_deadline(stub: Any, generated: Generated) -> None:
    request, _ = network_request(generated.messages)
    over = threading.Event()

    def requests() -> Any:
        yield request
        over.wait(60)

    began = time.monotonic()
    stream = stub.ModelStreamInfer(requests(), timeout=1.0)
    assert next(stream).infer_response.model_name == "network"
    with pytest.raises(grpc.RpcError) as expired:
        next(stream)
    over.set()

    assert expired.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.9 < time.monotonic() - began < 10


def test_a_hundred_cancelled_calls_leave_the_connection_working(stub: Any, generated: Generated) -> None:
    large = generated.messages.ModelInferRequest(model_name="wide")
    add_raw(large, "x", "FP32", np.zeros((2, 100_000), np.float32))
    busy = stub.ModelInfer.future(loop_request(generated.messages, 300_000))  # the rest waits behind it
    calls = [stub.ModelInfer.future(large) for _ in range(100)]
    for index, call in enumerate(calls):
        time.sleep(0.0005 * (index % 3))
        call.cancel()

    codes = {call.code() for call in calls}

    assert codes <= {grpc.StatusCode.CANCELLED, grpc.StatusCode.OK}
    assert grpc.StatusCode.CANCELLED in codes
    assert busy.result(timeout=30).model_name == "loop"
    assert stub.ModelInfer(network_request(generated.messages)[0], timeout=30).model_name == "network"
