"""Penstock's server against a bare nghttp2 loop that answers the same requests with the same bytes.

Servers on one core, the load generator on another. In each round both have their turn at each measure,
Penstock first in every other one, with each model: `mlp`, a perceptron 32-64-64-1 in ONNX, and `gbm`, 500
LightGBM trees of 31 leaves.

  throughput  h2load, 8 connections x 4 streams: requests a second, of the loop's
  latency     one request at a time: the median, of the loop's. Penstock looks for the next request before it
              sleeps (server.spin_us), the loop does not: a second server, which does not either, is told of
              beside
  tail        open loop, Poisson, at half of the throughput that the round has just measured: p99 / p50. A
              round counts where the bare loop keeps to the limit at that rate and the generator was in time:
              what the machine does to the loop tells nothing of Penstock

What is required stands in budgets.toml. Exit 1 when it is missed.

    python benchmarks/server.py [--rounds 12] [--seconds 1.0] [--no-pin] [--save | --short]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

import h2load
import penstock
import results
import verdicts
from models import MODELS, Model
from penstock import bench
from penstock.bench.lag import LagRule
from process import ServerProcess, echo_server, penstock_server, pinned, split_cores

CONNECTIONS, STREAMS = 8, 4
SIDES = ("penstock", "echo")
ASLEEP = "asleep"  # Penstock that sleeps at once where there is nothing to do; for the latency alone
MEASURES = ("throughput", "latency", "tail")
TAIL_LIMIT = 3.0


@dataclass(frozen=True)
class Tail:
    """Latencies in microseconds at an even mean rate, how late the generator was at its p99, and whether that
    is too late for the rest to count (penstock.bench.lag).
    """

    rate: float
    p50: float
    p99: float
    late: float
    void: bool

    @property
    def ratio(self) -> float:
        return self.p99 / self.p50


class Side:
    """One server under the loads of one model."""

    def __init__(self, server: ServerProcess, model: Model, folder: Path, core: int | None) -> None:
        self.server, self._core = server, core
        self._answer = server.call("ModelInfer", model.request())
        self._body = bench.Body(model.request(), (self._answer,))
        self._request = h2load.body_file(model.request(), folder, model.name)

    def throughput(self, requests: int) -> tuple[float, float]:
        """Requests a second, and the server's processor time for each in microseconds."""
        before = self.server.cpu_seconds()
        load = h2load.run(
            self.server.port,
            self._request,
            connections=CONNECTIONS,
            streams=STREAMS,
            requests=requests,
            answer_bytes=len(self._answer),
            core=self._core,
        )
        return load.requests_per_second, (self.server.cpu_seconds() - before) / requests * 1e6

    def latency(self, seconds: float) -> float:
        """The median of one request at a time, in microseconds."""
        load = bench.Load(connections=1, streams=1, warmup=seconds / 5, seconds=seconds, cores=self._cores)
        return self._measured(load).latency.quantile_ns(0.5) / 1e3

    def tail(self, rate: float, seconds: float, seed: int) -> Tail:
        """At `rate` requests a second on a Poisson schedule."""
        found = self._measured(
            bench.Load(
                rate=rate,
                seed=seed,
                connections=CONNECTIONS,
                warmup=seconds / 5,
                seconds=seconds,
                cores=self._cores,
            )
        )
        p50, p99 = (found.latency.quantile_ns(quantile) / 1e3 for quantile in (0.5, 0.99))
        return Tail(rate, p50, p99, found.late_ns / 1e3, LagRule().voids(found))

    @property
    def _cores(self) -> tuple[int, ...]:
        return () if self._core is None else (self._core,)

    def _measured(self, load: bench.Load) -> bench.Result:
        result = bench.measure(self.server.target, self._body, load)
        if result.failed or not result.good:
            reasons = ", ".join(f"{failure.count} {failure.text}" for failure in result.failures)
            sys.exit(f"server: {self.server.name}: failed requests: {reasons or 'all'}")
        return result


@dataclass
class Figures:
    """Of one model, round by round, by side."""

    model: str
    throughput: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})
    cpu: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})
    latency: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in (*SIDES, ASLEEP)})
    tail: dict[str, list[Tail]] = field(default_factory=lambda: {side: [] for side in SIDES})

    def ratios(self) -> dict[str, list[float]]:
        """By figure of budgets.toml; NaN for rounds that show nothing."""

        def pairs(values: dict[str, list[float]]) -> list[float]:
            return [ours / theirs for ours, theirs in zip(*(values[side] for side in SIDES), strict=True)]

        tails = [
            ours.ratio if shows(theirs, ours) else math.nan
            for ours, theirs in zip(*(self.tail[side] for side in SIDES), strict=True)
        ]
        found = {"throughput": pairs(self.throughput), "latency": pairs(self.latency), "tail": tails}
        found["cpu"] = pairs(self.cpu)
        found["latency-asleep"] = self.asleep()
        return {f"{self.model}-{name}": values for name, values in found.items() if values}

    def asleep(self) -> list[float]:
        """The latency without spinning, of the loop's, round by round."""
        return [ours / echo for ours, echo in zip(self.latency[ASLEEP], self.latency["echo"], strict=True)]

    def text(self) -> str:
        """For people."""
        lines = []
        for side in SIDES:
            parts = [f"  {self.model:<5}{side:<9}"]
            if self.throughput[side]:
                rate, cpu = (statistics.median(values[side]) for values in (self.throughput, self.cpu))
                parts.append(f"{rate:>9,.0f} requests/s {cpu:>7.1f} cpu us")
            if self.latency[side]:
                parts.append(f"{statistics.median(self.latency[side]):>8.1f} us 1 x 1 p50")
            if tails := self.tail[side]:
                rate, p50, p99, late = (
                    statistics.median(getattr(tail, name) for tail in tails)
                    for name in ("rate", "p50", "p99", "late")
                )
                parts.append(
                    f"at {rate:,.0f}/s p50 {p50:.0f}, p99 {p99:.0f} us (generator late p99 {late:.0f})"
                )
            lines.append("  ".join(parts))
        if self.latency[ASLEEP]:
            lines.append(
                f"  {self.model:<5}{ASLEEP:<9}{statistics.median(self.latency[ASLEEP]):>43.1f} us 1 x 1 p50, "
                f"{verdicts.Interval.of(self.asleep())} of the loop's: with spin_us = 0"
            )
        return "\n".join(lines)


