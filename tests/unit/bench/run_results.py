"""Results as a run would give them, from the latencies themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from penstock.bench import Failure, Histogram, Result


def histogram_of(values_ns: Sequence[int]) -> Histogram:
    """Buckets that are as wide as they may be (ext/loadgen/histogram.h)."""
    bounds = [bound_of(value) for value in values_ns]
    found, counts = np.unique(np.array(bounds, np.int64), return_counts=True)
    return Histogram(found, counts.astype(np.int64), max(values_ns, default=0), float(sum(values_ns)))


def bound_of(value: int) -> int:
    """The upper bound of the bucket that the value lies in."""
    shift = max(value.bit_length() - 9, 0)
    return ((value >> shift) + 1 << shift) - 1


def result_of(
    latencies_ns: Sequence[int],
    *,
    late_ns: Sequence[int] = (0,),
    failed: int = 0,
    rate: float | None = 1000.0,
    seconds: float = 1.0,
    processor_seconds: float = 0.0,
    threads: int = 1,
) -> Result:
    failures = (Failure("grpc-status", 8, failed, "full"),) if failed else ()
    return Result(
        requests=len(latencies_ns) + failed,
        answered_in_time=len(latencies_ns),
        seconds=seconds,
        latency=histogram_of(latencies_ns),
        late=histogram_of(late_ns),
        failures=failures,
        rate=rate,
        processor_seconds=processor_seconds,
        threads=threads,
    )
