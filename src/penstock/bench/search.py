"""The highest rate at which a server keeps an objective for its latency, with a confidence interval.

A run of one rate keeps the objective when at most 1 - quantile of its requests took longer or failed. R is
the highest rate at which at least half of such runs keep it. The latencies of one run hang together (a queue
that is long now was long before), so that a test which counted requests as independent would be far too sure;
the runs are the trials here, each with new connections and a schedule of its own.

1. Bracketing: the rate is doubled, or halved, until one keeps the objective and one misses it. Where the
   generator cannot send a rate (its runs are void), rates between that and the last kept one are tried.
2. Bisection on the logarithm, the better of three runs at each rate, until the two are within the precision.
3. Confirmation: runs at the lower and at the upper rate in turns. Where a rate at or above R is tried, n runs
   in a row keep the objective with a probability of at most 2^-n; the other way round for the upper one. This
   is the exact sign test (W. J. Dixon, A. M. Mood, "The statistical sign test", J. Am. Stat. Assoc. 41, 1946,
   557-566). A contrary run moves its end outwards, at most TRIES rates in all for each end, and n is such
   that the sum of these chances is within half of what the confidence leaves.

R lies between the ends with at least that confidence; the lower end is the rate to count on. Where no rate
that the generator can send misses the objective, there is a lower end alone: R is that or more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from penstock.bench.lag import VoidError
from penstock.bench.result import Result
from penstock.errors import PenstockError

TRIES = 6
_LOWEST = 1.0  # requests a second


class SearchError(PenstockError):
    """No rate could be shown to keep the objective, or none to miss it."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is asked of a run: the latency that the quantile of the requests stays within."""

    limit_ns: float
    quantile: float = 0.99

    def kept(self, result: Result) -> bool:
        """Failed requests count as too slow."""
        return result.requests > 0 and result.share_over(self.limit_ns) <= 1 - self.quantile + 1e-12

    def __str__(self) -> str:
        return f"p{self.quantile * 100:g} <= {self.limit_ns / 1e6:g} ms"


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of the search."""

    rate: float
    kept: bool
    result: Result


@dataclass(frozen=True, slots=True)
class Found:
    """The interval that holds the highest rate, in requests a second, and the runs that it rests on. Without
    an upper end the generator was the limit: the server takes `low` at least.
    """

    low: float
    high: float | None
    confidence: float
    trials: tuple[Trial, ...]

    @property
    def rate(self) -> float:
        """The highest rate that was shown to keep the objective."""
        return self.low


@dataclass
class _End:
    """An end of the interval that is being confirmed."""

    anchor: float
    keeps: bool  # the lower end: its runs are to keep the objective
    precision: float
    tries: int = 1
    row: int = 0
    done: bool = False

    @property
    def rate(self) -> float:
        steps = 2.0 ** (self.tries - 1) - 1
        return self.anchor * math.pow(1 + self.precision, -steps if self.keeps else steps)


class Search:
    """Looks for the highest rate. `run` measures one rate; it is told the number of the run too, for its
    seed.
    """

    def __init__(
        self,
        run: Callable[[float, int], Result],
        objective: Objective,
        *,
        confidence: float = 0.95,
        precision: float = 0.05,
        told: Callable[[Trial], None] | None = None,
    ) -> None:
        self._run = run
        self._objective = objective
        self._confidence = confidence
        self._precision = precision
        self._told = told
        self.trials: list[Trial] = []

    @property
    def row(self) -> int:
        """Runs in a row that confirm an end."""
        return math.ceil(math.log2(TRIES / ((1 - self._confidence) / 2)))

    def highest_rate(self, start: float) -> Found:
        """From a first guess. SearchError where the server or the machine gives no answer; VoidError where
        the generator can send no rate in time.
        """
        low, high = self._bracket(start)
        if high is not None:
            low, high = self._bisected(low, high)
        low, high = self._confirmed(low, high)
        return Found(low, high, self._confidence, tuple(self.trials))

    def _kept(self, rate: float) -> bool:
        result = self._run(rate, len(self.trials))
        if not result.good and not result.overdue:
            raise SearchError(f"at {rate:,.0f} requests/s, {result.no_good_answer}")
        trial = Trial(rate, self._objective.kept(result), result)
        self.trials.append(trial)
        if self._told is not None:
            self._told(trial)
        return trial.kept

    def _bracket(self, start: float) -> tuple[float, float | None]:
        """A rate that was kept and one that was missed; None for that where the generator is the limit."""
        rate = max(start, _LOWEST)
        kept, missed, void = 0.0, math.inf, math.inf
        while not (kept and missed < math.inf):
            try:
                if self._kept(rate):
                    kept = rate
                else:
                    missed = rate
            except VoidError:
                if rate <= _LOWEST:
                    raise
                void = rate
            if not kept:
                if missed <= _LOWEST:
                    raise self._never_kept()
                rate = max(rate / 2, _LOWEST)
            elif void < math.inf:
                if void / kept <= 1 + self._precision:
                    return kept, None
                rate = math.sqrt(kept * void)
            else:
                rate = kept * 2
        return kept, missed

    def _never_kept(self) -> SearchError:
        last = self.trials[-1].result
        return SearchError(
            f"not even {_LOWEST:g} request a second keeps {self._objective}: "
            f"p99 was {last.percentile_ms(99):.3f} ms, {last.failed} of {last.requests} failed"
        )

    def _bisected(self, low: float, high: float) -> tuple[float, float]:
        while high / low > 1 + self._precision:
            middle = math.sqrt(low * high)
            first, second = self._kept(middle), self._kept(middle)
            if first if first == second else self._kept(middle):
                low = middle
            else:
                high = middle
        return low, high

    def _confirmed(self, low: float, high: float | None) -> tuple[float, float | None]:
        lower = _End(low, True, self._precision)
        upper = None if high is None else _End(high, False, self._precision)
        ends = [lower] if upper is None else [lower, upper]
        while not all(end.done for end in ends):
            for end in ends:
                if not end.done:
                    self._try(end)
            ends.reverse()  # A B B A: what drifts slowly meets both alike
        if upper is None:
            return lower.rate, None
        return min(lower.rate, upper.rate), max(lower.rate, upper.rate)

    def _try(self, end: _End) -> None:
        if self._kept(end.rate) == end.keeps:
            end.row += 1
            end.done = end.row == self.row
            return
        end.row = 0
        if end.tries == TRIES:
            what = "keep" if end.keeps else "miss"
            raise SearchError(
                f"no rate can be shown to {what} {self._objective} every time: at {end.rate:,.0f} requests/s "
                "runs still differ. The machine or the server is too unsteady for a confidence of "
                f"{self._confidence:.0%}; longer runs (--seconds) even it out."
            )
        end.tries += 1
