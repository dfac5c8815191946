"""When the generator itself was too late for a run to say anything about the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.bench.result import Result
from penstock.errors import PenstockError

RUNS = 5  # of one load, until one is not void
_OF_OBJECTIVE = 0.1
_OF_MEDIAN = 0.5


class VoidError(PenstockError):
    """The generator could not send in time, however often it was tried."""


@dataclass(frozen=True, slots=True)
class LagRule:
    """How late the generator may be: the delay that 99 % of the requests do not exceed.

    `limit_ns` where it is given; else a tenth of the objective where there is one; else half of the run's
    median latency. A generator that is late makes the latencies longer than a caller would see them, since
    they count from when a request was due.
    """

    limit_ns: float | None = None
    objective_ns: float | None = None

    def limit_of(self, result: Result) -> float:
        """The limit for that run, in ns."""
        if self.limit_ns is not None:
            return self.limit_ns
        if self.objective_ns is not None:
            return self.objective_ns * _OF_OBJECTIVE
        return result.latency.quantile_ns(0.5) * _OF_MEDIAN

    def voids(self, result: Result) -> bool:
        """Whether the run says nothing about the server. A closed loop has no schedule to be late for."""
        return result.late_ns > self.limit_of(result)

    def reason(self, result: Result) -> str:
        """Why it is void, for people."""
        return (
            f"the generator was late itself: by {result.late_ns / 1e6:.3f} ms at its p99, "
            f"with {self.limit_of(result) / 1e6:.3f} ms allowed"
        )


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
    raise VoidError(
        f"{RUNS} runs{rate} were void: {rule.reason(result)}. Run it on a quieter machine or on cores of its "
        "own, with more --threads for a high rate, or allow more by --max-lag."
    )
