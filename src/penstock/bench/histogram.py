"""Durations as counts in log-linear buckets (HDR histograms), as ext/loadgen/histogram.h keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The bounds of a bucket are at most this share of its values apart.
ERROR = 1 / 256


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of durations in nanoseconds.

    `bounds` are the largest values of the buckets, ascending, INT64; `counts` how many values lie in each. A
    value read from it is above the true one by less than `ERROR` of it. `max_ns` and `sum_ns` are of the
    values.
    """

    bounds: NDArray[np.int64]
    counts: NDArray[np.int64]
    max_ns: int
    sum_ns: float

    @property
    def count(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    @property
    def mean_ns(self) -> float:
        """Of the values themselves; NaN of none."""
        return self.sum_ns / self.count if self.count else float("nan")

    def quantile_ns(self, quantile: float) -> float:
        """The value of rank ceil(quantile x count); NaN of none."""
        if not self.count:
            return float("nan")
        rank = max(int(np.ceil(quantile * self.count)), 1)
        place = int(np.searchsorted(np.cumsum(self.counts), rank))
        return float(min(self.bounds[min(place, len(self.bounds) - 1)], self.max_ns))

    def over(self, limit_ns: float) -> int:
        """How many values may be above the limit: all of the bucket that it lies in count."""
        if self.max_ns <= limit_ns:
            return 0
        return int(self.counts[self.bounds > limit_ns].sum())

    def plus(self, other: Histogram) -> Histogram:
        """The values of both."""
        bounds = np.union1d(self.bounds, other.bounds)
        counts = np.zeros(len(bounds), np.int64)
        for each in (self, other):
            counts[np.searchsorted(bounds, each.bounds)] += each.counts
        return Histogram(bounds, counts, max(self.max_ns, other.max_ns), self.sum_ns + other.sum_ns)

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Quantiles (the share of values up to a bound) and those bounds in ns."""
        return np.cumsum(self.counts) / max(self.count, 1), np.minimum(self.bounds, self.max_ns)

    def summary(self, quantiles: Sequence[float] = (0.5, 0.9, 0.99, 0.999)) -> dict[str, float | None]:
        """Quantiles, mean and maximum in microseconds, for JSON; None of no values."""
        if not self.count:
            return dict.fromkeys([*(f"p{q * 100:g}" for q in quantiles), "mean", "max"])
        found = {f"p{q * 100:g}": self.quantile_ns(q) / 1e3 for q in quantiles}
        return {**found, "mean": self.mean_ns / 1e3, "max": self.max_ns / 1e3}

    def to_json(self) -> list[list[int]]:
        """Pairs of an upper bound in ns and a count."""
        return [[int(b), int(c)] for b, c in zip(self.bounds, self.counts, strict=True)]

    @staticmethod
    def of(buckets: tuple[Any, Any, int, float]) -> Histogram:
        """From what `_loadgen.Run.report` gives."""
        return Histogram(*buckets)
