"""The data plane answers while Python cannot: no call of it needs the GIL."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from generated_stubs import Generated
from grpc_health.v1 import health_pb2, health_pb2_grpc
from infer_requests import network_request

from sample_bundles import Samples
from server_process import ServerProcess, wrapped

HELD_S = 1.5
SLOWEST_S = 2.0 if wrapped() else 0.25  # on a shared machine, and with a client that is Python too
MEDIAN_S = 1.0 if wrapped() else 0.02


def durations(call: Callable[[], Any], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.monotonic()
        call()
        taken.append(time.monotonic() - began)
    return sorted(taken)


def test_liveness_health_and_inference_are_answered_within_milliseconds_while_python_is_held(
    samples: Samples, tmp_path: Path, generated: Generated
) -> None:
    holder = str(Path(__file__).with_name("gil_holder.py"))
    messages = generated.messages
    request, _ = network_request(messages)
    with (
        ServerProcess(samples.path, folder=tmp_path, command=(holder,)) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = generated.services.GRPCInferenceServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        assert stub.ServerMetadata(messages.ServerMetadataRequest(), timeout=10).name == "penstock"

        server.tell(f"hold {HELD_S}")
        server.wait_for("holding")
        began = time.monotonic()
        calls: dict[str, Callable[[], Any]] = {
            "ServerLive": lambda: stub.ServerLive(messages.ServerLiveRequest(), timeout=5),
            "ServerReady": lambda: stub.ServerReady(messages.ServerReadyRequest(), timeout=5),
            "ModelReady": lambda: stub.ModelReady(messages.ModelReadyRequest(name="network"), timeout=5),
            "Check": lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=5),
            "ModelInfer": lambda: stub.ModelInfer(request, timeout=5),
            "ModelStreamInfer": lambda: list(stub.ModelStreamInfer(iter([request]), timeout=5)),
        }
        taken = {name: durations(call, 15) for name, call in calls.items()}
        # Python is held indeed: what it answers has to wait, and its deadline is kept without it.
        with pytest.raises(grpc.RpcError) as bridged:
            stub.ServerMetadata(messages.ServerMetadataRequest(), timeout=0.1)
        held = time.monotonic() - began
        assert not any(line == "released" for line in server.lines)
        server.wait_for("released")
        assert stub.ServerMetadata(messages.ServerMetadataRequest(), timeout=10).name == "penstock"
        server.tell("stop")
        server.wait()

    assert held < HELD_S
    assert bridged.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    for name, each in taken.items():
        assert each[-1] < SLOWEST_S, (name, each)
        assert each[len(each) // 2] < MEDIAN_S, (name, each)
