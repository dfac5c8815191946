"""Penstock beside other servers of the Open Inference Protocol: the same model files, the same request bytes,
the same load generator (penstock.bench, closed loop).

Servers share a core, the generator has another. Penstock and one peer run at a time, in rounds Penstock,
peer, peer, Penstock; each half of a round gives a ratio. Peers are installed into environments of their
own, in build/peers, when they are missing; their logs are there too. Any other endpoint joins by its
address: it is to serve the models that benchmarks/models.py makes under their names, `mlp` with the input
`input`, and `gbm` with `features`.

What is required stands in budgets.toml. Exit 1 when it is missed. With --save, docs/benchmarks.md and its
plots are made anew.

    python benchmarks/compare.py [--peers mlserver ...] [--endpoint NAME=HOST:PORT ...] [--models gbm ...]
                                 [--rounds 4] [--seconds 2] [--no-pin] [--save | --short]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

import penstock
import results
import verdicts
from environments import folder
from models import MODELS, Model
from peer_servers import KNOWN
from penstock import _proto, bench
from process import SERVICE, ServerProcess, penstock_server, pinned, split_cores

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Scenario:
    """Connections and streams, and the figure that is compared."""

    name: str
    connections: int
    streams: int
    figure: str  # "throughput", requests a second; or "p50", microseconds


BUSY = Scenario("8 x 4, requests/s", 8, 4, "throughput")
SINGLE = Scenario("1 x 1, p50 us", 1, 1, "p50")


class WrongAnswerError(Exception):
    """A server's prediction is not the model's, or there is none."""


class Endpoint:
    """A server at an address."""

    def __init__(self, title: str, target: str) -> None:
        self.title, self.target = title, target

    def check(self, model: Model) -> None:
        """Asks once through grpcio. WrongAnswerError."""
        with grpc.insecure_channel(self.target) as channel:
            try:
                reply = channel.unary_unary(SERVICE + "ModelInfer")(model.request(), timeout=30)
            except grpc.RpcError as error:
                raise WrongAnswerError(
                    f"{self.title} at {self.target} does not answer for {model.name}: "
                    f"{error.code().name}: {error.details()}"
                ) from error
        answer = _proto.ModelInferResponse.FromString(reply)
        values = values_of(answer)
        if values.shape != (model.expected.size,) or not np.allclose(
            values, model.expected.ravel(), rtol=1e-4, atol=1e-6
        ):
            raise WrongAnswerError(f"{self.title} answers {values} for {model.name}, not {model.expected}")

    def measure(self, model: Model, scenario: Scenario, seconds: float, core: int | None) -> dict[str, float]:
        """One run: requests a second, and latencies in microseconds."""
        load = bench.Load(
            connections=scenario.connections,
            streams=scenario.streams,
            warmup=seconds / 4,
            seconds=seconds,
            patience=30,
            cores=() if core is None else (core,),
        )
        result = bench.measure(self.target, model.request(), load)
        if result.failed or not result.good:
            reasons = ", ".join(f"{failure.count} {failure.text}" for failure in result.failures)
            raise WrongAnswerError(f"{self.title}, {model.name}: failed requests: {reasons or 'all'}")
        p50, p99 = (result.latency.quantile_ns(quantile) / 1e3 for quantile in (0.5, 0.99))
        return {"throughput": result.throughput, "p50": p50, "p99": p99}


def values_of(answer: Any) -> np.ndarray[Any, Any]:
    """The first output, flat, wherever the server put it."""
    datatype = {"FP32": np.float32, "FP64": np.float64}[answer.outputs[0].datatype]
    if answer.raw_output_contents:
        return np.frombuffer(answer.raw_output_contents[0], datatype)
    contents = answer.outputs[0].contents
    return np.array(contents.fp32_contents or contents.fp64_contents)


@dataclass
class Row:
    """One line of the table: the runs of both, in order."""

    peer: str
    model: str
    scenario: Scenario
    penstock: list[dict[str, float]] = field(default_factory=list)
    other: list[dict[str, float]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """How many times better Penstock is: in throughput, or in latency."""
        figure = self.scenario.figure
        pairs = zip(self.penstock, self.other, strict=True)
        if figure == "throughput":
            return [ours[figure] / theirs[figure] for ours, theirs in pairs]
        return [theirs[figure] / ours[figure] for ours, theirs in pairs]

    def text(self) -> str:
        ours, theirs = (
            statistics.median(run[self.scenario.figure] for run in runs)
            for runs in (self.penstock, self.other)
        )
        interval = verdicts.Interval.of(self.ratios)
        return (
            f"{self.peer:<16}{self.model:<5}{self.scenario.name:<18}{ours:>9,.0f} {theirs:>9,.0f}  {interval}"
        )


def compared(ours: Endpoint, other: Endpoint, models: list[Model], options: argparse.Namespace) -> list[Row]:
    """Each model under each load."""
    rows = []
    core = options.cores[1] if options.cores else None
    for model in models:
        for endpoint in (ours, other):
            endpoint.check(model)
        for scenario in (BUSY, SINGLE):
            row = Row(other.title, model.name, scenario)
            for _ in range(options.rounds):
                for endpoint, runs in (
                    (ours, row.penstock),
                    (other, row.other),
                    (other, row.other),
                    (ours, row.penstock),
                ):
                    runs.append(endpoint.measure(model, scenario, options.seconds, core))
            rows.append(row)
            print(row.text(), flush=True)
        for endpoint in (ours, other):
            endpoint.check(model)
    return rows


def measured(options: argparse.Namespace) -> list[Row]:
    rows = []
    serving = options.cores[0] if options.cores else None
    loops = {"PENSTOCK_SERVER_LOOPS": "1"} if options.cores else {}
    with tempfile.TemporaryDirectory(prefix="penstock-peers-") as name, ExitStack() as servers:
        directory = Path(name)
        models = [MODELS[model](directory) for model in options.models]
        for model in models:
            penstock.build(directory / "repository", name=model.name, version="1", model=model.path)

        def endpoint(server: ServerProcess, stack: ExitStack) -> Endpoint:
            stack.enter_context(server)
            return Endpoint(server.name, server.target)

        log = folder("penstock") / "server.log"
        repository = directory / "repository"
        ours = endpoint(penstock_server(repository, log, core=serving, environment=loops), servers)
        print(f"{'':<16}{'':<5}{'load':<18}{'Penstock':>9} {'peer':>9}  times better (interval)")
        for peer in options.peers:
            with ExitStack() as stack:
                other = endpoint(KNOWN[peer].start(models, serving), stack)
                rows += compared(ours, other, models, options)
        for title, target in options.endpoint:
            rows += compared(ours, Endpoint(title, target), models, options)
    return rows


def address(text: str) -> tuple[str, str]:
    """NAME=HOST:PORT."""
    name, _, target = text.partition("=")
    if not name or ":" not in target:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=HOST:PORT")
    return name, target


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", nargs="*", choices=list(KNOWN), default=list(KNOWN))
    parser.add_argument("--endpoint", action="append", type=address, default=[], metavar="NAME=HOST:PORT")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=4, help="rounds of Penstock, peer, peer, Penstock")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run, after its warm-up")
    parser.add_argument("--no-pin", action="store_true", help="let the system place servers and generator")
    options = results.parsed(
        parser,
        least={"rounds": 4, "seconds": 2.0},
        short={"rounds": 3, "seconds": 0.5},
        judges="a budget is missed when the whole interval lies beyond it",
    )
    if options.save and not (set(options.peers) >= set(KNOWN) and set(options.models) >= set(MODELS)):
        parser.error("--save keeps figures of all peers and models")
    options.cores = None if options.no_pin else split_cores()
    try:
        rows = measured(options)
    except (WrongAnswerError, penstock.errors.PenstockError) as error:
        sys.exit(f"compare: {error}")
    titles = {peer.title: name for name, peer in KNOWN.items()}
    ratios = {
        f"{titles.get(row.peer, row.peer)}-{row.model}-{row.scenario.figure}": row.ratios for row in rows
    }
    judged = verdicts.judged("compare", ratios, options)
    record = {
        "pinned": pinned(options.cores),
        "rounds": options.rounds,
        "rows": [{**asdict(row), "ratios": row.ratios} for row in rows],
        "verdicts": [verdict.record() for verdict in judged],
    }
    print(f"\nFigures in {results.keep('compare', record, options)}")
    if options.save:
        subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py")], check=True)
    verdicts.end("compare", judged)


if __name__ == "__main__":
    main()
