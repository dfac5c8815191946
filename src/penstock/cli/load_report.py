"""What `penstock bench` tells: a table, JSON, plots, and whether an objective was kept."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from penstock import __version__
from penstock.bench import Load, Result, plots
from penstock.bench.lag import LagRule
from penstock.bench.result import merged
from penstock.bench.runs import Runs
from penstock.bench.search import Found, Objective
from penstock.cli.output import print_table
from penstock.errors import PenstockError

_COLUMNS = (
    *("rate", "answers/s", "requests", "failed", "mean ms"),
    *("p50", "p90", "p99", "p99.9", "max", "late p99"),
)


@dataclass
class LoadReport:
    """The runs of one command. `about` is what was asked of which server; a sweep and a search are open loops
    of several rates, whatever `load` says.
    """

    about: dict[str, Any]
    load: Load
    open_loop: bool
    runs: Runs
    rule: LagRule
    p99_ms: float | None = None  # the objective
    found: Found | None = None
    interrupted: bool = False
    error: str = ""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def judge(self) -> None:
        """PenstockError where the last run got no good answer at all, or missed the objective."""
        result = self.runs.results[-1]
        if not result.good:
            raise PenstockError(result.no_good_answer)
        if self.p99_ms is None or Objective(self.p99_ms * 1e6).kept(result):
            return
        share = result.share_over(self.p99_ms * 1e6)
        raise PenstockError(
            f"the objective is missed: {share:.2%} of the requests took longer than "
            f"{self.p99_ms:g} ms or failed"
        )

    def to_json(self, *, histograms: bool = False) -> dict[str, Any]:
        """One document; latencies in microseconds."""
        found = self.found
        return {
            **self.about,
            "time": self.began.isoformat(timespec="seconds"),
            "generator": {"host": platform.node(), "penstock": __version__},
            "load": self._load(),
            "runs": [result.to_json(histograms=histograms) for result in self.runs.results],
            "void": self.runs.voids,
            **({} if found is None else {"found": self._found(found)}),
            **({"interrupted": True} if self.interrupted else {}),
            **({"error": self.error} if self.error else {}),
        }

    def save(self, path: Path) -> None:
        """The document with all histograms, as a file."""
        text = json.dumps(self.to_json(histograms=True), ensure_ascii=False)
        try:
            path.write_text(text + "\n")
        except OSError as error:
            raise PenstockError(f"{path} cannot be written: {error.strerror or error}") from error

    def print(self) -> None:
        """A table with a line for each rate, what failed, and the rate that was found."""
        shown = _by_rate(self.runs.results)
        if shown:
            print_table(_COLUMNS, map(_row, shown))
        for result in shown:
            at = f" at {result.rate:,.0f}/s" if result.rate and len(shown) > 1 else ""
            for failure in result.failures:
                said = f": {failure.said}" if failure.example else ""
                typer.echo(f"failed{at}: {failure.count:,} {failure.text}{said}")
            if result.reconnects or result.resent:
                typer.echo(
                    f"connections{at}: the server ended {result.reconnects:,}, which were opened again; "
                    f"{result.resent:,} requests were sent again"
                )
            if result.rate is None and self.rule.voids(result):  # it was interrupted, and so not repeated
                typer.echo(f"void: {self.rule.reason(result)}")
        if any(result.failed and result.good for result in shown):
            typer.echo("mean, percentiles and maximum are of good answers: what failed is left out")
        if self.found is not None:
            typer.echo(self._answer(self.found))

    def draw(self, folder: Path, suffix: str) -> None:
        """Percentile curves, and latency against load where there are several rates."""
        shown = _by_rate(self.runs.results)
        named = {
            "closed loop" if each.rate is None else f"{each.rate:,.0f} requests/s": each for each in shown
        }
        if shown:
            plots.percentile_curves(
                {name: each.latency for name, each in named.items()},
                folder / f"percentiles.{suffix}",
                left_out={name: each.failed for name, each in named.items()},
            )
        if len(shown) > 1:
            path = folder / f"latency-against-load.{suffix}"
            plots.latency_against_load({"": shown}, path, objective_ms=self.p99_ms)

    def _load(self) -> dict[str, Any]:
        load = self.load
        loop = (
            {"loop": "open", "rate": load.rate, "schedule": load.schedule, "seed": load.seed}
            if self.open_loop
            else {"loop": "closed", "streams": load.streams}
        )
        return {
            **loop,
            "connections": load.connections,
            "threads": load.threads,
            "cores": list(load.cores),
            "warmup_s": load.warmup,
            "seconds": load.seconds,
            "deadline_s": load.deadline,
            "objective_p99_ms": self.p99_ms,
            "max_lag_ms": None if self.rule.limit_ns is None else self.rule.limit_ns / 1e6,
        }

    def _found(self, found: Found) -> dict[str, Any]:
        assert self.p99_ms is not None
        limit_ns = self.p99_ms * 1e6
        trials = [
            {"rate": trial.rate, "kept": trial.kept, "share_over": trial.result.share_over(limit_ns)}
            for trial in found.trials
        ]
        return {
            "rate": found.rate,
            "interval": [found.low, found.high],
            "limited_by_generator": found.high is None,
            "confidence": found.confidence,
            "trials": trials,
        }

    def _answer(self, found: Found) -> str:
        """What the search found, for people."""
        runs = f"{len(found.trials)} runs"
        if found.high is None:
            return (
                f"p99 <= {self.p99_ms:g} ms up to at least {found.low:,.0f} requests/s, limited by the "
                f"generator ({found.confidence:.0%} confidence, {runs})"
            )
        return (
            f"p99 <= {self.p99_ms:g} ms up to {found.low:,.0f} requests/s ({found.confidence:.0%} interval "
            f"{found.low:,.0f} to {found.high:,.0f}, {runs})"
        )


def _by_rate(results: Sequence[Result]) -> list[Result]:
    """One for each rate, those of several runs taken together; in ascending order."""
    groups: dict[float, list[Result]] = {}
    for result in results:
        groups.setdefault(result.rate or 0.0, []).append(result)
    return [merged(group) for _, group in sorted(groups.items())]


def _row(result: Result) -> list[str]:
    latency = result.latency

    def ms(ns: float) -> str:
        return "-" if ns != ns else f"{ns / 1e6:.3f}"

    return [
        "closed" if result.rate is None else f"{result.rate:,.0f}",
        f"{result.throughput:,.0f}",
        f"{result.requests:,}",
        f"{result.failed:,}",
        ms(latency.mean_ns),
        *(ms(latency.quantile_ns(quantile)) for quantile in (0.5, 0.9, 0.99, 0.999)),
        ms(latency.max_ns if latency.count else float("nan")),
        "-" if result.rate is None else ms(result.late_ns),
    ]
