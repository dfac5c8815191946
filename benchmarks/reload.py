"""Reloads under load: no failed request, no slow one, no growth.

A server holds one model. h2load sends requests at a steady rate on its own clock, whatever the answers take,
in bursts of 10 ms' worth on each connection: a request waits for those of its burst that go before it.
In the quiet phases nothing else happens. In the reload phase the version's folder is replaced by one with
other weights and RepositoryModelLoad is called, again and again; after each reload a request through grpcio
must be answered by the new weights. Both kinds of phase get the same number of requests.

Required: no failed request; none slower with reloads than 3 times the 99th percentile without; resident
memory within 5 % of what it is after the first 50 reloads. Exit 1 on a breach.

    python benchmarks/reload.py [--reloads 500] [--rate 20000] [--pause 0.02]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
from numpy.typing import NDArray

import h2load
import penstock
from models import mlp, perceptron
from process import ServerProcess, penstock_server
from results import save

CONNECTIONS = 4
SLICE_SECONDS = 2.0
SETTLED = 50  # reloads after which memory must be flat
SLOWEST = 3.0  # times the quiet 99th percentile
GROWTH = 0.05

Latencies = NDArray[np.float64]  # seconds


class SteadyLoad:
    """h2load at a steady rate, in slices of SLICE_SECONDS; keeps every request's latency."""

    def __init__(self, server: ServerProcess, body: Path, answer_bytes: int, rate: int) -> None:
        self._server, self._body, self._answer_bytes = server, body, answer_bytes
        self._rate = max(1, rate // CONNECTIONS)
        self.slices: list[Latencies] = []

    def run_slice(self) -> None:
        """One run of h2load. LoadError when not every answer came whole."""
        log = self._body.with_suffix(".log")
        h2load.run(
            self._server.port,
            self._body,
            connections=CONNECTIONS,
            streams=100,
            requests=int(self._rate * CONNECTIONS * SLICE_SECONDS),
            answer_bytes=self._answer_bytes,
            rate=self._rate,
            log=log,
        )
        self.slices.append(h2load.latencies(log))
        log.unlink()

    def run_during(self, work: threading.Thread) -> None:
        """Starts the work, and runs slices until it is done."""
        work.start()
        while work.is_alive():
            self.run_slice()
        work.join()

    def seconds(self) -> Latencies:
        """All latencies so far."""
        return np.concatenate(self.slices)


class Reloader:
    """Swaps the served folder with a staged one of other weights, and has the server load it."""

    def __init__(self, server: ServerProcess, stage: Stage, reloads: int, pause: float) -> None:
        self._server, self._stage, self._reloads, self._pause = server, stage, reloads, pause
        self.resident: list[int] = []  # bytes, after each reload
        self.seconds: list[float] = []  # how long each RepositoryModelLoad took
        self.failure = ""

    def run(self) -> None:
        """All reloads, on the calling thread; `failure` says what went wrong with the first that did."""
        try:
            for _ in range(self._reloads):
                self._reload()
                time.sleep(self._pause)
        except (grpc.RpcError, StaleAnswerError) as error:
            self.failure = f"reload {len(self.resident) + 1}: {error}"

    def _reload(self) -> None:
        expected = self._stage.swap()
        began = time.perf_counter()
        self._server.load(self._stage.model.name)
        self.seconds.append(time.perf_counter() - began)
        if self._server.infer(self._stage.model.request()).raw_output_contents[0] != expected:
            raise StaleAnswerError("the answer is not of the weights that were just loaded")
        self.resident.append(self._server.resident_bytes())


class StaleAnswerError(Exception):
    """A reload was acknowledged, and another version answers."""


class Stage:
    """Two bundles of one model and version with different weights: one in the repository, one beside it."""

    def __init__(self, directory: Path) -> None:
        self.model = mlp(directory)
        self.repository = directory / "repository"
        other = directory / "other.onnx"
        other.write_bytes(perceptron((32, 64, 64, 1), seed=8).SerializeToString())
        for place, file in ((self.repository, self.model.path), (directory / "staging", other)):
            penstock.build(place, name=self.model.name, version="1", model=file)
        self._served, self._staged = (
            place / self.model.name / "1" for place in (self.repository, directory / "staging")
        )
        session = onnxruntime.InferenceSession(str(other), providers=["CPUExecutionProvider"])
        answer = session.run(None, {self.model.tensor: self.model.row})[0]
        self._answers = [answer.tobytes(), self.model.expected.tobytes()]  # of the staged one, the served one

    def swap(self) -> bytes:
        """Exchanges the two; the answer that the one in the repository must now give."""
        aside = self._staged.with_name("aside")
        self._served.rename(aside)
        self._staged.rename(self._served)
        aside.rename(self._staged)
        self._answers.reverse()
        return self._answers[1]


def measure(options: argparse.Namespace, directory: Path) -> tuple[Reloader, Latencies, Latencies]:
    """The reloader after its work, and the latencies without and with reloads."""
    stage = Stage(directory)
    allowed = {"PENSTOCK_REPOSITORY_ALLOW_LOAD_UNLOAD": "true"}
    with penstock_server(stage.repository, directory / "penstock.log", environment=allowed) as server:
        request = stage.model.request()
        body = h2load.body_file(request, directory, stage.model.name)
        answer_bytes = server.infer(request).ByteSize()
        warm, quiet, busy = (SteadyLoad(server, body, answer_bytes, options.rate) for _ in range(3))
        reloader = Reloader(server, stage, options.reloads, options.pause)
        warm.run_slice()
        for _ in range(3):
            quiet.run_slice()
        busy.run_during(threading.Thread(target=reloader.run))
        while len(quiet.slices) < len(busy.slices):
            quiet.run_slice()
    slices = min(len(quiet.slices), len(busy.slices))
    quiet.slices = quiet.slices[-slices:]
    return reloader, quiet.seconds(), busy.seconds()


def percentiles(seconds: Latencies) -> dict[str, float]:
    """In milliseconds."""
    found = {f"p{q:g}": float(np.percentile(seconds, q)) * 1e3 for q in (50, 99, 99.9)}
    return {**found, "slowest": float(seconds.max()) * 1e3}


def report(options: argparse.Namespace, reloader: Reloader, quiet: Latencies, busy: Latencies) -> bool:
    """Prints the tables and keeps the figures; whether everything required is met."""
    without, during = percentiles(quiet), percentiles(busy)
    print(f"{options.reloads} reloads, median {np.median(reloader.seconds) * 1e3:.1f} ms each, ", end="")
    print(f"under {options.rate:,} requests/s; each new version checked by its answer.\n")
    print(f"{'latency, ms':<18}{'p50':>9}{'p99':>9}{'p99.9':>9}{'slowest':>9}{'requests':>10}")
    for name, values, count in (
        ("without reloads", without, quiet.size),
        ("with reloads", during, busy.size),
    ):
        print(f"{name:<18}" + "".join(f"{value:>9.3f}" for value in values.values()) + f"{count:>10}")

    ratio = during["slowest"] / without["p99"]
    resident = np.array(reloader.resident)
    growth = float(np.abs(resident[SETTLED:] / resident[SETTLED - 1] - 1).max())
    checks = [
        ("failed requests", "0", "0", True),  # one that fails ends the run before this
        ("slowest with reloads / p99 without", f"{ratio:.2f}", f"<= {SLOWEST:g}", ratio <= SLOWEST),
        (f"memory since reload {SETTLED}", f"{growth:.2%}", f"within {GROWTH:.0%}", growth <= GROWTH),
    ]
    print(f"\n{'':<36}{'measured':>9}  required")
    for name, measured, required, met in checks:
        print(f"{name:<36}{measured:>9}  {required} {'yes' if met else 'MISSED'}")
    figures = {"without_ms": without, "with_ms": during, "reload_seconds": reloader.seconds}
    path = save("reload", {"options": vars(options), **figures, "resident_bytes": reloader.resident})
    print(f"\nFigures in {path}")
    return all(met for *_, met in checks)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reloads", type=int, default=500)
    parser.add_argument("--rate", type=int, default=20_000, help="requests a second")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two reloads")
    options = parser.parse_args()
    if options.reloads <= SETTLED:
        parser.error(f"--reloads must be more than {SETTLED}: memory is judged after these")
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-reload-") as folder:
            reloader, quiet, busy = measure(options, Path(folder))
    except (h2load.LoadError, grpc.RpcError) as error:
        sys.exit(f"reload: a request failed: {error}")
    if reloader.failure:
        sys.exit(f"reload: {reloader.failure}")
    if not report(options, reloader, quiet, busy):
        sys.exit("reload: a requirement is missed")


if __name__ == "__main__":
    main()
