"""The other servers of the Open Inference Protocol: how each is started with the benchmarks' models.

Each on one core as its makers would have it for that: one process that serves where it has a choice, no line
of log for each request.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments import environment, folder
from models import Model
from process import ServerProcess, free_port

PEERS = Path(__file__).resolve().parent / "peers"
# A library's own threads: all on one core here.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
PATIENCE = 180.0  # seconds until ready: importing Ray alone takes many


def files(models: Sequence[Model]) -> list[str]:
    """The models as options of the servers in peers/."""
    kinds = {".onnx": "--onnx", ".txt": "--lightgbm"}
    return [word for model in models for word in (kinds[model.path.suffix], f"{model.name}={model.path}")]


def grpcio_asyncio(models: Sequence[Model], core: int | None) -> ServerProcess:
    """Runs in this environment: it has Penstock's own messages, and grpcio is a dependency."""
    port = free_port()
    command = [sys.executable, str(PEERS / "grpcio_asyncio.py"), "--port", str(port), *files(models)]
    return ServerProcess("grpcio asyncio", command, port, folder("grpcio_asyncio") / "server.log", core=core)


def mlserver(models: Sequence[Model], core: int | None) -> ServerProcess:
    """With no worker processes: on one core they only pass requests on."""
    port, place = free_port(), folder("mlserver")
    repository = place / "repository"
    runtimes = {".onnx": "mlserver_onnx.OnnxModel", ".txt": "mlserver_lightgbm.LightGBMModel"}
    for model in models:
        described = {
            "name": model.name,
            "implementation": runtimes[model.path.suffix],
            "parameters": {"uri": str(model.path)},
        }
        (repository / model.name).mkdir(parents=True, exist_ok=True)
        (repository / model.name / "model-settings.json").write_text(json.dumps(described))
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "grpc_port": port,
        "http_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
    }
    (repository / "settings.json").write_text(json.dumps(settings))
    return ServerProcess(
        "MLServer",
        [str(environment("mlserver") / "mlserver"), "start", str(repository)],
        port,
        place / "server.log",
        core=core,
        environment={**ONE_THREAD, "PYTHONPATH": str(PEERS)},
        patience=PATIENCE,
        folder=place,
    )


def kserve(models: Sequence[Model], core: int | None) -> ServerProcess:
    port = free_port()
    command = [str(environment("kserve") / "python"), str(PEERS / "kserve_server.py"), "--port", str(port)]
    command += ["--http-port", str(free_port()), *files(models)]
    log = folder("kserve") / "server.log"
    return ServerProcess("KServe", command, port, log, core=core, environment=ONE_THREAD, patience=PATIENCE)


def ray_serve(models: Sequence[Model], core: int | None) -> ServerProcess:
    """A replica behind a proxy, two processes at the least."""
    port, place = free_port(), folder("ray_serve")
    command = [str(environment("ray_serve") / "python"), str(PEERS / "ray_serve_server.py")]
    command += ["--port", str(port), "--http-port", str(free_port()), "--folder", str(place), *files(models)]
    # No word to its makers, and no token left in the home folder.
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return ServerProcess(
        "Ray Serve",
        command,
        port,
        place / "server.log",
        core=core,
        environment={**ONE_THREAD, **settings},
        patience=PATIENCE,
    )


@dataclass(frozen=True)
class Peer:
    """A server to compare with, by its name on the command line."""

    name: str
    title: str
    start: Callable[[Sequence[Model], int | None], ServerProcess]


KNOWN = {
    peer.name: peer
    for peer in (
        Peer("mlserver", "MLServer", mlserver),
        Peer("kserve", "KServe", kserve),
        Peer("ray-serve", "Ray Serve", ray_serve),
        Peer("grpcio-asyncio", "grpcio asyncio", grpcio_asyncio),
    )
}
