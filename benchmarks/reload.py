"""Reloads under load: no failed request, no slow one, no growth.

A server holds one model and answers requests that come at an even rate (open_loop.py), each checked: gRPC
status 0, and the old weights' answer or the new ones'. Slices with reloads and quiet ones as long take turns
under one load that never stops. A reload puts a folder with other weights in the version's place and calls
RepositoryModelLoad; behind it a request through grpcio must be answered by the new weights.

Required: no failed request; none slower with reloads than 3 times the 99th percentile without; resident
memory within 5 % of what it is after the first 50 reloads. Where the machine breaks the second without
reloads too, it is attributed (attribution.py, benchmarks/README.md). Exit 1 on a breach.

    python benchmarks/reload.py [--reloads 500] [--rate 5000] [--pause 0.02] [--save | --short]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

import results
from attribution import LEVEL, MARGIN_NS, SLOW, SPELL_NS, Attribution, Pair
from open_loop import GeneratorError, OpenLoop, Outcome, Trace
from process import ServerProcess, penstock_server, pinned, split_cores
from stage import Stage

SLICE_RELOADS = 5
SETTLED = 50  # reloads after which memory must be flat
GROWTH = 0.05
SHORT_SETTLED, SHORT_GROWTH = 20, 0.02  # of the short form: fewer samples, and their trend alone
LOADS_SLOW = 0.05  # of the loads may have made a request slow, at 99 % confidence
LOADS_GROSS = 0.5  # of the loads more than of quiet spans: a breach on any machine
TAIL = 2.0  # times the quiet tail
TAILS = (0.999, 0.9999)


class Reloader:
    """Swaps the served folder with a staged one of other weights, and has the server load it."""

    def __init__(self, server: ServerProcess, stage: Stage, pause: float) -> None:
        self._server, self._stage, self._pause = server, stage, pause
        self.resident: list[int] = []  # bytes, after each reload
        self.windows_ns: list[tuple[int, int]] = []  # when each RepositoryModelLoad ran, monotonic clock

    def run(self, reloads: int) -> None:
        """So many reloads. StaleAnswerError where one changed nothing, grpc.RpcError where one failed."""
        for _ in range(reloads):
            self._stage.swap()
            began = time.monotonic_ns()
            self._server.load(self._stage.model.name)
            self.windows_ns.append((began, time.monotonic_ns()))
            answer = self._server.infer(self._stage.model.request())
            if answer.raw_output_contents[0] != self._stage.expected:
                raise StaleAnswerError(
                    f"reload {len(self.windows_ns)}: the answer is not of the weights that were just loaded"
                )
            self.resident.append(self._server.resident_bytes())
            time.sleep(self._pause)


class StaleAnswerError(Exception):
    """A reload was acknowledged, and another version answers."""


@dataclass(frozen=True)
class Measured:
    """The load's outcome, where its slices lie, and the server's resident memory after each reload."""

    outcome: Outcome
    pairs: Sequence[Pair]
    resident: Sequence[int]


def measure(options: argparse.Namespace, directory: Path) -> Measured:
    """Slices with and without reloads in turns, under one load."""
    stage = Stage(directory)
    allowed = {"PENSTOCK_REPOSITORY_ALLOW_LOAD_UNLOAD": "true"}
    serving, generating = options.cores or (None, None)
    if generating is not None:
        # The generator's core is also this process's, which runs only where the generator leaves it idle.
        os.sched_setaffinity(0, {generating})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    log = directory / "penstock.log"
    with penstock_server(stage.repository, log, core=serving, environment=allowed) as server:
        request = stage.model.request()
        answers = [server.call("ModelInfer", request)]
        Reloader(server, stage, options.pause).run(1)
        answers.append(server.call("ModelInfer", request))
        reloader = Reloader(server, stage, options.pause)
        load = OpenLoop(server.target, request, answers, rate=options.rate, core=generating)
        pairs = []
        with load.during() as outcome:
            time.sleep(1.0)  # warms up
            while (done := len(reloader.resident)) < options.reloads:
                began = time.monotonic_ns()
                reloader.run(min(SLICE_RELOADS, options.reloads - done))
                length = time.monotonic_ns() - began
                time.sleep(0.05)  # what the last reload left behind is let go of
                pairs.append(Pair(began, time.monotonic_ns(), length, reloader.windows_ns[done:]))
                time.sleep(length / 1e9 + 0.01)
    return Measured(outcome, pairs, reloader.resident)


@dataclass(frozen=True)
class Check:
    """One thing that is measured. Without `required` it is told and not judged.

    `met` is None where this run cannot show whether the requirement is met.
    """

    what: str
    measured: str
    required: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {True: "yes", False: "MISSED", None: "not shown"}[self.met] if self.required else ""

    def text(self) -> str:
        return f"{self.what:<56}{self.measured:>11}  {self.required:<18} {self.verdict}".rstrip()


def judged(measured: Measured, found: Attribution, *, short: bool) -> list[Check]:
    """What is required of the figures, and what helps to read them."""
    failed = measured.outcome.failed
    reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
    told = f"failed requests ({reasons})" if failed else "failed requests"
    return [
        Check(told, str(failed.total()), "0", not failed),
        *slowest(found, short=short),
        *attributed(found, short=short),
        memory(measured.resident, short=short),
    ]


def slowest(found: Attribution, *, short: bool) -> list[Check]:
    """The requirement to the letter. Where the quiet slices do not meet it either, a breach says nothing; and
    where others use the machine nothing does: the p99 is theirs.

    The short form runs on machines that do other things too, and tells the figure without judging it.
    """
    ratio, quiet = (float(trace.latency.max() / found.p99_ns) for trace in (found.busy, found.quiet))
    met = None if found.too_busy else True if ratio <= SLOW else None if quiet > SLOW else False
    return [
        Check(
            "slowest with reloads / p99 without", f"{ratio:.2f}", *(() if short else (f"<= {SLOW:g}", met))
        ),
        Check("slowest without reloads / p99 without", f"{quiet:.2f}"),
    ]


def attributed(found: Attribution, *, short: bool) -> list[Check]:
    """Whether requests slower than that come more often where reloads are."""
    loads, spans = (hits.sum() / found.loads for hits in found.window_hits())
    spells = [counts.sum() for counts in found.spells()]
    late = [counts.sum() for counts in found.spells(found.by_generator)]

    def unlikely(what: str, chance: float) -> Check:
        # Where the machine is too busy an excess is no sign of a breach, and no excess none of its absence:
        # only what meets most of the loads is sure to be theirs.
        met = chance >= LEVEL
        unsure = found.too_busy and (met or loads - spans < LOADS_GROSS)
        return Check(what, f"p {chance:.2g}", f">= {LEVEL:g}", None if unsure else met)

    # Too few loads cannot show it, even where none made a request slow.
    bounded = f"<= {LOADS_SLOW:.0%}", (not found.too_busy and found.window_bound <= LOADS_SLOW) or None
    checks = [
        Check("generator late in quiet slices, p99", f"{np.quantile(found.quiet.late, 0.99) / 1e6:.2f} ms"),
        Check(f"loads with a request slower than {SLOW:g} x p99", f"{loads:.1%}"),
        Check("equal spans without a load, with such a one", f"{spans:.1%}"),
        unlikely("so many more loads, by chance alone", found.window_chance),
        Check(
            "loads that made one slow, at most (99 % confidence)",
            f"{max(found.window_bound, 0):.1%}",
            *(() if short else bounded),
        ),
        Check(
            f"{SPELL_NS // 10**6} ms spells with a slow one, with / without",
            f"{spells[0]} / {spells[1]}",
        ),
        Check("of these with a late generator", f"{late[0]} / {late[1]}"),
        unlikely("so many more spells, by chance alone", found.spell_chance),
    ]
    for quantile in TAILS:
        ratio = found.tail_ratio(quantile)
        breach = ratio > TAIL and found.tail_chance(quantile) < LEVEL
        met = None if found.too_busy else True if ratio <= TAIL else False if breach else None
        what = f"p{quantile * 100:g} with / without reloads"
        checks.append(Check(what, f"{ratio:.2f}", f"<= {TAIL:g}", met))
    return checks


def memory(resident: Sequence[int], *, short: bool) -> Check:
    """In the short form the trend: of what comes after the first 20, the last third against the first."""
    sizes = np.array(resident)
    if short:
        settled = sizes[SHORT_SETTLED:]
        third = len(settled) // 3
        growth = float(np.median(settled[-third:]) / np.median(settled[:third]) - 1)
        return Check(
            f"memory's trend after reload {SHORT_SETTLED}",
            f"{growth:.2%}",
            f"<= {SHORT_GROWTH:.0%}",
            growth <= SHORT_GROWTH,
        )
    growth = float(np.abs(sizes[SETTLED:] / sizes[SETTLED - 1] - 1).max())
    return Check(f"memory since reload {SETTLED}", f"{growth:.2%}", f"within {GROWTH:.0%}", growth <= GROWTH)


def percentiles(trace: Trace) -> dict[str, Any]:
    """For benchmarks/results: of the latencies and of the generator's delays, in microseconds."""
    quantiles = (0.5, 0.9, 0.99, *TAILS)
    return {
        "requests": len(trace.due),
        **{
            name: {
                **{f"p{q * 100:g}": float(np.quantile(values, q)) / 1e3 for q in quantiles},
                "max": int(values.max()) / 1e3,
            }
            for name, values in (("latency_us", trace.latency), ("late_us", trace.late))
        },
    }


