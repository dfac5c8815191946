"""The demo's server: `penstock serve` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import penstock
from penstock.errors import ServerError, StatusError

START_SECONDS = 60.0
STOP_SECONDS = 40.0
SETTINGS = """[repository]
path = {path}
watch = true
watch_interval_s = 0.2
allow_custom_transforms = true

[models.delay]
policy = "all"
"""


def command(repository: Path, port: int) -> list[str]:
    """The command line that serves the repository on that port of the loopback interface."""
    serve = ["serve", "--config", str(configuration(repository)), "--port", str(port)]
    return [sys.executable, "-c", "from penstock.cli import main; main()", *serve]


def configuration(repository: Path) -> Path:
    """Writes the demo's settings beside the repository: both versions of `delay`, and its aliases watched."""
    path = repository.with_name("penstock.toml")
    path.write_text(SETTINGS.format(path=json.dumps(str(repository))), encoding="utf-8")
    return path


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve_here(repository: Path, port: int) -> None:
    """Becomes the server: signals, output and exit code are its own from now on."""
    sys.stdout.flush()
    os.execv(sys.executable, command(repository, port))


class Serving:
    """A running server as a context manager. Leaving the block sends SIGTERM, which lets requests finish.

    ServerError when it does not start, or does not end with 0.
    """

    def __init__(self, repository: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = repository.with_name("server.log")
        self.seconds_to_ready = 0.0
        self._command = command(repository, self.port)

    def __enter__(self) -> Serving:
        began = time.perf_counter()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready(began)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self.seconds_to_ready = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if kind is None and code != 0:
            raise ServerError(f"the server ended with {code} after SIGTERM, expected 0; see {self.log}")

    def lines(self) -> list[str]:
        """What the server has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    def _wait_until_ready(self, began: float) -> None:
        with penstock.Client(self.address, timeout=1.0) as client:
            while time.perf_counter() - began < START_SECONDS:
                if self._process.poll() is not None:
                    raise ServerError("\n".join(["the server ended at its start:", *self.lines()[-5:]]))
                if self._accepts():
                    try:
                        if client.is_ready():
                            return
                    except StatusError:
                        pass  # it listens, and is not far enough to answer
                time.sleep(0.01)
        raise ServerError(f"the server was not ready after {START_SECONDS:.0f} s; see {self.log}")

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
