"""When a run tells of the generator rather than of the server: it was too late, or had no more to give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from penstock.bench.result import Result
from penstock.errors import PenstockError

RUNS = 5  # of one load, until one is not void
_OF_OBJECTIVE = 0.1
_OF_MEDIAN = 0.5
# A sleeping processor takes that long to wake now and then, whatever the server does.
_FLOOR_NS = 100_000.0
# Of its threads' processor time: above that, a closed loop waits for the generator.
_BUSY = 0.9


class VoidError(PenstockError):
    """The generator was the limit, however often it was tried."""


@dataclass(frozen=True, slots=True)
class LagRule:
    """How late the generator may be: the delay that 99 % of the requests do not exceed.

    `limit_ns` where it is given; else a tenth of the objective where there is one; else half of the run's
    median latency; of these two 0.1 ms at least. A generator that is late makes the latencies longer than a
    caller would see them, since they count from when a request was due.

    A closed loop has no schedule to be late for. It is void where the generator's threads used more than 0.9
    of their processor time: the throughput is the generator's then.
    """

    limit_ns: float | None = None
    objective_ns: float | None = None

    def limit_of(self, result: Result) -> float:
        """The limit for that run, in ns."""
        if self.limit_ns is not None:
            return self.limit_ns
        if self.objective_ns is not None:
            return max(self.objective_ns * _OF_OBJECTIVE, _FLOOR_NS)
        median_ns = result.latency.quantile_ns(0.5) if result.good else 0.0
        return max(median_ns * _OF_MEDIAN, _FLOOR_NS)

    def voids(self, result: Result) -> bool:
        """Whether the run says nothing about the server."""
        if result.rate is None:
            return result.processor_share > _BUSY
        return result.late_ns > self.limit_of(result)

    def reason(self, result: Result) -> str:
        """Why it is void, for people."""
        if result.rate is None:
            return (
                f"the generator itself was the limit: it used {result.processor_share:.0%} of the "
                f"processor time of its threads, with {_BUSY:.0%} allowed"
            )
        return (
            f"the generator was late itself: by {result.late_ns / 1e6:.3f} ms at its p99, "
            f"with {self.limit_of(result) / 1e6:.3f} ms allowed"
        )

    def remedy(self, result: Result) -> str:
        """What to do about it."""
        if result.rate is None:
            return "Run it with more --threads, on cores of their own (--cores)."
        return (
            "Run it on a quieter machine or on cores of its own, with more --threads for a high rate, or "
            f"allow more: --max-lag {_rounded_up(result.late_ns * 1.25 / 1e6):g}."
        )


def _rounded_up(value: float) -> float:
    """To two digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step) * step:.2g}")


def steady(run: Callable[[], Result], rule: LagRule, told: Callable[[str], None] | None = None) -> Result:
    """The first of at most RUNS runs that is not void; `told` hears of those that are.

    VoidError says what to do when all were.
    """
    for _ in range(RUNS):
        result = run()
        if result.interrupted or not rule.voids(result):
            return result
        if told is not None:
            told(f"void: {rule.reason(result)}")
    rate = f" at {result.rate:,.0f} requests/s" if result.rate else ""
    raise VoidError(f"{RUNS} runs{rate} were void: {rule.reason(result)}. {rule.remedy(result)}")
