"""Server processes of the benchmarks: start, wait until ready, pin, measure, stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from penstock import _proto
from reference import program

SERVICE = "/inference.GRPCInferenceService/"


def says_ready(reply: bytes) -> bool:
    """Of an answer to ServerReady."""
    return bool(_proto.ServerReadyResponse.FromString(reply).ready)


class ServerProcess:
    """A server in a process of its own, on a loopback port. Use it as a context manager.

    Leaving the block sends SIGTERM and demands exit code 0, unless the block itself failed.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        port: int,
        log: Path,
        *,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[bytes], bool] = says_ready,
        patience: float = 60,
        folder: Path | None = None,
    ) -> None:
        """`ready` judges the answer to ServerReady; `patience` is how many seconds it may take until then;
        `folder` is where the process runs.
        """
        self.name, self.port, self.log = name, port, log
        self._ready, self._patience, self._folder = ready, patience, folder
        self._command = [*on_core(core), *command]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None
        self.seconds_to_ready = 0.0

    def __enter__(self) -> ServerProcess:
        with self.log.open("wb") as log:
            began = time.perf_counter()
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
            )
        self._wait_until_ready(began)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._channel is not None:
            self._channel.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if kind is None and code != 0:
            raise RuntimeError(f"{self.name} ended with {code} after SIGTERM; its log: {self._tail()}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def call(self, method: str, request: bytes, *, timeout: float = 10) -> bytes:
        """One unary call with serialized messages through grpcio; grpc.RpcError for any status but OK."""
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.target)
        reply: bytes = self._channel.unary_unary(SERVICE + method)(request, timeout=timeout)
        return reply

    def infer(self, request: bytes) -> Any:
        """ModelInfer, with the answer parsed."""
        return _proto.ModelInferResponse.FromString(self.call("ModelInfer", request))

    def load(self, model: str) -> None:
        """RepositoryModelLoad; returns when the server has loaded what its policy picks."""
        request = _proto.RepositoryModelLoadRequest(model_name=model)
        self.call("RepositoryModelLoad", request.SerializeToString(), timeout=60)

    def resident_bytes(self) -> int:
        """The process's resident set, in bytes."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def proportional_bytes(self) -> int:
        """The same, with pages that other processes map as well counted in parts (PSS)."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel tells no Pss in smaps_rollup")

    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far, in user and kernel mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _wait_until_ready(self, began: float) -> None:
        """Asks ServerReady as soon as the port accepts, every millisecond."""
        while not self._accepts():
            self._check_alive(began)
            time.sleep(0.001)
        while not self._asked():
            self._check_alive(began)
            time.sleep(0.001)
        self.seconds_to_ready = time.perf_counter() - began

    def _asked(self) -> bool:
        try:
            return self._ready(self.call("ServerReady", b"", timeout=1))
        except grpc.RpcError:
            return False

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _check_alive(self, began: float) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}; its log: {self._tail()}")
        if time.perf_counter() - began > self._patience:
            self._process.kill()
            raise RuntimeError(
                f"{self.name} was not ready after {self._patience:g} s; its log: {self._tail()}"
            )

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def penstock_server(
    repository: Path,
    log: Path,
    *,
    core: int | None = None,
    environment: Mapping[str, str] | None = None,
    config: Path | None = None,
    patience: float = 60,
) -> ServerProcess:
    """`penstock serve` on a free port, as this Python has it installed."""
    port = free_port()
    command = [sys.executable, "-c", "from penstock.cli import main; main()", "serve", "--port", str(port)]
    command += ["--repository", str(repository)]
    if config is not None:
        command += ["--config", str(config)]
    return ServerProcess(
        "penstock", command, port, log, core=core, environment=environment, patience=patience
    )


def echo_server(answer: bytes, log: Path, *, core: int | None = None) -> ServerProcess:
    """The bare nghttp2 loop (reference/echo.cc), which answers whatever comes with this message."""
    port = free_port()
    message = log.with_suffix(".answer")
    message.write_bytes(answer)
    command = [str(program("echo")), str(port), str(message)]
    return ServerProcess("echo loop", command, port, log, core=core, ready=lambda reply: reply == answer)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def split_cores() -> tuple[int, int] | None:
    """A core for the server and one for the load generator; None when this process may use only one."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else None


def pinned(cores: tuple[int, int] | None) -> dict[str, int] | None:
    """What split_cores() gave, for benchmarks/results."""
    return None if cores is None else {"server": cores[0], "generator": cores[1]}


def on_core(core: int | None) -> list[str]:
    """Words before a command: run there, at ordinary priority whatever this process has; none without one."""
    if core is None:
        return []
    taskset, chrt = tool("taskset", "util-linux"), tool("chrt", "util-linux")
    return [taskset, "-c", str(core), chrt, "--other", "0"]


def tool(name: str, package: str) -> str:
    """The path of a program; ends with one clear line when it is missing."""
    found = shutil.which(name)
    if found is None:
        sys.exit(f"{name} is missing. On Debian: apt-get install {package}")
    return found
