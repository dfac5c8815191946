"""Reloads under load: no failed request, no slow one, no growth.

A server holds one model and answers requests that come at an even rate (open_loop.py), each checked: gRPC
status 0, and the old weights' answer or the new ones'. Slices without reloads and slices with them take turns
and come to as many requests of each. A reload puts a folder with other weights in the version's place and
calls RepositoryModelLoad; behind it a request through grpcio must be answered by the new weights.

Required: no failed request; none slower with reloads than 3 times the 99th percentile without; resident
memory within 5 % of what it is after the first 50 reloads. Exit 1 on a breach.

    python benchmarks/reload.py [--reloads 500] [--rate 5000] [--pause 0.02] [--save]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

import results
from open_loop import GeneratorError, OpenLoop, Outcome
from process import ServerProcess, penstock_server, pinned, split_cores
from stage import Stage

SLICE_RELOADS = 25
SETTLED = 50  # reloads after which memory must be flat
SLOWEST = 3.0  # times the quiet 99th percentile
GROWTH = 0.05


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


@dataclass
class Phase:
    """All slices of one kind."""

    slices: list[Outcome] = field(default_factory=list)

    def total(self) -> Outcome:
        whole = Outcome()
        for each in self.slices:
            whole.add(each)
        return whole

    def typical_slowest_ns(self) -> float:
        """The median of the slices' slowest: one hiccup hardly moves it, a stall in each does."""
        return statistics.median(each.latency.max_ns for each in self.slices)


@dataclass(frozen=True)
class Measured:
    """The slices without and with reloads, and what the reloader saw."""

    quiet: Phase
    busy: Phase
    reloader: Reloader

    def record(self) -> dict[str, Any]:
        """For benchmarks/results."""
        phases = {"without_reloads": self.quiet, "with_reloads": self.busy}
        return {
            **{
                name: {
                    **phase.total().record(),
                    "slices_slowest_us": [each.latency.max_ns / 1e3 for each in phase.slices],
                }
                for name, phase in phases.items()
            },
            "reload_ms": [(end - began) / 1e6 for began, end in self.reloader.windows_ns],
            "resident_bytes": self.reloader.resident,
        }


def measure(options: argparse.Namespace, directory: Path) -> Measured:
    """Slices without and with reloads in turns, one more of those without."""
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
        load = OpenLoop(server.target, request, answers, directory, rate=options.rate, core=generating)
        load.run(1.0)  # warms up
        quiet, busy = Phase(), Phase()
        quiet.slices.append(load.run(SLICE_RELOADS * (options.pause + 0.02)))
        while (done := len(reloader.resident)) < options.reloads:
            with load.during() as outcome:
                reloader.run(min(SLICE_RELOADS, options.reloads - done))
            busy.slices.append(outcome)
            time.sleep(0.1)  # what the last reload left behind is let go of
            quiet.slices.append(load.run(outcome.seconds))
    return Measured(quiet, busy, reloader)


@dataclass(frozen=True)
class Check:
    """One thing that is required, or told besides (`met` is None)."""

    what: str
    measured: str
    required: str = ""
    met: bool | None = None

    def text(self) -> str:
        verdict = {True: "yes", False: "MISSED", None: ""}[self.met]
        return f"{self.what:<50}{self.measured:>9}  {self.required:<12} {verdict}".rstrip()


def checks(measured: Measured) -> list[Check]:
    """What is required of the figures, and what helps to read them."""
    without, during = measured.quiet.total(), measured.busy.total()
    failed = without.failed + during.failed
    reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
    told = f"failed requests ({reasons})" if failed else "failed requests"
    p99 = without.latency.quantile_ns(0.99)
    ratio, quiet = during.latency.max_ns / p99, without.latency.max_ns / p99
    typical = measured.busy.typical_slowest_ns() / measured.quiet.typical_slowest_ns()
    # Where the quiet slices break the rule too, or the generator itself was that late, the machine makes
    # requests slow, and the slowest of all says nothing about reloads. The slices' slowest still do.
    noisy = max(quiet, during.late.max_ns / p99) > SLOWEST
    judged = None if noisy else ratio <= SLOWEST
    resident = np.array(measured.reloader.resident)
    growth = float(np.abs(resident[SETTLED:] / resident[SETTLED - 1] - 1).max())
    line = f"<= {SLOWEST:g}"
    return [
        Check(told, str(failed.total()), "0", not failed),
        Check("slowest with reloads / p99 without", f"{ratio:.2f}", line, judged),
        Check("slowest without reloads / p99 without", f"{quiet:.2f}"),
        Check(
            "slowest of a slice, with / without (medians)",
            f"{typical:.2f}",
            line if noisy else "",
            typical <= SLOWEST if noisy else None,
        ),
        Check(f"memory since reload {SETTLED}", f"{growth:.2%}", f"within {GROWTH:.0%}", growth <= GROWTH),
    ]


def print_report(options: argparse.Namespace, measured: Measured, judged: list[Check]) -> None:
    """The table of latencies, and the checks."""
    windows = measured.reloader.windows_ns
    seconds = [(end - began) / 1e9 for began, end in windows]
    print(
        f"{len(windows)} reloads, median {np.median(seconds) * 1e3:.1f} ms each, under {options.rate:,g} "
        f"requests/s; each checked by an answer of the new weights.\n"
    )
    print(f"{'ms since due':<18}{'p50':>9}{'p99':>9}{'p99.9':>9}{'slowest':>9}{'requests':>11}{'failed':>8}")
    for name, phase in (("without reloads", measured.quiet), ("with reloads", measured.busy)):
        whole = phase.total()
        for label, histogram in ((name, whole.latency), ("  sent late by", whole.late)):
            values = [*(histogram.quantile_ns(q) for q in (0.5, 0.99, 0.999)), histogram.max_ns]
            print(f"{label:<18}" + "".join(f"{ns / 1e6:>9.3f}" for ns in values), end="")
            print(f"{whole.requests:>11,}{whole.failed.total():>8}" if label == name else "")
    during = measured.busy.total()
    slow = [due for due, _ in during.slowest_ns]
    inside = sum(any(began <= due <= end for began, end in windows) for due in slow)
    print(
        f"\nOf the {len(slow)} slowest with reloads {inside} were due while one ran, "
        f"which was {sum(seconds) / during.seconds:.0%} of the time.\n"
    )
    print(f"{'':<50}{'measured':>9}  required")
    for check in judged:
        print(check.text())
    if judged[1].met is None:
        print("The slowest of all is not judged: the machine alone, without reloads, is that slow at times.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reloads", type=int, default=500)
    parser.add_argument("--rate", type=float, default=5000, help="requests a second")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two reloads")
    options = results.parsed(parser, least={"reloads": 500, "rate": 5000})
    if options.reloads <= SETTLED:
        parser.error(f"--reloads must be more than {SETTLED}: memory is judged after these")
    options.cores = split_cores()
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-reload-") as folder:
            measured = measure(options, Path(folder))
    except (GeneratorError, StaleAnswerError, grpc.RpcError) as error:
        sys.exit(f"reload: {error}")
    judged = checks(measured)
    print_report(options, measured, judged)
    figures = {"pinned": pinned(options.cores), "reloads": options.reloads, "rate": options.rate}
    figures |= {
        "pause_seconds": options.pause,
        **measured.record(),
        "checks": [asdict(each) for each in judged],
    }
    print(f"\nFigures in {results.keep('reload', figures, options)}")
    if any(check.met is False for check in judged):
        sys.exit("reload: a requirement is missed")


if __name__ == "__main__":
    main()
