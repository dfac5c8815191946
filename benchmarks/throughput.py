"""Penstock against a grpcio asyncio server on the same models: `make bench`.

Both servers run all the time; h2load drives one at a time with the same request, in rounds Penstock, peer,
peer, Penstock, so that a slow moment of the machine falls on both. Each half of a round gives a ratio; the
table shows their median and range. Exit 1 when a required ratio is missed.

The short form judges the servers' processor time for each request by the same factors: whoever shares the
cores takes the time of the clock from both servers, and hardly any of theirs.

    python benchmarks/throughput.py [--rounds 4] [--seconds 1.0] [--no-pin] [--save | --short]
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
import results
from models import MODELS, Model
from process import ServerProcess, free_port, penstock_server, pinned, split_cores

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


BUSY = Scenario("8 x 4, requests/s", 8, 4, "throughput")
SINGLE = Scenario("1 x 1, mean us", 1, 1, "latency")
REQUIRED = {("mlp", BUSY): 20.0, ("mlp", SINGLE): 0.5}


class Side:
    """A server under load: its measured values, round by round, and the processor time of each request."""

    def __init__(self, server: ServerProcess, model: Model, body: Path, core: int | None) -> None:
        self.server, self._model, self._body, self._core = server, model, body, core
        self._answer_bytes = self.check()

    def check(self) -> int:
        """Asks once through grpcio, which sees the gRPC status, and compares with the library's own answer.

        Returns the answer's bytes.
        """
        answer = self.server.infer(self._model.request())
        expected = self._model.expected
        values = np.frombuffer(answer.raw_output_contents[0], expected.dtype).reshape(answer.outputs[0].shape)
        if answer.id != "bench" or not np.allclose(values, expected, rtol=1e-6, atol=0):
            sys.exit(
                f"bench: {self.server.name} answers {values} for {self._model.name}; expected {expected}"
            )
        return int(answer.ByteSize())

    def drive(self, scenario: Scenario, requests: int) -> tuple[h2load.Load, float]:
        """One run of h2load, and the server's processor time for each request, in microseconds."""
        before = self.server.cpu_seconds()
        load = h2load.run(
            self.server.port,
            self._body,
            connections=scenario.connections,
            streams=scenario.streams,
            requests=requests,
            answer_bytes=self._answer_bytes,
            core=self._core,
        )
        return load, (self.server.cpu_seconds() - before) / requests * 1e6

    def requests_for(self, scenario: Scenario, seconds: float) -> int:
        """Warms up; about how many requests take that long."""
        rate = self.drive(scenario, 400)[0].requests_per_second
        rate = self.drive(scenario, max(400, int(rate * 0.2)))[0].requests_per_second
        return max(200, int(rate * seconds))


