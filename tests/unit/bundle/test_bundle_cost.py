from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import booster

import penstock
from penstock.bundle.cost import FEWEST, MAX_BATCH_ROWS, NEVER, Cost, measure, schedule_of
from penstock.bundle.independence import ANY
from penstock.bundle.loading import Serving, open_bundle
from penstock.bundle.manifest import Input
from penstock.config import PoolSection, Scheduling
from penstock.errors import BundleError, StatusError

POOL = PoolSection(inline_us=250.0)
COLUMN = Input(name="x", datatype="FP64", shape=(-1,))


@dataclass
class Core:
    """Runs that take `fixed_ns` and `row_ns` for each row; those of more than `most` rows fail."""

    fixed_ns: int
    row_ns: int
    most: int = 10**9
    asked: list[tuple[int, int]] = field(default_factory=list)  # rows, runs

    def durations(self, batch: dict[str, Any], runs: int) -> Any:
        rows = len(batch["x"])
        self.asked.append((rows, runs))
        if rows > self.most:
            raise StatusError(13, "too many rows")
        return np.full(runs, self.fixed_ns + rows * self.row_ns, np.int64)


def measured(core: Core, max_rows: int = 0, shape: tuple[int, ...] = (-1,)) -> Cost:
    tensor = COLUMN.model_copy(update={"shape": shape})
    rows = shape[0] if shape[0] > 0 else 3
    return measure(core, [tensor], {"x": np.arange(float(rows))}, max_rows)  # type: ignore[arg-type]


def test_the_cost_of_a_run_and_of_a_row_are_told_apart() -> None:
    cost = measured(Core(5_000, 40))
    assert (cost.fixed_ns, cost.row_ns) == (5_000, 40)
    assert [rows for rows, _ in cost.points] == [1, 2, 4, 8, 16, 32, 64]


def test_measuring_takes_little_time_and_stops_at_long_runs() -> None:
    core = Core(0, 2_000_000)
    cost = measured(core)
    assert [rows for rows, _ in cost.points] == [1, 2, 4]
    assert all(runs == FEWEST for _, runs in core.asked)
    assert len(measured(Core(20_000_000, 0)).points) == 1


def test_no_run_is_larger_than_the_bundle_takes() -> None:
    assert measured(Core(1000, 10), max_rows=5).points[-1][0] == 4
    fixed = measured(Core(1000, 10), shape=(6,))
    assert [rows for rows, _ in fixed.points] == [6]
    assert fixed.shared_from is None


def test_a_model_that_fails_for_more_rows_is_measured_up_to_there() -> None:
    assert measured(Core(1000, 10, most=1)).points == ((1, 1010),)
    with pytest.raises(StatusError, match="too many rows"):
        measured(Core(1000, 10, most=0))


def test_sharing_pays_from_where_the_average_answer_comes_no_later() -> None:
    assert measured(Core(10_000, 100)).shared_from == 2
    assert measured(Core(0, 10_000)).shared_from is None
    assert measured(Core(500, 10)).shared_from is None  # what sharing itself costs is more
    forest = Cost(((1, 2_700), (2, 4_800), (4, 9_000), (16, 28_800), (32, 31_000), (64, 36_000)))
    assert forest.shared_from == 32


def schedule(cost: Cost, independent: int = ANY, max_rows: int = 0, **said: Any) -> dict[str, Any]:
    made = schedule_of(
        cost, Scheduling.model_validate(said), POOL, independent_rows=independent, max_rows=max_rows
    )
    return asdict(made)


def test_requests_that_are_estimated_to_take_long_run_in_the_pool() -> None:
    assert schedule(Cost(((1, 20_000_000),)))["inline_rows"] == 0
    assert schedule(measured(Core(5_000, 1_000)))["inline_rows"] == 245
    assert 10**9 < schedule(measured(Core(5_000, 0)))["inline_rows"] < NEVER
    assert schedule(measured(Core(5_000, 1_000)), execution="inline")["inline_rows"] == NEVER
    assert schedule(measured(Core(5_000, 1_000)), execution="pool")["inline_rows"] == 0


def test_requests_share_runs_where_it_pays_and_no_bit_depends_on_it() -> None:
    cheap = measured(Core(10_000, 100))
    assert schedule(cheap)["merges"]
    assert not schedule(cheap, independent=0)["merges"]
    assert schedule(cheap, independent=0, merge=True)["merges"]
    assert schedule(cheap, independent=64)["max_batch_rows"] == 64
    assert schedule(cheap, independent=64, max_batch_rows=100)["max_batch_rows"] == 64
    assert schedule(cheap, independent=0, merge=True, max_batch_rows=100)["max_batch_rows"] == 100
    assert not schedule(cheap, merge=False)["merges"]
    assert not schedule(measured(Core(0, 10_000)))["merges"]
    assert schedule(measured(Core(0, 10_000)), merge=True)["min_batch_rows"] == 2


def test_a_batch_is_at_most_what_is_said_or_one_request_may_have() -> None:
    cheap = measured(Core(10_000, 100))
    assert schedule(cheap)["max_batch_rows"] == MAX_BATCH_ROWS
    assert schedule(cheap, max_rows=40)["max_batch_rows"] == 40
    assert schedule(cheap, max_rows=40, max_batch_rows=100)["max_batch_rows"] == 100
    assert schedule(cheap, max_wait_us=1.5)["max_wait_ns"] == 1500
    assert schedule(cheap)["queue_limit"] == POOL.queue_limit


def test_what_the_settings_say_wins_over_the_bundle() -> None:
    bundle = Scheduling(execution="pool", max_batch_rows=8)
    assert Scheduling(execution="inline").over(bundle) == Scheduling(execution="inline", max_batch_rows=8)
    assert Scheduling().over(bundle) == bundle


def test_a_bundle_says_how_it_is_to_run(tmp_path: Path) -> None:
    bundle = penstock.build(
        tmp_path, name="m", version="1", model=booster(), scheduling={"execution": "pool", "max_wait_us": 5}
    )
    serving = Serving(PoolSection(), Scheduling(max_batch_rows=7))
    found = open_bundle(bundle.path, serving=serving).schedule
    assert found is not None
    assert (found.inline_rows, found.max_wait_ns, found.max_batch_rows) == (0, 5000, 7)
    assert open_bundle(bundle.path).schedule is None  # in process nobody shares anything
    inline = replace(serving, scheduling=Scheduling(execution="inline"))
    found = open_bundle(bundle.path, serving=inline).schedule
    assert found is not None
    assert found.inline_rows == NEVER


@pytest.mark.parametrize(
    "said", [{"execution": "gpu"}, {"merge": "yes"}, {"max_batch_rows": 0}, {"max_wait_us": -1}, {"wait": 1}]
)
def test_a_schedule_that_cannot_be_is_refused_with_its_name(said: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"scheduling= cannot be used: {next(iter(said))}"):
        penstock.build(tmp_path, name="m", version="1", model=booster(), scheduling=said)
