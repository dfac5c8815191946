"""Which models share runs when nobody says anything, and what settings change in that, as callers see it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from generated_stubs import Generated
from infer_requests import add_raw, network_request, raw_output
from onnx import helper
from together import Runs, all_at_once

import penstock
from sample_bundles import network, onnx_model, train_linear
from server_process import ServerProcess

WIDTH = 16
LONG_WAIT_S = 10.0
WAIT_S = 0.4
SETTINGS = {
    "server": {"loops": 1},
    "pool": {"threads": 1},
    "models.alone.scheduling": {"merge": False},
    "models.wait.scheduling": {
        "execution": "pool",
        "merge": True,
        "max_batch_rows": 4,
        "max_wait_us": LONG_WAIT_S * 1e6,
    },
    "models.brief.scheduling": {"execution": "pool", "merge": True, "max_wait_us": WAIT_S * 1e6},
    "models.vain.scheduling": {"merge": False, "max_wait_us": 5},
}


def dear() -> Any:
    """x FP32 [rows, 16] to x + the first numbers of a product that takes milliseconds, whatever the rows."""
    random = np.random.default_rng(0)
    return onnx_model(
        [
            helper.make_node("MatMul", ["a", "b"], ["product"]),
            helper.make_node("Gather", ["product", "first"], ["row"], axis=0),
            helper.make_node("Slice", ["row", "from", "to", "axis"], ["part"]),
            helper.make_node("Add", ["x", "part"], ["y"]),
        ],
        [("x", "FP32", ("rows", WIDTH))],
        [("y", "FP32", ("rows", WIDTH))],
        {
            "a": random.normal(size=(900, 900)).astype(np.float32),
            "b": random.normal(size=(900, 900)).astype(np.float32),
            "first": np.array(0),
            "from": np.array([0]),
            "to": np.array([WIDTH]),
            "axis": np.array([0]),
        },
    )


@pytest.fixture(scope="module")
def batching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("repository")
    # Else the product would be made once, when the model is loaded.
    penstock.build(repository, name="dear", version="1", model=dear(), model_options={"optimization": "none"})
    for name in ("network", "alone", "wait", "brief", "vain"):
        penstock.build(repository, name=name, version="1", model=network())
    model, features = train_linear()
    penstock.build(repository, name="linear", version="1", model=model, features=features)
    with ServerProcess(repository, settings=SETTINGS, folder=tmp_path_factory.mktemp("batching")) as process:
        yield process


@pytest.fixture(scope="module")
def stubs(batching: ServerProcess, generated: Generated) -> Iterator[list[Any]]:
    """Of several connections."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(batching.address, options=options) for _ in range(4)]
    yield [generated.services.GRPCInferenceServiceStub(channel) for channel in channels]
    for channel in channels:
        channel.close()


def schedule_of(stub: Any, messages: Any, model: str) -> dict[str, Any]:
    config = stub.ModelConfig(messages.ModelConfigRequest(name=model)).config
    found: dict[str, Any] = json.loads(config.parameters["penstock_schedule"].string_value)
    return found


def requests_of(messages: Any, model: str, count: int, most_rows: int = 3) -> list[Any]:
    made = []
    for seed in range(count):
        request = messages.ModelInferRequest(model_name=model, id=str(seed))
        rows = np.random.default_rng(seed).normal(size=(1 + seed % most_rows, WIDTH)).astype(np.float32)
        add_raw(request, "x", "FP32", rows)
        made.append(request)
    return made


def answers_of(futures: list[Any]) -> list[bytes]:
    return [raw_output(future.result(timeout=60), "y").tobytes() for future in futures]


def one_by_one(stub: Any, requests: list[Any]) -> list[bytes]:
    return [raw_output(stub.ModelInfer(request), "y").tobytes() for request in requests]