def shows(echo: Tail, ours: Tail) -> bool:
    """Whether a slow request of this round can be Penstock's doing."""
    return echo.ratio <= TAIL_LIMIT and not echo.void and not ours.void


def one_round(
    sides: dict[str, Side], requests: dict[str, int], figures: Figures, seed: int, options: Any
) -> None:
    """Each measure of all that take part in it, the one that begins alternating."""
    step = 1 if seed % 2 == 0 else -1
    order = SIDES[::step]
    if "throughput" in options.measures or "tail" in options.measures:
        for name in order:
            rate, cpu = sides[name].throughput(requests[name])
            figures.throughput[name].append(rate)
            figures.cpu[name].append(cpu)
    if "latency" in options.measures:
        for name in (*SIDES, ASLEEP)[::step]:
            figures.latency[name].append(sides[name].latency(options.seconds))
    if "tail" in options.measures:
        for name in order:
            half = figures.throughput["penstock"][-1] / 2
            figures.tail[name].append(sides[name].tail(half, options.seconds, seed))


def measured(options: argparse.Namespace) -> list[Figures]:
    found = []
    serving, generating = options.cores or (None, None)
    loops = {"PENSTOCK_SERVER_LOOPS": "1"} if options.cores else {}
    with tempfile.TemporaryDirectory(prefix="penstock-server-") as name, ExitStack() as servers:
        folder = Path(name)
        models = [MODELS[model](folder) for model in options.models]
        for model in models:
            penstock.build(folder / "repository", name=model.name, version="1", model=model.path)
        ours = servers.enter_context(
            penstock_server(folder / "repository", folder / "penstock.log", core=serving, environment=loops)
        )
        asleep = servers.enter_context(
            penstock_server(
                folder / "repository",
                folder / "asleep.log",
                core=serving,
                environment={**loops, "PENSTOCK_SERVER_SPIN_US": "0"},
            )
        )
        for model in models:
            answer = ours.call("ModelInfer", model.request())
            echo = servers.enter_context(echo_server(answer, folder / f"echo-{model.name}.log", core=serving))
            sides = {
                side: Side(server, model, folder, generating)
                for side, server in zip((*SIDES, ASLEEP), (ours, echo, asleep), strict=True)
            }
            requests = {}
            for side in SIDES:
                rate, _ = sides[side].throughput(5_000)
                rate, _ = sides[side].throughput(max(5_000, int(rate * options.seconds / 5)))
                requests[side] = int(rate * options.seconds)
            figures = Figures(model.name)
            for number in range(options.rounds):
                one_round(sides, requests, figures, number, options)
            print(figures.text(), flush=True)
            found.append(figures)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long one measurement lasts")
    parser.add_argument("--no-pin", action="store_true", help="let the system place servers and generator")
    options = results.parsed(
        parser,
        least={"rounds": 12, "seconds": 1.0},
        short={"rounds": 7, "seconds": 0.4},
        judges="a budget is missed when the whole interval lies beyond it",
    )
    if options.save and (set(options.models), set(options.measures)) != (set(MODELS), set(MEASURES)):
        parser.error("--save keeps figures of all models and measures")
    options.cores = None if options.no_pin else split_cores()
    try:
        found = measured(options)
    except (h2load.LoadError, grpc.RpcError) as error:
        sys.exit(f"server: {error}")
    ratios = {name: values for figures in found for name, values in figures.ratios().items()}
    judged = verdicts.judged("server", ratios, options)
    record = {
        "pinned": pinned(options.cores),
        "rounds": options.rounds,
        "ratios": {name: [None if math.isnan(v) else v for v in values] for name, values in ratios.items()},
        "rows": [
            {
                "model": figures.model,
                "side": side,
                "requests_per_second": figures.throughput[side],
                "cpu_us": figures.cpu[side],
                "p50_us": figures.latency[side],
                "asleep_p50_us": figures.latency[ASLEEP] if side == "penstock" else [],
                "tail": [vars(tail) for tail in figures.tail[side]],
            }
            for figures in found
            for side in SIDES
        ],
        "verdicts": [verdict.record() for verdict in judged],
    }
    print(f"\nFigures in {results.keep('server', record, options)}")
    verdicts.end("server", judged)


if __name__ == "__main__":
    main()