def record(measured: Measured, found: Attribution) -> dict[str, Any]:
    """For benchmarks/results. Times of slow requests and of loads are from the begin of their slice."""
    pairs = []
    for pair in measured.pairs:
        entry: dict[str, Any] = {"loads_us": [[(t - pair.began) / 1e3 for t in load] for load in pair.loads]}
        kinds = (("slow_with_us", pair.began), ("slow_without_us", pair.quiet_began))
        for (name, began), trace in zip(kinds, (found.busy, found.quiet), strict=True):
            places = trace.span(began, began + pair.length)
            rows = zip(trace.due[places] - began, trace.late[places], trace.latency[places], strict=True)
            limit = SLOW * found.p99_ns
            entry[name] = [[int(value) / 1e3 for value in row] for row in rows if row[2] > limit]
        pairs.append(entry)
    return {
        "failed": dict(measured.outcome.failed),
        "answers": measured.outcome.answers,
        "seconds_of_each": found.seconds,
        "too_busy": found.too_busy,
        "without_reloads": percentiles(found.quiet),
        "with_reloads": percentiles(found.busy),
        "reload_ms": [(ended - began) / 1e6 for pair in measured.pairs for began, ended in pair.loads],
        "resident_bytes": list(measured.resident),
        "pairs": pairs,
    }


