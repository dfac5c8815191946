"""One request at an even rate on the load generator's clock: every answer checked, every request traced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from penstock.bench import Body, Load, Result, measure
from penstock.errors import PenstockError
from process import SERVICE


class GeneratorError(Exception):
    """The load cannot be made as it was asked for, or ended without figures."""


@dataclass(frozen=True)
class Trace:
    """When each request was due (monotonic clock), how late it was sent and how long its answer took.

    Nanoseconds, int64, in the order in which they were due; `late` and `latency` count from then.
    """

    due: NDArray[np.int64]
    late: NDArray[np.int64]
    latency: NDArray[np.int64]

    @staticmethod
    def of(rows: Sequence[Sequence[int]] | NDArray[np.int64]) -> Trace:
        """Rows of due, late, latency."""
        table = np.asarray(rows, np.int64).reshape(-1, 3)
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

    def fill(self, result: Result) -> None:
        """Takes what a run measured."""
        self.requests, self.seconds = result.requests, result.seconds
        self.answers = list(result.answers[0])
        self.failed = Counter({failure.label: failure.count for failure in result.failures})
        assert result.times is not None
        self.trace = Trace.of(result.times)


class OpenLoop:
    """One request, sent `rate` times a second to one server; the answers that are right."""

    def __init__(
        self,
        target: str,
        request: bytes,
        answers: Iterable[bytes],
        *,
        rate: float,
        connections: int = 8,
        core: int | None = None,
        method: str = SERVICE + "ModelInfer",
    ) -> None:
        """`request` and `answers` are serialized messages. GeneratorError for a load that cannot be."""
        self._target = target
        self._body = Body(request, tuple(answers))
        if not self._body.answers:
            raise GeneratorError("answers: the messages that are right are needed")
        try:
            self._load = Load(
                rate=rate,
                schedule="even",
                connections=connections,
                cores=() if core is None else (core,),
                warmup=0.0,
                method=method,
                trace=True,
            )
        except PenstockError as error:
            raise GeneratorError(str(error)) from error

    def run(self, seconds: float) -> Outcome:
        """The load for so long. GeneratorError."""
        outcome = Outcome()
        try:
            outcome.fill(measure(self._target, self._body, replace(self._load, seconds=seconds)))
        except PenstockError as error:
            raise GeneratorError(str(error)) from error
        return outcome

    @contextmanager
    def during(self) -> Iterator[Outcome]:
        """The load as long as the block runs; the outcome is filled in when it ends. GeneratorError.

        The block begins when the connections stand; the first request is due 50 ms later.
        """
        outcome = Outcome()
        try:
            running = replace(self._load, seconds=0.0).start(self._target, self._body)
        except PenstockError as error:
            raise GeneratorError(str(error)) from error
        with running:
            yield outcome
            running.stop()
            try:
                outcome.fill(running.finish())
            except PenstockError as error:
                raise GeneratorError(str(error)) from error
