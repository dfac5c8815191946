"""What a run measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from penstock.bench.histogram import Histogram

if TYPE_CHECKING:
    from penstock._loadgen import Report

# By number (grpc/status.h).
STATUS_NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_CODED = ("grpc-status", "HTTP status", "stream error")
_OTHER_CODES = 2**32 - 1  # ext/loadgen/outcome.h
_DEADLINE_EXCEEDED = 4
OVERDUE = "DEADLINE_EXCEEDED (client)"
# The share of requests that a lateness is told of.
LATE_QUANTILE = 0.99


@dataclass(frozen=True, slots=True)
class Failure:
    """Requests without a good answer, for one reason. `example` is what the server said of one."""

    reason: str
    code: int
    count: int
    example: str = ""

    @property
    def label(self) -> str:
        """The reason with its code, as in "grpc-status 8". A server's reasons beyond the first 64 count as
        "grpc-status (others)".
        """
        if self.reason not in _CODED:
            return self.reason
        return f"{self.reason} {'(others)' if self.code == _OTHER_CODES else self.code}"

    @property
    def overdue(self) -> bool:
        """Whether its deadline had passed, as this side or the server noticed."""
        return self.reason == OVERDUE or (self.reason == "grpc-status" and self.code == _DEADLINE_EXCEEDED)

    @property
    def said(self) -> str:
        """The example as a server meant it (percent-decoded), without control characters."""
        return "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in unquote(self.example)
        )

    @property
    def text(self) -> str:
        """The same for people: gRPC's statuses by their names."""
        if self.reason == "grpc-status" and self.code < len(STATUS_NAMES):
            return STATUS_NAMES[self.code]
        return self.label


@dataclass(frozen=True)
class Result:
    """One run, warm-up left out.

    Open loop: `requests` were due in `seconds`. Closed loop: so many ended in them. `latency` is of the good
    answers, from when their request was due. `late` is the generator's own delay: from when a request was due
    until it was given to its connection and that had written what it could. What stays there then waits for
    the server (its stream limit, its windows, a full socket, a connection that is being opened again), which
    is none of the generator's. There is no such delay in a closed loop.
    """

    requests: int
    answered_in_time: int  # good answers that came in `seconds`, whenever their requests were due
    seconds: float
    latency: Histogram
    late: Histogram
    failures: tuple[Failure, ...] = ()
    rate: float | None = None  # requests a second that were asked for; None: a closed loop
    processor_seconds: float = 0.0  # of the generator's threads
    threads: int = 1
    reconnects: int = 0  # connections that were opened again in the time that counts
    resent: int = 0  # requests that a server gave back unprocessed, and that were sent again
    answers: tuple[tuple[int, ...], ...] = ()  # of each body, how often each of its answers came
    # INT64 [n, 3], ns, as they ended: due (monotonic clock), late, latency; where they were traced.
    times: NDArray[np.int64] | None = None
    interrupted: bool = False

    @property
    def good(self) -> int:
        """Requests with a good answer."""
        return self.latency.count

    @property
    def failed(self) -> int:
        """Requests without one."""
        return sum(failure.count for failure in self.failures)

    @property
    def overdue(self) -> bool:
        """Whether all failures are of deadlines that passed: too much load, rather than a broken server."""
        return bool(self.failures) and all(failure.overdue for failure in self.failures)

    @property
    def no_good_answer(self) -> str:
        """For people, where none came: that, and the first reason."""
        why = "".join(
            f": {each.count:,} {each.text}" + (f": {each.said}" if each.example else "")
            for each in self.failures[:1]
        )
        return f"no request got a good answer{why}"

    @property
    def processor_share(self) -> float:
        """Of the processor time that the generator's threads could use, what they did."""
        return self.processor_seconds / (self.seconds * self.threads) if self.seconds else 0.0

    @property
    def throughput(self) -> float:
        """Good answers that came in the time that counts, a second. A server that falls behind answers the
        rest later, which is no throughput.
        """
        return self.answered_in_time / self.seconds if self.seconds else 0.0

    @property
    def late_ns(self) -> float:
        """The generator's delay that 99 % of the requests did not exceed; 0 in a closed loop."""
        return self.late.quantile_ns(LATE_QUANTILE) if self.late.count else 0.0

    def percentile_ms(self, percentile: float) -> float:
        """Of the latency (0..100); NaN where nothing was answered."""
        return self.latency.quantile_ns(percentile / 100) / 1e6

    def share_over(self, limit_ns: float) -> float:
        """The share of requests that took longer than that or failed; NaN of none."""
        over = self.latency.over(limit_ns) + self.failed
        return over / self.requests if self.requests else float("nan")

    def to_json(self, *, histograms: bool = False) -> dict[str, Any]:
        """For machines; latencies in microseconds, and with `histograms` all buckets in nanoseconds."""
        out: dict[str, Any] = {
            "rate": self.rate,
            "requests": self.requests,
            "seconds": self.seconds,
            "good": self.good,
            "throughput": self.throughput,
            "failed": {failure.label: failure.count for failure in self.failures},
            "latency_us": self.latency.summary(),
            "generator": {
                "late_us": self.late.summary() if self.late.count else None,
                "processor_us_per_request": self.processor_seconds / max(self.requests, 1) * 1e6,
                "processor_share": self.processor_share,
            },
            "reconnects": self.reconnects,
            "resent": self.resent,
        }
        if self.interrupted:
            out["interrupted"] = True
        if histograms:
            out["latency_histogram_ns"] = self.latency.to_json()
            out["late_histogram_ns"] = self.late.to_json()
        return out

    @staticmethod
    def of(report: Report, *, rate: float | None, threads: int, traced: bool, interrupted: bool) -> Result:
        """From what the generator reports."""
        return Result(
            requests=report["requests"],
            answered_in_time=report["answered_in_time"],
            seconds=report["seconds"],
            latency=Histogram.of(report["latency"]),
            late=Histogram.of(report["late"]),
            failures=tuple(Failure(*each) for each in report["failures"]),
            rate=rate,
            processor_seconds=report["processor_seconds"],
            threads=threads,
            reconnects=report["reconnects"],
            resent=report["resent"],
            answers=tuple(tuple(each) for each in report["answers"]),
            times=report["times"] if traced else None,
            interrupted=interrupted,
        )


def merged(results: Sequence[Result]) -> Result:
    """Runs of the same load as one. Answers and times of the requests are left out."""
    failures: dict[tuple[str, int], Failure] = {}
    for failure in (failure for result in results for failure in result.failures):
        key = failure.reason, failure.code
        before = failures.get(key)
        failures[key] = failure if before is None else replace(before, count=before.count + failure.count)
    return replace(
        results[0],
        requests=sum(result.requests for result in results),
        answered_in_time=sum(result.answered_in_time for result in results),
        seconds=sum(result.seconds for result in results),
        latency=reduce(Histogram.plus, (result.latency for result in results)),
        late=reduce(Histogram.plus, (result.late for result in results)),
        failures=tuple(failures.values()),
        processor_seconds=sum(result.processor_seconds for result in results),
        reconnects=sum(result.reconnects for result in results),
        resent=sum(result.resent for result in results),
        answers=(),
        times=None,
        interrupted=any(result.interrupted for result in results),
    )
