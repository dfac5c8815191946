"""What a version's runs cost by their rows, measured while it warms up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.bundle.examples import Arrays, cycle_rows
from penstock.bundle.manifest import Tensor
from penstock.errors import StatusError

if TYPE_CHECKING:
    from penstock._core import Version

# The rows of the runs that are measured, and when there have been enough of one size: so many, or so long.
# The first ones may have been held up by somebody else.
SIZES = (1, 2, 4, 8, 16, 32, 64)
FEWEST, MOST = 4, 16
ENOUGH_NS = 300_000
# Of runs that take this long two are enough, and one where no time is left.
LONG_NS = 5_000_000
# What all of it may take. The two smallest sizes are measured whatever they take: without them nobody knows
# what a row more costs, least of all for the dearest models.
LIMIT_NS = 200_000_000
# What a request costs that shares a run, beside the run: its rows are copied, and found again. Measured
# (ADR 14).
SHARING_NS = 300


@dataclass(frozen=True)
class Cost:
    """What a run takes, by its rows: (rows, ns), from the fewest up. From decoded tensors to the outputs."""

    points: tuple[tuple[int, int], ...]

    @property
    def row_ns(self) -> int:
        """What a row more costs, over the whole range that was measured."""
        (least, first), (most, last) = self.points[0], self.points[-1]
        return 0 if most == least else max(0, round((last - first) / (most - least)))

    @property
    def fixed_ns(self) -> int:
        """What a run costs beside its rows."""
        least, first = self.points[0]
        return max(0, first - least * self.row_ns)

    def rows_within(self, ns: float) -> int:
        """The most rows of a run that takes at most so long; 0 where not even the smallest does, and that one
        where nothing tells what more rows take.
        """
        least, first = self.points[0]
        if first > ns:
            return 0
        if len(self.points) == 1:
            return least
        return max(least, int((ns - self.fixed_ns) // max(self.row_ns, 1)))

    def shared(self, rows: int, ns: int) -> float:
        """What so many requests of a row each cost that share a run of `ns`, in runs of one of them alone."""
        return (ns + rows * SHARING_NS) / self.points[0][1]

    @property
    def shared_from(self) -> int | None:
        """From how many rows on a run that requests of a row each share answers them no later, on average,
        than a run for each; None where it does not. Of the sizes that were measured.

        n of them, run one behind the other, wait (n + 1) / 2 runs on average.
        """
        least = None
        for rows, ns in reversed(self.points[1:]):
            if self.shared(rows, ns) > (rows + 1) / 2:
                break
            least = rows
        return least


def measure(core: Version, inputs: Sequence[Tensor], arrays: Arrays, max_rows: int) -> Cost:
    """Runs the examples in batches of growing size, `max_rows` at most (0: no limit). For some milliseconds;
    where single runs take longer, for LIMIT_NS or the two smallest sizes. StatusError where the smallest
    fails.

    Of each size the fastest run counts: what else the machine does only adds.
    """
    sizes: Sequence[int] = [size for size in SIZES if not max_rows or size <= max_rows]
    fixed = [tensor.shape[0] for tensor in inputs if tensor.shape and tensor.shape[0] >= 0]
    if len(fixed) == len(inputs):
        sizes = fixed[:1]
    points: list[tuple[int, int]] = []
    left = LIMIT_NS
    for rows in sizes:
        if len(points) > 1 and points[-1][1] * rows // points[-1][0] > left:
            break
        batch = cycle_rows(inputs, arrays, 0, rows)
        try:
            ns = int(core.durations(batch, 1)[0])
        except StatusError:
            if not points:
                raise
            break  # a model that takes one row at a time, whatever its shapes say
        left -= ns
        more = max(FEWEST, min(MOST, ENOUGH_NS // max(ns, 1))) - 1
        if ns > LONG_NS:  # the next size, where there is none yet to tell it from, has to fit as well
            more = 1 if ns + (0 if points else 2 * ns) <= left else 0
        if more > 0:
            taken = core.durations(batch, more)
            left -= int(taken.sum())
            ns = min(ns, int(taken.min()))
        points.append((rows, ns))
    return Cost(tuple(points))
