"""The server as a whole, real bundles and independent clients: its life, and the RPCs that Python answers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import lightgbm
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

import penstock
from penstock import _proto
from penstock.config import Settings, load_settings
from penstock.errors import ServerError
from penstock.log import Event
from penstock.repository.layout import VersionFolder
from penstock.repository.loader import BundleLoader
from penstock.repository.states import Loaded
from penstock.server import Server

WAIT_S = 30.0
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def scale_model(factor: float) -> onnx.ModelProto:
    """y = factor * x over [n, 3]."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y"))
    constant = helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])], "scale", [x], [y], [constant]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1, 2 and 3 of the model `scale`, which multiply by 1, 2 and 3."""
    root = tmp_path_factory.mktemp("bundles")
    for version in ("1", "2", "3"):
        penstock.build(
            root,
            name="scale",
            version=version,
            model=scale_model(float(version)),
            examples={"x": X},
            max_rows=64,
        )
    return root / "scale"


class Disk:
    """A repository, filled from the built versions as a deployment would: copied aside, then renamed."""

    def __init__(self, root: Path, bundles: Path) -> None:
        self.root = root
        self.bundles = bundles
        (root / "scale").mkdir(parents=True)

    def put(self, version: str, *, corrupt: bool = False) -> None:
        partial = self.root / "scale" / f".{version}.partial"
        shutil.copytree(self.bundles / version, partial)
        if corrupt:
            model = partial / "model.onnx"
            model.write_bytes(model.read_bytes()[:-1] + b"\x00")
        partial.rename(self.root / "scale" / version)

    def alias(self, **aliases: str) -> None:
        (self.root / "scale" / "aliases.json").write_text(json.dumps(aliases))


@pytest.fixture
def disk(tmp_path: Path, bundles: Path) -> Disk:
    return Disk(tmp_path / "repository", bundles)


def settings(disk: Disk, **overrides: object) -> Settings:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_settings(
        overrides={"server.port": 0, "server.loops": 2, "repository.path": str(disk.root), **dotted},
        environment={},
    )


class Running:
    """A server in this process, what it announced, and clients of it."""

    def __init__(self, disk: Disk, **overrides: object) -> None:
        self.lines: list[Event] = []
        self.server = Server(settings(disk, **overrides), announce=self.lines.append)
        self.server.start()
        assert self.server.wait_ready(WAIT_S)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.client = triton.InferenceServerClient(f"127.0.0.1:{self.server.port}")

    def infer(self, version: str = "") -> tuple[str, float]:
        """The version that answered, and its factor."""
        given = triton.InferInput("x", X.shape, "FP32")
        given.set_data_from_numpy(X)
        result = self.client.infer("scale", [given], model_version=version, client_timeout=WAIT_S)
        y = result.as_numpy("y")
        factor = float(y[0, 1])
        np.testing.assert_array_equal(y, X * np.float32(factor))
        return result.get_response().model_version, factor

    def call(self, method: str, request: Any, reply: Any) -> Any:
        """One unary call through grpcio; raises grpc.RpcError."""
        path = f"/inference.GRPCInferenceService/{method}"
        answer = self.channel.unary_unary(path, lambda m: m.SerializeToString(), reply.FromString)
        return answer(request, timeout=WAIT_S)

    def load(self, version: str = "") -> None:
        request = _proto.RepositoryModelLoadRequest(model_name="scale")
        if version:
            request.parameters["version"].string_param = version
        self.call("RepositoryModelLoad", request, _proto.RepositoryModelLoadResponse)

    def unload(self, version: str = "") -> None:
        request = _proto.RepositoryModelUnloadRequest(model_name="scale")
        if version:
            request.parameters["version"].string_param = version
        self.call("RepositoryModelUnload", request, _proto.RepositoryModelUnloadResponse)

    def index(self) -> dict[str, tuple[str, str]]:
        return {m.version: (m.state, m.reason) for m in self.client.get_model_repository_index().models}

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, self.lines
            time.sleep(0.01)

    def close(self) -> None:
        self.client.close()
        self.channel.close()
        self.server.stop(WAIT_S)


Start = Callable[..., Running]


@pytest.fixture
def start(disk: Disk) -> Iterator[Start]:
    started: list[Running] = []

    def begin(**overrides: object) -> Running:
        started.append(Running(disk, **overrides))
        return started[-1]

    yield begin
    for running in started:
        running.close()


def test_the_newest_version_answers_and_describes_itself(disk: Disk, start: Start) -> None:
    disk.put("1")
    disk.put("2")
    running = start()
    assert running.infer() == ("2", 2.0)
    assert running.client.is_server_live()
    assert running.client.is_server_ready()
    assert running.client.is_model_ready("scale")
    server = running.client.get_server_metadata()
    assert (server.name, server.version) == ("penstock", penstock.__version__)
    metadata = running.client.get_model_metadata("scale")
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [("x", "FP32", [-1, 3])]
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.outputs] == [("y", "FP32", [-1, 3])]
    assert (list(metadata.versions), metadata.platform) == (["2"], "onnxruntime_onnx")
    config = running.client.get_model_config("scale").config
    assert (config.max_batch_size, list(config.input[0].dims), config.backend) == (64, [3], "onnxruntime")
    assert any(line.startswith("scale:2 ready in ") for line in running.lines)
    assert running.index() == {"1": ("UNAVAILABLE", "not wanted by the model's policy"), "2": ("READY", "")}


def test_statistics_count_what_was_answered(disk: Disk, start: Start) -> None:
    disk.put("1")
    running = start()
    (before,) = running.client.get_inference_statistics("scale").model_stats
    for _ in range(5):
        running.infer()
    (after,) = running.client.get_inference_statistics("scale").model_stats
    assert after.inference_count - before.inference_count == 10
    assert after.inference_stats.success.count - before.inference_stats.success.count == 5
    assert 1 <= after.execution_count - before.execution_count <= 5
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert abs(after.last_inference - time.time() * 1000) < 60_000


def test_neither_examples_nor_warm_up_count_as_requests(disk: Disk, start: Start) -> None:
    disk.put("1")
    running = start()
    (found,) = running.client.get_inference_statistics("scale").model_stats
    stats = found.inference_stats
    durations = [stats.success, stats.fail, stats.queue]
    durations += [stats.compute_input, stats.compute_infer, stats.compute_output]
    assert (found.inference_count, found.execution_count, found.last_inference) == (0, 0, 0)
    assert [(each.count, each.ns) for each in durations] == [(0, 0)] * 6


def test_the_wait_for_a_turn_is_counted_as_queue_and_as_part_of_the_success(disk: Disk, start: Start) -> None:
    """Many requests that arrive together on one connection wait for one another on its loop."""
    disk.put("1")
    running = start(server__loops=1)
    infer = running.channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        lambda m: m.SerializeToString(),
        _proto.ModelInferResponse.FromString,
    )
    request = _proto.ModelInferRequest(model_name="scale")
    request.inputs.add(name="x", datatype="FP32", shape=X.shape)
    request.raw_input_contents.append(X.tobytes())
    calls = [infer.future(request, timeout=WAIT_S) for _ in range(500)]
    assert all(call.result().model_version == "1" for call in calls)
    (found,) = running.client.get_inference_statistics("scale").model_stats
    stats = found.inference_stats
    assert stats.success.count == 500
    assert stats.queue.count == stats.compute_infer.count == stats.success.count
    assert stats.queue.ns > 0
    assert stats.compute_infer.ns > 0
    stages = (stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output)
    assert sum(stage.ns for stage in stages) <= stats.success.ns


def test_a_version_with_the_wrong_digest_is_refused_in_one_line_and_the_rest_serves(
    disk: Disk, start: Start
) -> None:
    disk.put("1")
    disk.put("2", corrupt=True)
    running = start()
    assert running.infer() == ("1", 1.0)
    (line,) = [line for line in running.lines if line.startswith("scale:2 refused: ")]
    assert "model.onnx" in line
    assert "SHA-256" in line
    state, reason = running.index()["2"]
    assert state == "UNAVAILABLE"
    assert reason.startswith("model.onnx has the SHA-256 ")
    assert line.startswith("scale:2 refused: model.onnx has the SHA-256 ")
    assert str(disk.root) not in reason
    with pytest.raises(InferenceServerException, match="SHA-256") as refused:
        running.infer("2")
    assert refused.value.status() == "StatusCode.UNAVAILABLE"


def test_a_bundle_in_another_bundles_place_is_refused(disk: Disk, start: Start) -> None:
    disk.put("1")
    shutil.copytree(disk.bundles / "2", disk.root / "scale" / "7")
    running = start()
    assert running.infer() == ("1", 1.0)
    assert any("scale:7 refused" in line and "scale/2" in line for line in running.lines)


def test_what_is_unknown_or_not_ready_is_told_in_the_same_words_by_every_rpc(
    disk: Disk, start: Start
) -> None:
    disk.put("1", corrupt=True)
    disk.alias(champion="1")
    running = start(repository__allow_load_unload=True)

    def asks(name: str, version: str) -> list[Callable[[], Any]]:
        request = _proto.ModelInferRequest(model_name=name, model_version=version)
        return [
            lambda: running.call("ModelInfer", request, _proto.ModelInferResponse),
            lambda: running.client.get_model_metadata(name, version),
            lambda: running.client.get_model_config(name, version),
            *([lambda: running.client.get_inference_statistics(name, version)] if version else []),
        ]

    told: dict[tuple[str, str], tuple[str, str]] = {}
    for name, version in (
        ("nothing", ""),
        ("nothing", "1"),
        ("scale", "9"),
        ("scale", "1"),
        ("scale", "champion"),
        ("scale", ""),
    ):
        answers = set()
        for ask in asks(name, version):
            try:
                ask()
            except grpc.RpcError as error:
                answers.add((error.code().name, error.details()))
            except InferenceServerException as error:
                answers.add((str(error.status()).removeprefix("StatusCode."), error.message()))
        (told[name, version],) = answers
    reason = running.index()["1"][1]
    hosted = ("NOT_FOUND", "model 'nothing' is not hosted here; RepositoryIndex lists what is")
    not_ready = ("UNAVAILABLE", f"model 'scale' version '1' is not ready: {reason}")
    assert told == {
        ("nothing", ""): hosted,
        ("nothing", "1"): hosted,
        ("scale", "9"): ("NOT_FOUND", "model 'scale' has no version or alias '9'; it has 1, champion"),
        ("scale", "1"): not_ready,
        ("scale", "champion"): not_ready,
        ("scale", ""): ("UNAVAILABLE", f"model 'scale' has no version ready: {reason}"),
    }
    with pytest.raises(grpc.RpcError) as refused:
        running.load("9")
    assert (refused.value.code().name, refused.value.details()) == told["scale", "9"]
    with pytest.raises(grpc.RpcError) as refused:
        running.unload("9")
    assert (refused.value.code().name, refused.value.details()) == told["scale", "9"]


def test_an_unload_does_not_wait_for_the_loads_before_it(
    disk: Disk, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.put("1")
    go_on = threading.Event()

    class HeldLoader(BundleLoader):
        def __call__(self, folder: VersionFolder) -> Loaded:
            assert folder.version == "1" or go_on.wait(WAIT_S)
            return super().__call__(folder)

    monkeypatch.setattr("penstock.server.BundleLoader", HeldLoader)
    running = start(repository__allow_load_unload=True)
    disk.put("2")
    load = running.channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelLoad")
    request = _proto.RepositoryModelLoadRequest(model_name="scale")
    request.parameters["version"].string_param = "2"
    loads = [load.future(request.SerializeToString(), timeout=WAIT_S) for _ in range(20)]
    try:
        running.wait(lambda: running.index().get("2") == ("LOADING", "loading"))
        running.unload("1")
        assert not any(call.done() for call in loads)
        running.wait(lambda: running.index()["1"] == ("UNAVAILABLE", "unloaded on request"))
    finally:
        go_on.set()
    assert [call.code() for call in loads] == [grpc.StatusCode.OK] * 20
    assert running.infer() == ("2", 2.0)


def test_loads_and_unloads_are_refused_unless_the_settings_allow_them(disk: Disk, start: Start) -> None:
    disk.put("1")
    running = start()
    for change in (running.load, running.unload):
        with pytest.raises(grpc.RpcError) as refused:
            change()
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "repository.allow_load_unload" in refused.value.details()
    assert running.infer() == ("1", 1.0)


def test_versions_are_loaded_and_unloaded_while_serving(disk: Disk, start: Start) -> None:
    disk.put("1")
    running = start(repository__allow_load_unload=True)
    disk.put("2")
    running.load()
    assert running.infer() == ("2", 2.0)
    running.load("1")
    assert running.infer("1") == ("1", 1.0)
    assert running.infer() == ("2", 2.0)
    disk.put("3", corrupt=True)
    with pytest.raises(grpc.RpcError, match="SHA-256") as failed:
        running.load("3")
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert running.infer() == ("2", 2.0)
    running.unload("2")
    assert running.infer() == ("1", 1.0)
    running.unload()
    with pytest.raises(InferenceServerException) as refused:
        running.infer()
    assert refused.value.status() == "StatusCode.UNAVAILABLE"
    with pytest.raises(grpc.RpcError, match="SHA-256"):
        running.load()
    running.wait(lambda: running.index()["2"][0] == "READY")  # the best one that can be loaded
    assert running.infer() == ("2", 2.0)


def test_aliases_name_versions_and_flip_while_the_server_watches(disk: Disk, start: Start) -> None:
    disk.put("1")
    disk.put("2")
    disk.alias(champion="1")
    running = start(repository__watch=True, repository__watch_interval_s=0.05)
    assert running.infer("champion") == ("1", 1.0)
    disk.alias(champion="2", stable="2")
    running.wait(lambda: running.infer("champion") == ("2", 2.0))
    disk.put("3")
    running.wait(
        lambda: any(line.startswith("scale:3 ready") for line in running.lines) or "3" in running.index()
    )
    assert running.infer() == ("2", 2.0)


def test_a_new_folder_replaces_the_old_version_without_a_failed_request(disk: Disk, start: Start) -> None:
    disk.put("1")
    running = start(repository__watch=True, repository__watch_interval_s=0.05)
    answers: list[tuple[str, float]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(running.infer())

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for version in ("2", "3"):
            disk.put(version)
            expected = (version, float(version))
            running.wait(lambda expected=expected: bool(answers) and answers[-1] == expected)
    finally:
        done.set()
        asker.join()
    versions = [version for version, _ in answers]
    assert versions == sorted(versions)
    assert all(float(version) == factor for version, factor in answers)


def test_reflection_tells_a_client_enough_to_call_what_it_never_saw(disk: Disk, start: Start) -> None:
    disk.put("1")
    running = start()
    database = ProtoReflectionDescriptorDatabase(running.channel)
    assert list(database.get_services()) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "penstock.v1.Operations",
    ]
    service = DescriptorPool(database).FindServiceByName("inference.GRPCInferenceService")
    assert "ModelInfer" in service.methods_by_name


def test_a_port_that_is_taken_is_said_with_its_number(disk: Disk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=str(port)):
            Server(settings(disk, server__port=port), announce=print).start()


def test_a_repository_that_is_not_there_is_said_and_the_port_is_free_again(disk: Disk) -> None:
    shutil.rmtree(disk.root)
    server = Server(settings(disk), announce=print)
    with pytest.raises(ServerError, match="cannot be read"):
        server.start()
    port = server.port
    socket.create_server(("127.0.0.1", port)).close()


def test_a_bundle_given_as_the_repository_is_refused_with_the_folder_to_give(disk: Disk) -> None:
    disk.put("1")
    inside = Disk.__new__(Disk)
    inside.root = disk.root / "scale" / "1"
    server = Server(settings(inside), announce=print)
    with pytest.raises(ServerError, match="is a bundle, not a repository") as refused:
        server.start()
    assert str(refused.value).endswith(f"--repository {disk.root}")


def test_what_does_not_fit_the_repository_is_warned_of_at_the_start(disk: Disk, tmp_path: Path) -> None:
    disk.put("1")
    file = tmp_path / "penstock.toml"
    file.write_text('[models.scale]\npolicy = ["1", "7"]\n[models.scael]\n')
    made = load_settings(
        file, overrides={"server.port": 0, "repository.path": str(disk.root)}, environment={}
    )
    events: list[Event] = []
    server = Server(made, announce=events.append)
    server.start()
    try:
        assert server.wait_ready(WAIT_S)
        assert [str(event) for event in events if event.kind == "warning"] == [
            "scale: the configuration's policy names version 7, and the repository has: 1",
            "the configuration has [models.scael], and the repository has no such model; did you mean scale?",
        ]
    finally:
        server.stop(WAIT_S)


def test_the_server_imports_no_model_library_and_no_client() -> None:
    heavy = [
        "grpc",
        "lightgbm",
        "numba",
        "onnx",
        "onnxruntime",
        "pandas",
        "polars",
        "rich",
        "scipy",
        "sklearn",
        "typer",
    ]
    script = f"import sys, penstock.server; print([name for name in {heavy!r} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


class Process:
    """`penstock serve` in a process of its own."""

    SCRIPT = "from penstock.cli import main; main()"

    def __init__(self, disk: Disk, *options: str, port: int = 0) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                self.SCRIPT,
                "serve",
                f"--repository={disk.root}",
                f"--port={port}",
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    def wait_line(self, part: str) -> str:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            for line in list(self.lines):
                if part in line:
                    return line
            time.sleep(0.01)
        raise AssertionError((part, self.lines))

    def address(self) -> str:
        self.wait_line("ready after")
        return self.wait_line("listening on ").removeprefix("listening on ")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def exit_status(self) -> int:
        status = self.process.wait(WAIT_S)
        self.reader.join()
        return status


@pytest.fixture
def launch(disk: Disk) -> Iterator[Callable[..., Process]]:
    launched: list[Process] = []

    def begin(*options: str, **more: int) -> Process:
        launched.append(Process(disk, *options, **more))
        return launched[-1]

    yield begin
    for one in launched:
        if one.process.poll() is None:
            one.process.kill()
        one.exit_status()


Launch = Callable[..., Process]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_with_exit_0(disk: Disk, launch: Launch, number: signal.Signals) -> None:
    disk.put("1")
    server = launch()
    server.address()
    server.signal(number)
    assert server.exit_status() == 0
    assert server.lines[-1] == "stopped"


def _open_stream(channel: grpc.Channel, release: threading.Event) -> Any:
    """A reflection stream that stays open until `release`; its first answer has come."""

    def requests() -> Iterator[Any]:
        yield _proto.reflection_v1.ServerReflectionRequest(list_services="")
        release.wait(WAIT_S)

    answers = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        lambda m: m.SerializeToString(),
        _proto.reflection_v1.ServerReflectionResponse.FromString,
    )(requests())
    assert next(answers).list_services_response.service
    return answers


def test_an_open_stream_is_finished_before_the_server_stops(disk: Disk, launch: Launch) -> None:
    disk.put("1")
    server = launch()
    release = threading.Event()
    with grpc.insecure_channel(server.address()) as channel:
        answers = _open_stream(channel, release)
        server.signal(signal.SIGTERM)
        server.wait_line("SIGTERM: finishing open requests")
        time.sleep(0.2)
        assert server.process.poll() is None
        release.set()
        assert list(answers) == []
        assert answers.code() is grpc.StatusCode.OK
        assert server.exit_status() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_the_process_at_once(
    disk: Disk, launch: Launch, number: signal.Signals, status: int
) -> None:
    disk.put("1")
    server = launch()
    release = threading.Event()
    with grpc.insecure_channel(server.address()) as channel:
        answers = _open_stream(channel, release)
        server.signal(signal.SIGTERM)
        server.wait_line("SIGTERM: finishing open requests")
        server.signal(number)
        assert server.exit_status() == status
        release.set()
        assert answers.code() is not grpc.StatusCode.OK


def test_sighup_reads_the_repository_again(disk: Disk, launch: Launch) -> None:
    server = launch()
    assert server.address()
    server.wait_line("ready after")
    disk.put("1")
    server.signal(signal.SIGHUP)
    server.wait_line("scale:1 ready in ")


def test_a_port_in_use_is_one_line_and_exit_1(disk: Disk, launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = launch(port=port)
        assert server.exit_status() == 1
        (line,) = server.lines
        assert str(port) in line


def test_events_are_objects_with_the_facts_of_their_lines(disk: Disk, launch: Launch) -> None:
    disk.put("1")
    disk.put("2", corrupt=True)
    server = launch("--json")
    server.wait_line("server_ready")
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0
    events = {event["event"]: event for event in map(json.loads, server.lines)}
    assert list(events)[-2:] == ["stopping", "stopped"]
    digest = hashlib.sha256((disk.root / "scale" / "1" / "bundle.json").read_bytes()).hexdigest()
    ready = events["version_ready"]
    assert (ready["model"], ready["version"], ready["digest"], ready["inputs"]) == ("scale", "1", digest, 1)
    assert ready["ms"] > 0
    assert ready["message"].startswith(f"scale:1 ready in {ready['ms']:.0f} ms (")
    refused = events["version_refused"]
    assert (refused["model"], refused["version"], refused["still_serving"]) == ("scale", "2", False)
    assert refused["message"] == f"scale:2 refused: {refused['reason']}"
    assert events["listening"]["message"] == f"listening on {events['listening']['address']}"
    assert events["listening"]["address"].endswith(f":{events['listening']['port']}")
    assert (events["server_ready"]["versions"], events["server_ready"]["models"]) == (1, 1)
    assert (events["stopping"]["signal"], events["stopped"]["drained"]) == ("SIGTERM", True)
    assert all(event["time"].endswith("Z") for event in events.values())


def test_a_reader_that_went_away_keeps_the_server_from_nothing(disk: Disk) -> None:
    disk.put("1")
    command = [sys.executable, "-c", Process.SCRIPT, "serve", f"--repository={disk.root}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.startswith("ready after"):
                break
        process.stdout.close()
        disk.put("2")
        process.send_signal(signal.SIGHUP)
        assert "scale:2 ready in" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()
        assert process.wait(WAIT_S) == 0
    assert "SIGTERM: finishing open requests (announcing that failed: BrokenPipeError" in log
    assert "stopped (announcing that failed" in log


def test_what_a_model_took_is_given_back_when_it_is_unloaded(disk: Disk, launch: Launch) -> None:
    """LightGBM's trees are small pieces, which glibc keeps for itself unless told. It still keeps the top of
    each heap, and uses it again.
    """
    random = np.random.default_rng(1)
    data = lightgbm.Dataset(random.normal(size=(20_000, 2)), random.normal(size=20_000))
    parameters = {"verbose": -1, "num_leaves": 4000, "min_data_in_leaf": 1, "num_threads": 1}
    penstock.build(disk.root, name="large", version="1", model=lightgbm.train(parameters, data, 40))
    disk.put("1")
    server = launch("--allow-load-unload")
    client = triton.InferenceServerClient(server.address())

    def megabytes() -> float:
        pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def unload() -> float:
        client.unload_model("large")
        end = time.monotonic() + WAIT_S
        while "UNLOADING" in [model.state for model in client.get_model_repository_index().models]:
            assert time.monotonic() < end
            time.sleep(0.01)
        return megabytes()

    with client:
        loaded = megabytes()
        assert loaded - unload() > 5
        client.load_model("large")
        loaded = megabytes()
        assert loaded - unload() > 5