@dataclass(frozen=True)
class Row:
    """One line of the table: values and processor time (us a request) of each run, in order."""

    model: str
    scenario: Scenario
    penstock: list[float]
    peer: list[float]
    penstock_cpu: list[float]
    peer_cpu: list[float]
    required: float | None
    judged_by: str  # "clock", or "cpu" in the short form

    @property
    def ratios(self) -> list[float]:
        """Penstock's value over the peer's, one for each half of a round."""
        return [ours / theirs for ours, theirs in zip(self.penstock, self.peer, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def cpu_ratio(self) -> float:
        """The ratio that the processor time of a request would give alone: of throughputs the peer's over
        Penstock's, of latencies the other way round.
        """
        ours, theirs = statistics.median(self.penstock_cpu), statistics.median(self.peer_cpu)
        return theirs / ours if self.scenario.measure == "throughput" else ours / theirs

    @property
    def met(self) -> bool:
        judged = self.ratio if self.judged_by == "clock" else self.cpu_ratio
        return self.required is None or self.scenario.met(judged, self.required)

    def text(self) -> str:
        ratios, required = self.ratios, ""
        if self.required is not None:
            sign = ">=" if self.scenario.measure == "throughput" else "<="
            required = f"{sign} {self.required:g}x: {'yes' if self.met else 'MISSED'}"
            if self.judged_by == "cpu":
                required = f"cpu {self.cpu_ratio:.3g}x {required}"
        values = (statistics.median(v) for v in (self.penstock, self.peer, self.penstock_cpu, self.peer_cpu))
        ours, theirs, our_cpu, their_cpu = (f"{value:>9,.0f}" for value in values)
        spread = f"{min(ratios):.3g}..{max(ratios):.3g}"
        return (
            f"{self.model:<5}{self.scenario.name:<18}{ours} {theirs}  {self.ratio:>7.3g}x  {spread:<13}"
            f"{our_cpu}{their_cpu}  {required}"
        )


DERIVED = ("ratios", "ratio", "cpu_ratio", "met")
HEADER = (
    f"{'model':<5}{' load':<18}{'Penstock':>9} {'grpcio':>9}  {'ratio':>8}  {'range':<13}"
    f"{'cpu us':>9}{'cpu us':>9}  required"
)


def compare(model: Model, scenario: Scenario, sides: tuple[Side, Side], options: argparse.Namespace) -> Row:
    """The rounds of one model under one shape of load, each run about `options.seconds` long."""
    requests = [side.requests_for(scenario, options.seconds) for side in sides]
    values: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for _ in range(options.rounds):
        for which in (0, 1, 1, 0):
            load, used = sides[which].drive(scenario, requests[which])
            values[which].append(scenario.value(load))
            cpu[which].append(used)
    required = REQUIRED.get((model.name, scenario))
    return Row(model.name, scenario, *values, *cpu, required, "cpu" if options.short else "clock")


def run(options: argparse.Namespace) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        directory = Path(folder)
        models = [make(directory) for make in MODELS.values()]
        repository = directory / "repository"
        for model in models:
            penstock.build(repository, name=model.name, version="1", model=model.path)
        serving, core = options.cores or (None, None)
        loops = {"PENSTOCK_SERVER_LOOPS": "1"} if options.cores else {}
        port, log = free_port(), directory / "penstock.log"
        command = [sys.executable, str(HERE / "peers" / "grpcio_asyncio.py"), "--port", str(port)]
        command += ["--onnx", f"mlp={directory / 'mlp.onnx'}", "--lightgbm", f"gbm={directory / 'gbm.txt'}"]
        with (
            penstock_server(repository, log, core=serving, environment=loops) as ours,
            ServerProcess("grpcio asyncio", command, port, directory / "peer.log", core=serving) as theirs,
        ):
            print(HEADER)
            for model in models:
                body = h2load.body_file(model.request(), directory, model.name)
                sides = Side(ours, model, body, core), Side(theirs, model, body, core)
                for scenario in (BUSY, SINGLE):
                    rows.append(compare(model, scenario, sides, options))
                    print(rows[-1].text(), flush=True)
                for side in sides:
                    side.check()
    return rows


def record(rows: list[Row], options: argparse.Namespace) -> dict[str, Any]:
    """The figures for benchmarks/results."""
    return {
        "pinned": pinned(options.cores),
        "rounds": options.rounds,
        "rows": [{**asdict(row), **{name: getattr(row, name) for name in DERIVED}} for row in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4, help="rounds of Penstock, peer, peer, Penstock")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long one measurement lasts")
    parser.add_argument("--no-pin", action="store_true", help="let the system place servers and generator")
    options = results.parsed(
        parser,
        least={"rounds": 4, "seconds": 1.0},
        short={"rounds": 2, "seconds": 0.5},
        judges="the ratio of processor time for each request is judged; ratios by the clock are told",
    )
    options.cores = None if options.no_pin else split_cores()
    if options.cores:
        server, generator = options.cores
        print(f"taskset: servers on core {server} (Penstock with one loop), h2load on core {generator}.")
    else:
        print("Nothing is pinned: servers and h2load share all cores.")
    print(f"{options.rounds} rounds of Penstock, peer, peer, Penstock. Load: connections x streams.")
    print("Medians, and the ratio's range; cpu: the servers' processor time for each request.")
    print("Short form: the ratio of processor time is judged, not the clock's.\n" if options.short else "")
    try:
        rows = run(options)
    except (h2load.LoadError, grpc.RpcError) as error:
        sys.exit(f"bench: {error}")
    print(f"\nFigures in {results.keep('throughput', record(rows, options), options)}")
    missed = [row for row in rows if not row.met]
    if missed:
        sys.exit(f"bench: {len(missed)} required ratio(s) missed")


if __name__ == "__main__":
    main()
