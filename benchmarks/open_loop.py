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

import numpy as np
from numpy.typing import NDArray

from process import SERVICE, on_core

ROOT = Path(__file__).resolve().parents[1]
# How long a run may take beyond its time: the generator itself waits 5 s for the last answers.
GRACE_SECONDS = 20.0


class GeneratorError(Exception):
    """The generator cannot be built, or ended without figures."""


@dataclass(frozen=True)
class Trace:
    """When each request was due (monotonic clock), how late it was sent and how long its answer took.

    Nanoseconds, int64, in the order in which they were due; `late` and `latency` count from then.
    """

    due: NDArray[np.int64]
    late: NDArray[np.int64]
    latency: NDArray[np.int64]

    @staticmethod
    def of(rows: Iterable[Sequence[int]]) -> Trace:
        """Rows of due, late, latency."""
        table = np.array(list(rows), np.int64).reshape(-1, 3)
        return Trace(*table[np.argsort(table[:, 0], kind="stable")].T)

    def span(self, began: int, ended: int) -> slice:
        """The places of what was due from `began` until before `ended`."""
        first, last = np.searchsorted(self.due, [began, ended])
        return slice(int(first), int(last))

    def taken(self, places: Iterable[slice]) -> Trace:
        """Those places alone, one behind the other."""
        index = np.concatenate([np.arange(0), *(np.arange(each.start, each.stop) for each in places)])
        return Trace(self.due[index], self.late[index], self.latency[index])


@dataclass
class Outcome:
    """What became of the requests of a run."""

    requests: int = 0
    seconds: float = 0.0
    answers: list[int] = field(default_factory=list)  # how often each of the allowed ones came
    failed: Counter[str] = field(default_factory=Counter)  # by reason
    trace: Trace = field(default_factory=lambda: Trace.of([]))  # of all that ended, failed or not

    def fill(self, report: dict[str, Any]) -> None:
        """Takes what the generator prints."""
        self.requests, self.seconds = report["requests"], report["seconds"]
        self.answers, self.failed = report["answers"], Counter(report["failed"])
        self.trace = Trace.of(report["trace_ns"])


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
        self._command += ["--rate", f"{rate:g}", "--connections", str(connections), "--trace"]
        for option, name, messages in (("--request", "request", [request]), ("--answer", "answer", answers)):
            for index, message in enumerate(messages):
                path = directory / f"{name}-{index}.bin"
                path.write_bytes(message)
                self._command += [option, str(path)]

    def run(self, seconds: float) -> Outcome:
        """The load for so long. GeneratorError."""
        outcome = Outcome()
        with self._started(["--seconds", f"{seconds:g}"]) as process:
            outcome.fill(_report(process, seconds + GRACE_SECONDS))
        return outcome

    @contextmanager
    def during(self) -> Iterator[Outcome]:
        """The load as long as the block runs; the outcome is filled in when it ends. GeneratorError.

        The block begins when the connections stand; the first request is due 50 ms later.
        """
        outcome = Outcome()
        with self._started([]) as process:
            yield outcome
            outcome.fill(_report(process, GRACE_SECONDS))

    @contextmanager
    def _started(self, options: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*self._command, *options], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        ) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline() != "connected\n":
                    _report(process, GRACE_SECONDS)  # says what went wrong
                    raise GeneratorError("the load generator ended before it had begun")
                yield process
            finally:
                if process.poll() is None:
                    process.kill()


def _report(process: subprocess.Popen[str], timeout: float) -> Any:
    """Closes its input, which ends one without a time of its own, and reads what it prints at the end."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise GeneratorError(f"the load generator did not end within {timeout:g} s") from None
    if process.returncode:
        raise GeneratorError(f"the load generator ended with {process.returncode}: {errors.strip()}")
    return json.loads(output)
