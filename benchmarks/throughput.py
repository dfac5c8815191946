"""Penstock against a grpcio asyncio server on the same models: `make bench`.

Both servers run all the time; h2load drives one at a time with the same request, in rounds Penstock, peer,
peer, Penstock, so that a slow moment of the machine falls on both. Each half of a round gives a ratio; the
table shows their median and range. Exit 1 when a required ratio is missed.

    python benchmarks/throughput.py [--rounds 4] [--seconds 1.0] [--no-pin]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

import h2load
import penstock
from models import MODELS, Model
from process import ServerProcess, free_port, penstock_server, split_cores
from results import save

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Scenario:
    """A shape of load, and what it measures: `throughput` (requests/s) or `latency` (mean, us)."""

    name: str
    connections: int
    streams: int
    measure: str

    def value(self, load: h2load.Load) -> float:
        return load.requests_per_second if self.measure == "throughput" else load.mean_seconds * 1e6

    def met(self, ratio: float, required: float) -> bool:
        return ratio >= required if self.measure == "throughput" else ratio <= required


BUSY = Scenario("8 connections x 4 streams, requests/s", 8, 4, "throughput")
SINGLE = Scenario("1 connection x 1 stream, mean us", 1, 1, "latency")
REQUIRED = {("mlp", BUSY): 20.0, ("mlp", SINGLE): 0.5}


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratios` is Penstock's value over the peer's, one for each half round."""

    model: str
    scenario: Scenario
    penstock: list[float]
    peer: list[float]
    required: float | None

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.penstock, self.peer, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        return self.required is None or self.scenario.met(self.ratio, self.required)

    def text(self) -> str:
        ratios, required = self.ratios, "-"
        if self.required is not None:
            sign = ">=" if self.scenario.measure == "throughput" else "<="
            required = f"{sign} {self.required:g}x {'yes' if self.met else 'MISSED'}"
        spread = f"{min(ratios):.3g}..{max(ratios):.3g}"
        return (
            f"{self.model:<5}{self.scenario.name:<39}{statistics.median(self.penstock):>10,.0f}"
            f"{statistics.median(self.peer):>10,.0f}{self.ratio:>8.3g}x  {spread:<14}{required}"
        )


@dataclass(frozen=True)
class Side:
    """A server under load, and how long its correct answer is."""

    server: ServerProcess
    answer_bytes: int

    @staticmethod
    def checked(server: ServerProcess, model: Model) -> Side:
        """Asks once through grpcio, which sees the gRPC status; compares with the library's own answer."""
        answer = server.infer(model.request())
        values = np.frombuffer(answer.raw_output_contents[0], model.expected.dtype).reshape(
            answer.outputs[0].shape
        )
        if answer.id != "bench" or not np.allclose(values, model.expected, rtol=1e-6, atol=0):
            raise SystemExit(f"{server.name} answers {values} for {model.name}; expected {model.expected}")
        return Side(server, answer.ByteSize())

    def drive(self, scenario: Scenario, body: Path, requests: int, core: int | None) -> h2load.Load:
        return h2load.run(
            self.server.port,
            body,
            connections=scenario.connections,
            streams=scenario.streams,
            requests=requests,
            answer_bytes=self.answer_bytes,
            core=core,
        )


def compare(
    model: Model, scenario: Scenario, ours: Side, theirs: Side, body: Path, options: argparse.Namespace
) -> Row:
    """The rounds of one model under one shape of load, each about `options.seconds` long on either side."""
    core = options.cores[1] if options.cores else None
    sides = (ours, theirs)
    requests = []
    for side in sides:
        warm = side.drive(scenario, body, 400, core)
        warm = side.drive(scenario, body, max(400, int(warm.requests_per_second * 0.2)), core)
        requests.append(max(200, int(warm.requests_per_second * options.seconds)))
    measured: tuple[list[float], list[float]] = ([], [])
    for _ in range(options.rounds):
        for which in (0, 1, 1, 0):
            load = sides[which].drive(scenario, body, requests[which], core)
            measured[which].append(scenario.value(load))
    return Row(model.name, scenario, *measured, REQUIRED.get((model.name, scenario)))


def run(options: argparse.Namespace) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        directory = Path(folder)
        models = [make(directory) for make in MODELS.values()]
        repository = directory / "repository"
        for model in models:
            penstock.build(repository, name=model.name, version="1", model=model.path)
        cores = options.cores[:1] if options.cores else None
        loops = {"PENSTOCK_SERVER_LOOPS": "1"} if cores else {}
        port, log = free_port(), directory / "penstock.log"
        command = [sys.executable, str(HERE / "peers" / "grpcio_asyncio.py"), "--port", str(port)]
        command += ["--onnx", f"mlp={directory / 'mlp.onnx'}", "--lightgbm", f"gbm={directory / 'gbm.txt'}"]
        with (
            penstock_server(repository, log, cores=cores, environment=loops) as ours,
            ServerProcess("grpcio asyncio", command, port, directory / "peer.log", cores=cores) as theirs,
        ):
            print(HEADER)
            for model in models:
                body = h2load.body_file(model.request(), directory, model.name)
                sides = Side.checked(ours, model), Side.checked(theirs, model)
                for scenario in (BUSY, SINGLE):
                    rows.append(compare(model, scenario, *sides, body, options))
                    print(rows[-1].text(), flush=True)
                if sides != (Side.checked(ours, model), Side.checked(theirs, model)):
                    raise SystemExit(f"{model.name}: the answers after the load differ from those before")
    return rows


HEADER = f"{'model':<5}{'load':<39}{'penstock':>10}{'grpcio':>10}{'ratio':>9}  {'range':<14}required"


def record(rows: list[Row], options: argparse.Namespace) -> dict[str, Any]:
    """The figures for benchmarks/results."""
    return {
        "pinned": {"server": options.cores[0], "generator": options.cores[1]} if options.cores else None,
        "rounds": options.rounds,
        "rows": [{**asdict(row), "ratios": row.ratios, "ratio": row.ratio, "met": row.met} for row in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4, help="rounds of Penstock, peer, peer, Penstock")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long one measurement lasts")
    parser.add_argument("--no-pin", action="store_true", help="let the system place servers and generator")
    options = parser.parse_args()
    options.cores = None if options.no_pin else split_cores()
    if options.cores:
        print(
            f"Servers on core {options.cores[0]} (Penstock with one loop), h2load on core {options.cores[1]} (taskset)."
        )
    else:
        print("Nothing is pinned: servers and h2load share all cores.")
    print(f"{options.rounds} rounds of Penstock, peer, peer, Penstock. Medians; ratio with its range.\n")
    try:
        rows = run(options)
    except (h2load.LoadError, grpc.RpcError) as error:
        sys.exit(f"bench: {error}")
    print(f"\nFigures in {save('throughput', record(rows, options))}")
    missed = [row for row in rows if not row.met]
    if missed:
        sys.exit(f"bench: {len(missed)} required ratio(s) missed")


if __name__ == "__main__":
    main()
