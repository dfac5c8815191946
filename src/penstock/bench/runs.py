"""Runs of one load on one server, each with new connections and a schedule of its own; void ones are
repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from penstock.bench.bodies import Body
from penstock.bench.lag import LagRule, steady
from penstock.bench.load import Load, Progress, measure
from penstock.bench.result import Result
from penstock.errors import PenstockError

# A percentile of fewer requests says little; slow rates run longer, up to a limit.
_LEAST_REQUESTS = 300
_LONGEST_S = 60.0
# What a first guess is made from: a closed loop of that length.
_GLANCE_S = 0.5


class Runs:
    """`results` are those so far that were not void, in order; `voids` says why others were."""

    def __init__(
        self,
        target: str,
        bodies: Sequence[Body],
        load: Load,
        rule: LagRule,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._target = target
        self._bodies = bodies
        self._load = load
        self._rule = rule
        self._told = told
        self._number = 0
        self.results: list[Result] = []
        self.voids: list[str] = []

    def once(self, progress: Progress | None = None) -> Result:
        """The load as it is. VoidError where every run of it was void; Interrupted on Ctrl-C."""
        return self._kept(self._load, progress)

    def at(self, rate: float, progress: Progress | None = None) -> Result:
        """The same in an open loop of that rate; longer where few requests would come of it."""
        seconds = max(self._load.seconds, min(_LEAST_REQUESTS / rate, _LONGEST_S))
        return self._kept(replace(self._load, rate=rate, seconds=seconds), progress)

    def capacity(self) -> float:
        """Requests a second of a short closed loop: about the most that the server takes. PenstockError where
        it gives no good answer.
        """
        load = replace(self._load, rate=None, seconds=_GLANCE_S, warmup=_GLANCE_S / 2)
        result = measure(self._target, self._bodies, load)
        if not result.good and not result.overdue:
            raise PenstockError(result.no_good_answer)
        return result.throughput

    def _kept(self, load: Load, progress: Progress | None) -> Result:
        def run() -> Result:
            self._number += 1
            # Odd and far apart: seeds next to each other must not give schedules that resemble each other.
            seed = (load.seed + 0x632BE59BD9B4E019 * self._number) % 2**64
            return measure(self._target, self._bodies, replace(load, seed=seed), progress=progress)

        result = steady(run, self._rule, self._void)
        self.results.append(result)
        return result

    def _void(self, reason: str) -> None:
        self.voids.append(reason)
        if self._told is not None:
            self._told(reason)
