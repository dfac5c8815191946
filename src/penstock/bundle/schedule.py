"""Where a version's requests run and whether they share runs, decided when it loads: what was said counts,
and what was measured where nothing was said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from penstock.bundle.cost import Cost
from penstock.bundle.examples import open_dimension
from penstock.bundle.independence import Independence
from penstock.bundle.manifest import Manifest
from penstock.config import PoolSection, Scheduling

MAX_BATCH_ROWS = 256
_NEVER = 2**63 - 1  # Schedule::inline_rows of the core where nothing runs in the pool


@dataclass(frozen=True)
class Schedule:
    """As ModelConfig tells it: ext/engine/schedule.h, and why."""

    fixed_ns: int
    row_ns: int
    inline_rows: int | None  # None: as many as there are, nothing runs in the pool
    merges: bool
    min_batch_rows: int
    max_batch_rows: int
    max_wait_ns: int
    queue_limit: int
    reason: str  # in words, for people: what was chosen, and why

    def for_core(self) -> dict[str, Any]:
        """The arguments of the core's set_schedule()."""
        fields = asdict(self)
        del fields["reason"]
        return fields | {"inline_rows": _NEVER if self.inline_rows is None else self.inline_rows}


def schedule_of(
    cost: Cost,
    scheduling: Scheduling,
    pool: PoolSection,
    manifest: Manifest,
    independence: Callable[[], Independence],
) -> Schedule:
    """`independence` tries in how large batches no answer depends, in any bit, on the rows beside it. It is
    called where that alone decides.
    """
    inline_rows, place = _place(cost, scheduling, pool, manifest)
    least, most, sharing = _sharing(cost, scheduling, manifest, independence)
    return Schedule(
        fixed_ns=cost.fixed_ns,
        row_ns=cost.row_ns,
        inline_rows=inline_rows,
        merges=least > 0,
        min_batch_rows=least or 2,
        max_batch_rows=most,
        max_wait_ns=round((scheduling.max_wait_us or 0) * 1000),
        queue_limit=pool.queue_limit,
        reason=f"{place}; {sharing}",
    )


def without_effect(scheduling: Scheduling, schedule: Schedule) -> list[str]:
    """What was said and does not hold in the schedule that came of it; a line for each."""
    lines = []
    if scheduling.merge is True and not schedule.merges:
        lines.append("merge = true has no effect")
    if scheduling.max_wait_us:
        said = f"max_wait_us = {scheduling.max_wait_us:g} has no effect"
        if not schedule.merges:
            lines.append(f"{said}, as requests do not share runs")
        elif schedule.inline_rows is None:
            lines.append(f"{said}, as no request waits in the pool")
    batch = scheduling.max_batch_rows
    if schedule.merges and batch is not None and batch > schedule.max_batch_rows:
        lines.append(f"max_batch_rows = {batch} counts as {schedule.max_batch_rows}")
    return [f"{line} ({schedule.reason})" for line in lines]


def _place(
    cost: Cost, scheduling: Scheduling, pool: PoolSection, manifest: Manifest
) -> tuple[int | None, str]:
    """The most rows of a request that runs on a loop, and why."""
    if scheduling.execution == "inline":
        return None, "on the loops, as execution says"
    if scheduling.execution == "pool":
        return 0, "in the pool, as execution says"
    if name := open_dimension(manifest.inputs):
        # Requests are told apart by their rows, and nobody knows what the other dimension will be.
        return 0, f"in the pool: a dimension of '{name}' other than rows is open"
    rows, ns = cost.points[0]
    inline_rows = cost.rows_within(pool.inline_us * 1000)
    if inline_rows == 0:
        what = "a row costs" if rows == 1 else f"{rows} rows cost"
        return 0, f"in the pool: {what} {_time(ns)}, over inline_us {pool.inline_us:g}"
    if all(tensor.shape[:1] != (-1,) for tensor in manifest.inputs):
        # One size, and no open rows to count: each request is one to the core.
        return max((tensor.shape[0] for tensor in manifest.inputs if tensor.shape), default=0), "on the loops"
    return inline_rows, f"on the loops up to {inline_rows} rows"


def _sharing(
    cost: Cost, scheduling: Scheduling, manifest: Manifest, independence: Callable[[], Independence]
) -> tuple[int, int, str]:
    """The fewest and the most rows of a shared run, and why; 0 for the fewest where there are none."""
    limit, limit_name = scheduling.max_batch_rows, "max_batch_rows"
    if limit is None:
        limit, limit_name = MAX_BATCH_ROWS, "a batch"
        if 0 < manifest.max_rows < MAX_BATCH_ROWS:
            limit, limit_name = manifest.max_rows, "max_rows"

    def not_shared(why: str) -> tuple[int, int, str]:
        return 0, limit, f"runs are not shared: {why}"

    if scheduling.merge is False:
        return not_shared("merge = false")
    for tensor in (*manifest.inputs, *manifest.outputs):
        if tensor.shape[:1] != (-1,):
            return not_shared(f"the first dimension of '{tensor.name}' is not rows")
    if limit < 2:
        return not_shared(f"{limit_name} is {limit}")
    if scheduling.merge is True:
        return 2, limit, f"runs are shared by 2 to {limit} rows, as merge says"
    least = cost.shared_from
    if least is None:
        return not_shared(_why_not(cost))
    if least > limit:
        return not_shared(f"it pays from {least} rows on, over the {limit} of {limit_name}")
    tried = independence()
    if least > tried.rows:
        pays = f"it pays from {least} rows on, and " if tried.rows > 1 else ""
        return not_shared(pays + tried.reason)
    most = min(limit, tried.rows)
    why = f": {tried.reason}" if tried.reason and tried.rows < limit else ""
    return least, most, f"runs are shared by {least} to {most} rows{why}"


def _why_not(cost: Cost) -> str:
    rows, ns = cost.points[-1]
    if len(cost.points) == 1:
        return "more rows in one run could not be measured"
    return f"it does not pay, {rows} rows in one run cost {cost.shared(rows, ns):.1f} of one"


def _time(ns: int) -> str:
    return f"{ns / 1e6:.1f} ms" if ns >= 1_000_000 else f"{ns / 1e3:.1f} us"
