"""Whose fault slow requests are: the reloads', or the machine's, which is slow without them too.

A slice with reloads and the quiet one behind it, as long, are a pair. The machine does not know which of the
two has the reloads. So if reloads do nothing, it is chance which of the two has more slow requests, and each
pair could as well have come the other way round. `chance` counts in how many of such exchanges the slices
with reloads would look as bad as they do: a randomization test by sign changes, which needs no assumption on
how the machine's hiccups are distributed, nor that they come one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from open_loop import Trace

SLOW = 3.0  # times the 99th percentile of the quiet slices
LEVEL = 0.001  # an excess is one that chance alone makes less often
CONFIDENCE_Z = 2.326  # of the one-sided bound at 99 %
MARGIN_NS = 5_000_000  # what a reload leaves behind shows within this time after it
SPELL_NS = 10_000_000
LATE_NS = 1_000_000
EXCHANGES, TAIL_EXCHANGES = 20_000, 3_000

# Counts by pair, with reloads and without, of the requests that a mask picks.
Count = Callable[[NDArray[np.bool_]], tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True)
class Pair:
    """Where a slice with reloads and its quiet twin lie on the monotonic clock, in nanoseconds."""

    began: int
    quiet_began: int
    length: int
    loads: Sequence[tuple[int, int]]  # when each RepositoryModelLoad began and ended


class Attribution:
    """Slow requests in both kinds of slices.

    `apart`: the load generator has a core of its own, so that the server cannot hold it up.
    """

    def __init__(self, trace: Trace, pairs: Sequence[Pair], *, apart: bool) -> None:
        self.pairs, self._apart = pairs, apart
        self._trace = trace
        self._busy_places = [trace.span(each.began, each.began + each.length) for each in pairs]
        self._quiet_places = [trace.span(each.quiet_began, each.quiet_began + each.length) for each in pairs]
        self.busy, self.quiet = trace.taken(self._busy_places), trace.taken(self._quiet_places)

    @cached_property
    def p99_ns(self) -> float:
        """Of the quiet slices: what everything is measured by."""
        return float(np.quantile(self.quiet.latency, 0.99))

    @cached_property
    def slow(self) -> NDArray[np.bool_]:
        """By request: slower than SLOW times that."""
        return self._trace.latency > SLOW * self.p99_ns

    @cached_property
    def by_generator(self) -> NDArray[np.bool_]:
        """By request: slow, and the generator's own delay explains it; none without a core of its own.

        Had the generator not stood still while the request was under way, by as much as it was late with any
        request of that time, the answer would not have been slow.
        """
        trace, explained = self._trace, np.zeros(len(self._trace.due), bool)
        for place in np.flatnonzero(self.slow) if self._apart else ():
            answered = int(np.searchsorted(trace.due, trace.due[place] + trace.latency[place]))
            most = trace.late[place : max(answered, place + 1)].max()
            explained[place] = trace.latency[place] - most <= SLOW * self.p99_ns
        return explained

    @property
    def too_busy(self) -> bool:
        """Whether others keep the machine so busy that the pairs' halves are no twins.

        Seen in quiet slices alone: the generator sleeps most of the time, and yet does not get its core.
        """
        return bool(np.quantile(self.quiet.late, 0.99) > LATE_NS)

    def window_hits(
        self, which: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """By pair: loads with a slow request (or one of `which`) due from their begin until MARGIN_NS after
        their end, and how many of the same spans, laid over the quiet twin, have one.
        """
        due = self._trace.due[self.slow if which is None else which]

        def hits(pair: Pair, shift: int) -> int:
            edges = np.array(pair.loads).reshape(-1, 2) + np.array([shift, shift + MARGIN_NS])
            first, last = np.searchsorted(due, edges).T
            return int(np.count_nonzero(last > first))

        return (
            np.array([hits(pair, 0) for pair in self.pairs]),
            np.array([hits(pair, pair.quiet_began - pair.began) for pair in self.pairs]),
        )

    @property
    def loads(self) -> int:
        return sum(len(pair.loads) for pair in self.pairs)

    @cached_property
    def window_chance(self) -> float:
        """How often chance alone makes so many more loads than quiet spans have a slow request."""
        return self._chance(self.window_hits)

    @property
    def window_bound(self) -> float:
        """At most this share of the loads made a request slow, at 99 %.

        The difference of two proportions as Agresti and Caffo take it (2000: one hit and one miss is added to
        each); where the pairs differ by more than such counts do, their own variance stands in its place.
        """
        with_load, without = self.window_hits()
        total = self.loads + 2
        shares = [(int(hits.sum()) + 1) / total for hits in (with_load, without)]
        independent = sum(share * (1 - share) / total for share in shares)
        differences = with_load - without
        between = len(differences) * float(np.var(differences, ddof=1)) / total**2
        return shares[0] - shares[1] + CONFIDENCE_Z * math.sqrt(max(independent, between))

    def spells(self, which: NDArray[np.bool_] | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """By pair: spells of SPELL_NS with a slow request (or one of `which`), with reloads and without."""
        which = self.slow if which is None else which

        def count(places: slice) -> int:
            return len(np.unique(self._trace.due[places][which[places]] // SPELL_NS))

        return (
            np.array([count(places) for places in self._busy_places]),
            np.array([count(places) for places in self._quiet_places]),
        )

    @cached_property
    def spell_chance(self) -> float:
        """How often chance alone makes so many more spells slow with reloads."""
        return self._chance(self.spells)

    @property
    def seconds(self) -> float:
        """How long the slices of each kind are together."""
        return sum(pair.length for pair in self.pairs) / 1e9

    def tail_ratio(self, quantile: float) -> float:
        """This quantile of the slices with reloads over that of the quiet ones."""
        return float(np.quantile(self.busy.latency, quantile) / np.quantile(self.quiet.latency, quantile))

    def tail_chance(self, quantile: float) -> float:
        """How often chance alone makes that ratio as large, with the generator's delay and without."""
        latency, late = self._trace.latency, self._trace.late
        kinds = (latency, latency - late) if self._apart else (latency,)
        return max(self._exchanged_tails(values, quantile) for values in kinds)

    def _exchanged_tails(self, values: NDArray[np.int64], quantile: float) -> float:
        sides = (self._busy_places, self._quiet_places)
        sizes = [sum(each.stop - each.start for each in places) for places in sides]
        rank = round((1 - quantile) * min(sizes)) + 1  # the value that so many are not below
        # In any exchange the first `rank` of each side are among the first `rank` of each slice.
        largest, pair_of, busy = [], [], []
        for side, places in enumerate(sides):
            for index, each in enumerate(places):
                largest.append(np.sort(values[each])[-rank:])
                pair_of.append(np.full(len(largest[-1]), index))
                busy.append(np.full(len(largest[-1]), side == 0))
        order = np.argsort(-np.concatenate(largest), kind="stable")
        value, pair, is_busy = (np.concatenate(each)[order] for each in (largest, pair_of, busy))

        def ratio(exchanged: NDArray[np.bool_]) -> float:
            labels = is_busy ^ exchanged[pair]
            mine, other = value[labels], value[~labels]
            return float(mine[min(rank, len(mine)) - 1] / other[min(rank, len(other)) - 1])

        found = ratio(np.zeros(len(self.pairs), bool))
        flips = np.random.default_rng(1).random((TAIL_EXCHANGES, len(self.pairs))) < 0.5
        return (1 + sum(ratio(flip) >= found for flip in flips)) / (1 + TAIL_EXCHANGES)

    def _chance(self, count: Count) -> float:
        """The server's stalls show among all that is slow and among what the generator does not explain. What
        shows in one of the two alone is the generator's doing.
        """
        kept = self.slow & ~self.by_generator
        return max(chance(np.subtract(*count(which))) for which in (self.slow, kept))


def chance(differences: NDArray[np.int64]) -> float:
    """The share of sign changes that make the sum at least as large; one-sided, never below 1/20001."""
    signs = np.random.default_rng(1).choice(np.array([-1, 1]), (EXCHANGES, len(differences)))
    return float((1 + np.count_nonzero(signs @ differences >= differences.sum())) / (1 + EXCHANGES))
