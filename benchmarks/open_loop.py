"""Drives the open-loop load generator of load/: an even rate on its own clock, and every answer checked."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from process import SERVICE, on_core

ROOT = Path(__file__).resolve().parents[1]
# How long a run may take beyond its time: the generator itself waits 5 s for the last answers.
GRACE_SECONDS = 20.0


class GeneratorError(Exception):
    """The generator cannot be built, or ended without figures."""


@dataclass
class Histogram:
    """Durations in nanoseconds by the upper bound of their bucket, within 0.8 %; the maximum is exact."""

    counts: Counter[int] = field(default_factory=Counter)
    max_ns: int = 0

    @property
    def count(self) -> int:
        return self.counts.total()

    def quantile_ns(self, quantile: float) -> int:
        """The bound that this share of the values is not above; 0 for an empty histogram."""
        left = quantile * self.count
        for bound, count in sorted(self.counts.items()):
            left -= count
            if left <= 0:
                return min(bound, self.max_ns)
        return self.max_ns

    def add(self, other: Histogram) -> None:
        """Takes the other's values in."""
        self.counts += other.counts
        self.max_ns = max(self.max_ns, other.max_ns)

    def record(self) -> dict[str, Any]:
        """Percentiles in microseconds, and all buckets."""
        percentiles = {f"p{q:g}": self.quantile_ns(q / 100) / 1e3 for q in (50, 90, 99, 99.9)}
        return {**percentiles, "max": self.max_ns / 1e3, "histogram_ns": sorted(self.counts.items())}


@dataclass
class Outcome:
    """What became of the requests of a run, or of several taken together."""

    requests: int = 0
    seconds: float = 0.0
    answers: list[int] = field(default_factory=list)  # how often each of the allowed ones came
    failed: Counter[str] = field(default_factory=Counter)  # by reason
    latency: Histogram = field(default_factory=Histogram)  # since each was due
    late: Histogram = field(default_factory=Histogram)  # of the generator: handed over since due
    slowest_ns: list[tuple[int, int]] = field(default_factory=list)  # due on the monotonic clock, latency

    @staticmethod
    def from_json(report: dict[str, Any]) -> Outcome:
        """What the generator prints."""

        def histogram(name: str) -> Histogram:
            counts = Counter(dict(report[f"{name}_histogram_ns"]))
            return Histogram(counts, round(report[f"{name}_us"]["max"] * 1e3))

        slowest = [(due, latency) for due, latency in report["slowest_ns"]]
        return Outcome(
            report["requests"],
            report["seconds"],
            report["answers"],
            Counter(report["failed"]),
            histogram("latency"),
            histogram("late"),
            slowest,
        )

    def add(self, other: Outcome) -> None:
        """Takes another run of the same load in."""
        self.requests += other.requests
        self.seconds += other.seconds
        pairs = zip(self.answers or [0] * len(other.answers), other.answers, strict=True)
        self.answers = [mine + theirs for mine, theirs in pairs]
        self.failed += other.failed
        self.latency.add(other.latency)
        self.late.add(other.late)
        slowest = sorted([*self.slowest_ns, *other.slowest_ns], key=lambda each: -each[1])
        self.slowest_ns = slowest[: max(len(self.slowest_ns), len(other.slowest_ns))]

    def record(self) -> dict[str, Any]:
        """For benchmarks/results."""
        return {
            "requests": self.requests,
            "seconds": self.seconds,
            "answers": self.answers,
            "failed": dict(self.failed),
            "latency_us": self.latency.record(),
            "late_us": self.late.record(),
        }


def build() -> Path:
    """The generator's program, made anew where its source changed."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-s", "-C", str(ROOT / "benchmarks" / "load")],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "MAKEFLAGS"},
    )
    if done.returncode:
        raise GeneratorError(f"the load generator could not be built:\n{done.stdout}{done.stderr}")
    return ROOT / "build" / "release" / "load" / "open-loop"


class OpenLoop:
    """One request, sent `rate` times a second to one server; the answers that are right."""

    def __init__(
        self,
        target: str,
        request: bytes,
        answers: Iterable[bytes],
        directory: Path,
        *,
        rate: float,
        connections: int = 8,
        core: int | None = None,
        method: str = SERVICE + "ModelInfer",
    ) -> None:
        """`request` and `answers` are serialized messages; they are written to files in `directory`."""
        self._command = [*on_core(core), str(build()), "--target", target, "--path", method]
        self._command += ["--rate", f"{rate:g}", "--connections", str(connections)]
        for option, name, messages in (("--request", "request", [request]), ("--answer", "answer", answers)):
            for index, message in enumerate(messages):
                path = directory / f"{name}-{index}.bin"
                path.write_bytes(message)
                self._command += [option, str(path)]

    def run(self, seconds: float) -> Outcome:
        """The load for so long. GeneratorError."""
        with self._started(["--seconds", f"{seconds:g}"]) as process:
            return _outcome(process, seconds + GRACE_SECONDS)

    @contextmanager
    def during(self) -> Iterator[Outcome]:
        """The load as long as the block runs; the outcome is filled in when it ends. GeneratorError."""
        outcome = Outcome()
        with self._started([]) as process:
            yield outcome
            outcome.add(_outcome(process, GRACE_SECONDS))

    @contextmanager
    def _started(self, options: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*self._command, *options], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()


def _outcome(process: subprocess.Popen[str], timeout: float) -> Outcome:
    """Closes its input, which ends one without a time of its own, and reads what it prints."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise GeneratorError(f"the load generator did not end within {timeout:g} s") from None
    if process.returncode:
        raise GeneratorError(f"the load generator ended with {process.returncode}: {errors.strip()}")
    return Outcome.from_json(json.loads(output))
