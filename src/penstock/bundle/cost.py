"""What a version's runs cost, measured while it warms up, and the schedule that follows: which of its
requests run on the loops that read them, which in the pool, and whether requests share runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock.bundle.examples import Array, Arrays, rows_of
from penstock.bundle.manifest import Tensor
from penstock.config import PoolSection, Scheduling
from penstock.errors import StatusError

if TYPE_CHECKING:
    from penstock._core import Version

# The rows of the runs that are measured, and when there have been enough of one size: so many, or so long.
# The first ones may have been held up by somebody else.
SIZES = (1, 2, 4, 8, 16, 32, 64)
FEWEST, MOST = 4, 16
ENOUGH_NS = 300_000
# A larger size is not measured once a run takes this long.
LONGEST_NS = 5_000_000
# What a request costs that shares a run, beside the run: its rows are copied, and found again. Measured
# (ADR 14).
SHARING_NS = 300
MAX_BATCH_ROWS = 256
NEVER = 2**63 - 1  # Schedule::inline_rows where nothing runs in the pool
_MANY = 2**62


@dataclass(frozen=True)
class Schedule:
    """As the core takes it: see ext/engine/schedule.h."""

    fixed_ns: int
    row_ns: int
    inline_rows: int
    merges: bool
    min_batch_rows: int
    max_batch_rows: int
    max_wait_ns: int
    queue_limit: int


@dataclass(frozen=True)
class Cost:
    """What a run takes, by its rows: (rows, ns), from one row up. From decoded tensors to the outputs."""

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
        """The most rows of a run that takes at most so long; 0 where not even the smallest does."""
        least, first = self.points[0]
        if first > ns:
            return 0
        return _MANY if self.row_ns == 0 else max(least, int((ns - self.fixed_ns) // self.row_ns))

    @property
    def shared_from(self) -> int | None:
        """From how many rows on a run that requests of a row each share answers them no later, on average,
        than a run for each; None where it does not. Of the sizes that were measured.

        n of them, run one behind the other, wait (n + 1) / 2 runs on average.
        """
        first = self.points[0][1]
        least = None
        for rows, ns in reversed(self.points[1:]):
            if ns + rows * SHARING_NS > (rows + 1) / 2 * first:
                break
            least = rows
        return least


def measure(core: Version, inputs: Sequence[Tensor], arrays: Arrays, max_rows: int) -> Cost:
    """Runs the examples in batches of growing size, `max_rows` at most (0: no limit). For some milliseconds,
    unless a single run takes longer. StatusError where the smallest fails.

    Of each size the fastest run counts: what else the machine does only adds.
    """
    fixed = [tensor.shape[0] for tensor in inputs if tensor.shape and tensor.shape[0] > 0]
    sizes = [rows_of(arrays)] if fixed else [size for size in SIZES if not max_rows or size <= max_rows]
    points: list[tuple[int, int]] = []
    for rows in sizes:
        batch = _rows(arrays, rows)
        try:
            ns = int(core.durations(batch, FEWEST).min())
        except StatusError:
            if not points:
                raise
            break  # a model that takes one row at a time, whatever its shapes say
        more = min(MOST, ENOUGH_NS // max(ns, 1)) - FEWEST
        if more > 0:
            ns = min(ns, int(core.durations(batch, more).min()))
        points.append((rows, ns))
        if ns > LONGEST_NS:
            break
    return Cost(tuple(points))


def schedule_of(
    cost: Cost, scheduling: Scheduling, pool: PoolSection, *, independent_rows: int, max_rows: int
) -> Schedule:
    """`independent_rows`: of a batch in which no answer depends, in any bit, on the rows beside it, the most;
    0 where it may. `max_rows`: of a request; 0 is no limit.
    """
    inline_rows = cost.rows_within(pool.inline_us * 1000)
    if scheduling.execution == "inline":
        inline_rows = NEVER
    elif scheduling.execution == "pool":
        inline_rows = 0
    shared_from = cost.shared_from if independent_rows > 1 or scheduling.merge else None
    merges = shared_from is not None if scheduling.merge is None else scheduling.merge
    batch = scheduling.max_batch_rows
    if batch is None:
        batch = min(MAX_BATCH_ROWS, max_rows or MAX_BATCH_ROWS)
    if merges and not scheduling.merge:
        batch = min(batch, independent_rows)
    return Schedule(
        fixed_ns=cost.fixed_ns,
        row_ns=cost.row_ns,
        inline_rows=inline_rows,
        merges=merges,
        min_batch_rows=min(shared_from or 2, batch),
        max_batch_rows=batch,
        max_wait_ns=round((scheduling.max_wait_us or 0) * 1000),
        queue_limit=pool.queue_limit,
    )


def _rows(arrays: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """The first so many rows, from the beginning again where there are fewer."""
    index = np.arange(rows) % rows_of(arrays)
    return {name: array[index] for name, array in arrays.items()}
