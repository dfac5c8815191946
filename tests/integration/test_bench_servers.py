"""`penstock bench` against the real server, and against one on grpcio that knows inference alone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import lightgbm
import numpy as np
import pytest
from cli_server import PROGRAM, started

import penstock
from penstock import _proto
from penstock.bench import Body, Load, measure, probe
from penstock.bench.bodies import Asked, made
from penstock.client import Client

GRPCIO_SERVER = Path(__file__).resolve().parents[2] / "benchmarks" / "peers" / "grpcio_asyncio.py"
COLUMNS = 8


def bench(*arguments: object, code: int = 0) -> Any:
    command = [*PROGRAM, "bench", *map(str, arguments), "--json", "--max-lag", "10000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def booster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(2)
    matrix = random.standard_normal((500, COLUMNS))
    data = lightgbm.Dataset(matrix, matrix[:, 0] * matrix[:, 1])
    path = tmp_path_factory.mktemp("model") / "model.txt"
    lightgbm.train({"verbose": -1, "num_leaves": 7, "num_threads": 1}, data, 20).save_model(path)
    return path


@pytest.fixture(scope="module")
def unix_socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("socket") / "penstock.sock"


@pytest.fixture(scope="module")
def server(booster: Path, unix_socket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    repository = tmp_path_factory.mktemp("repository")
    penstock.build(repository, name="gbm", version="1", model=booster)
    program, address = started(repository, "--unix-socket", unix_socket)
    yield address
    assert program.stop() == 0


@pytest.fixture(scope="module")
def grpcio_server(booster: Path) -> Iterator[str]:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port = probe_socket.getsockname()[1]
    command = [sys.executable, str(GRPCIO_SERVER), "--port", str(port), "--lightgbm", f"gbm={booster}"]
    with subprocess.Popen(command) as process:
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=60)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def bodies(server: str) -> list[Body]:
    with Client(server) as client:
        return made(probe.metadata_of(client, "gbm", ""), Asked("gbm"), rows=1, count=20, seed=1)


def test_made_up_requests_are_answered_alike_every_time(server: str) -> None:
    for loop in (("--rate", 500), ("--connections", 4, "--streams", 8, "--threads", 2)):
        found = bench("gbm", "--server", server, "--seconds", 1, "--check-answers", "--rows", 5, *loop)
        (run,) = found["runs"]
        assert run["failed"] == {}
        assert run["good"] == run["requests"] > 300
    assert found["server"]["name"].startswith("penstock")


def test_rows_of_a_file_are_taken_as_predict_takes_them(server: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    np.savetxt(
        path,
        np.random.default_rng(1).standard_normal((40, COLUMNS)),
        delimiter=",",
        comments="",
        header=",".join(f"Column_{n}" for n in range(COLUMNS)),
    )
    found = bench(
        "gbm:1", "--server", server, "--seconds", 0.3, "--data", path, "--rows", 4, "--check-answers"
    )
    assert found["requests"]["different"] == 10
    assert found["runs"][0]["failed"] == {}


def test_a_grpcio_server_without_metadata_is_measured_with_whole_requests(
    grpcio_server: str, bodies: list[Body], tmp_path: Path
) -> None:
    request = _proto.ModelInferRequest(model_name="gbm", id="1")
    request.inputs.add(name="features", datatype="FP64", shape=[1, COLUMNS])
    request.raw_input_contents.append(np.arange(COLUMNS, dtype="<f8").tobytes())
    path = tmp_path / "request.bin"
    path.write_bytes(request.SerializeToString())
    options = (
        "--server",
        grpcio_server,
        "--seconds",
        1,
        "--warmup",
        0.2,
        "--check-answers",
        "--request",
        path,
    )
    for loop in (("--rate", 100), ("--connections", 2, "--streams", 3)):
        (run,) = bench("gbm", *options, *loop)["runs"]
        assert run["failed"] == {}
        assert run["good"] == run["requests"] > 50
    refused = subprocess.run(
        [*PROGRAM, "bench", "gbm", "--server", grpcio_server], capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 1
    assert "give a whole request as a file" in refused.stderr


def test_the_unix_socket_answers_as_the_port_does(server: str, unix_socket: Path, bodies: list[Body]) -> None:
    checked = probe.answered(server, bodies)
    for address in (server, f"unix:{unix_socket}"):
        result = measure(address, checked, Load(rate=300.0, seconds=0.5))
        assert (result.failed, result.good) == (0, result.requests)


def test_a_server_that_ends_in_the_middle_is_told_by_its_failures(booster: Path, tmp_path: Path) -> None:
    penstock.build(tmp_path / "repository", name="gbm", version="1", model=booster)
    program, address = started(tmp_path / "repository")
    try:
        with Client(address) as client:
            sent = made(probe.metadata_of(client, "gbm", ""), Asked("gbm"), rows=1, count=1, seed=1)
        with Load(rate=400.0, seconds=1.0, warmup=0.0).start(address, sent) as running:
            time.sleep(0.5)
            assert program.stop() == 0
            while not running.wait(1):
                pass
            result = running.result()
    finally:
        program.stop()
    assert result.good > 50
    assert {failure.reason for failure in result.failures} <= {"connection closed", "stream error"}
    assert result.good + result.failed == result.requests