def print_report(options: argparse.Namespace, figures: dict[str, Any], checks: Sequence[Check]) -> None:
    """The table of latencies, and the checks."""
    print(
        f"{options.reloads} reloads, median {np.median(figures['reload_ms']):.1f} ms each, under "
        f"{options.rate:,g} requests/s; each checked by an answer of the new weights.\n"
    )
    names = ("p50", "p99", "p99.9", "p99.99", "max")
    print(f"{'ms since due':<18}" + "".join(f"{name:>9}" for name in names) + f"{'requests':>11}")
    for key in ("without_reloads", "with_reloads"):
        phase = figures[key]
        for label, times in (
            (key.replace("_", " "), phase["latency_us"]),
            ("  sent late by", phase["late_us"]),
        ):
            line = f"{label:<18}" + "".join(f"{times[name] / 1e3:>9.3f}" for name in names)
            print(line + (f"{phase['requests']:>11,}" if times is phase["latency_us"] else ""))
    print(f"\n{'':<56}{'measured':>11}  required")
    for check in checks:
        print(check.text())
    if missing := [check.what for check in checks if check.verdict == "not shown"]:
        print(f"\nNot shown on this machine: {'; '.join(missing)}.")
        print(
            "Others keep the machine busy; run it on one that does nothing else."
            if figures["too_busy"]
            else "Requests are that slow at times without reloads too, and the run cannot tell these apart."
        )
    if options.short:
        print("\nShort form: the slowest of all, and how many loads at most, are told and not judged.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reloads", type=int, default=500)
    parser.add_argument("--rate", type=float, default=5000, help="requests a second")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two reloads")
    options = results.parsed(
        parser,
        least={"reloads": 500, "rate": 5000},
        short={"reloads": 60},
        judges="the slowest of all and the bound on loads are told only; memory is judged by its trend",
    )
    least = 3 * SHORT_SETTLED if options.short else SETTLED + 1
    if options.reloads < least:
        parser.error(f"--reloads must be at least {least}: memory is judged by what comes later")
    options.cores = split_cores()
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-reload-") as folder:
            measured = measure(options, Path(folder))
    except (GeneratorError, StaleAnswerError, grpc.RpcError) as error:
        sys.exit(f"reload: {error}")
    found = Attribution(measured.outcome.trace, measured.pairs, apart=options.cores is not None)
    checks = judged(measured, found, short=options.short)
    figures = {
        "pinned": pinned(options.cores),
        "reloads": options.reloads,
        "rate": options.rate,
        "pause_seconds": options.pause,
        **record(measured, found),
        "rules": {"slow": SLOW, "level": LEVEL, "margin_ns": MARGIN_NS, "spell_ns": SPELL_NS},
        "checks": [{**asdict(check), "verdict": check.verdict} for check in checks],
    }
    print_report(options, figures, checks)
    print(f"\nFigures in {results.keep('reload', figures, options)}")
    if any(check.met is False for check in checks):
        sys.exit("reload: a requirement is missed")


if __name__ == "__main__":
    main()