def test_an_onnx_model_shares_the_runs_of_a_turn_by_itself(
    batching: ServerProcess, stubs: list[Any], generated: Generated
) -> None:
    messages = generated.messages
    schedule = schedule_of(stubs[0], messages, "network")
    assert schedule["merges"], schedule["reason"]
    requests = requests_of(messages, "network", 24)
    alone = one_by_one(stubs[0], requests)
    counted = Runs(stubs[0], messages, "network")
    for _ in range(10):
        assert answers_of(all_at_once(batching, stubs, requests)) == alone
    assert (counted.requests, counted.rows) == (240, 480)
    assert counted.runs < counted.requests


def test_a_dear_model_shares_the_runs_of_what_waits_by_itself(
    batching: ServerProcess, stubs: list[Any], generated: Generated
) -> None:
    messages = generated.messages
    schedule = schedule_of(stubs[0], messages, "dear")
    assert schedule["fixed_ns"] > 5_000_000, "not as dear as it is meant to be"
    assert (schedule["inline_rows"], schedule["merges"]) == (0, True), schedule["reason"]
    requests = requests_of(messages, "dear", 12, most_rows=1)
    alone = one_by_one(stubs[0], requests)
    counted = Runs(stubs[0], messages, "dear")
    assert answers_of(all_at_once(batching, stubs, requests)) == alone
    assert counted.requests == 12
    assert counted.runs <= 9
    # No run had more rows than were tried when the model was loaded.
    sizes = stubs[0].ModelStatistics(messages.ModelStatisticsRequest(name="dear")).model_stats[0].batch_stats
    assert max(size.batch_size for size in sizes) < 2 * schedule["max_batch_rows"]


def test_a_model_that_is_told_not_to_share_runs_each_request_by_itself(
    batching: ServerProcess, stubs: list[Any], generated: Generated
) -> None:
    counted = Runs(stubs[0], generated.messages, "alone")
    for _ in range(3):
        answers_of(all_at_once(batching, stubs, requests_of(generated.messages, "alone", 24)))
    assert (counted.requests, counted.runs) == (72, 72)


def test_requests_in_the_pool_wait_for_others_until_a_batch_is_full(
    stubs: list[Any], generated: Generated
) -> None:
    """Sent one after the other to a worker that has nothing to do."""
    counted = Runs(stubs[0], generated.messages, "wait")
    request, _ = network_request(generated.messages)
    request.model_name = "wait"
    began = time.monotonic()
    futures = []
    for stub in stubs:
        assert not any(future.done() for future in futures)
        futures.append(stub.ModelInfer.future(request))
        time.sleep(0.05)
    answers_of(futures)
    assert time.monotonic() - began < LONG_WAIT_S / 2
    assert (counted.requests, counted.runs) == (4, 1)


def test_a_request_that_nobody_joins_waits_as_long_as_was_said_and_no_longer(
    stubs: list[Any], generated: Generated
) -> None:
    request, _ = network_request(generated.messages)
    request.model_name = "brief"
    began = time.monotonic()
    stubs[0].ModelInfer(request, timeout=60)
    assert WAIT_S <= time.monotonic() - began < WAIT_S + 10


def test_a_setting_without_effect_is_told_in_the_log(batching: ServerProcess) -> None:
    told = batching.wait_for("WARNING penstock.bundle vain/1: scheduling: max_wait_us = 5 has no effect")
    assert "merge = false" in told.string


def test_every_version_says_why_it_runs_as_it_does(stubs: list[Any], generated: Generated) -> None:
    reasons = {
        model: schedule_of(stubs[0], generated.messages, model)["reason"]
        for model in ("dear", "alone", "wait", "linear")
    }
    assert reasons["dear"].startswith("in the pool: a row costs ")
    assert reasons["alone"].endswith("; runs are not shared: merge = false")
    assert reasons["wait"] == "in the pool, as execution says; runs are shared by 2 to 4 rows, as merge says"
    assert reasons["linear"].startswith("on the loops up to ")
