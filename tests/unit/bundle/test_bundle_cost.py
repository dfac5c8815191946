from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from penstock.bundle.cost import FEWEST, LIMIT_NS, Cost, measure
from penstock.bundle.manifest import Input
from penstock.errors import StatusError

MS = 1_000_000


@dataclass
class Core:
    """Runs that take `fixed_ns` and `row_ns` for each row; those of more than `most` rows fail."""

    fixed_ns: int
    row_ns: int
    most: int = 10**9
    shapes: list[tuple[tuple[int, ...], ...]] = field(default_factory=list)
    runs: int = 0
    spent_ns: int = 0

    def durations(self, batch: dict[str, Any], runs: int) -> Any:
        rows = len(batch["x"])
        self.shapes.append(tuple(array.shape for array in batch.values()))
        if rows > self.most:
            raise StatusError(13, "too many rows")
        taken = np.full(runs, self.fixed_ns + rows * self.row_ns, np.int64)
        self.runs += runs
        self.spent_ns += int(taken.sum())
        return taken


def measured(core: Core, max_rows: int = 0, *others: tuple[int, ...], shape: tuple[int, ...] = (-1,)) -> Cost:
    """Of an input x, and others, with 12 rows of examples."""
    inputs = [
        Input(name=name, datatype="FP64", shape=said)
        for name, said in zip(["x", *"abc"[: len(others)]], [shape, *others], strict=True)
    ]
    examples = {tensor.name: np.zeros((12, *tensor.shape[1:])) for tensor in inputs}
    return measure(core, inputs, examples, max_rows)  # type: ignore[arg-type]


def test_the_cost_of_a_run_and_of_a_row_are_told_apart() -> None:
    cost = measured(Core(5_000, 40))
    assert (cost.fixed_ns, cost.row_ns) == (5_000, 40)
    assert [rows for rows, _ in cost.points] == [1, 2, 4, 8, 16, 32, 64]


def test_measuring_a_cheap_model_takes_some_milliseconds() -> None:
    core = Core(5_000, 1_000)
    measured(core)
    assert core.spent_ns < 5 * MS
    assert core.runs >= 7 * FEWEST


@pytest.mark.parametrize("fixed_ns", [0, 6 * MS, 20 * MS, 90 * MS])
@pytest.mark.parametrize("row_ns", [0, MS, 9 * MS, 60 * MS])
def test_a_dear_model_is_measured_for_a_limited_time_and_never_at_one_size_alone(
    fixed_ns: int, row_ns: int
) -> None:
    core = Core(fixed_ns, row_ns)
    cost = measured(core)
    assert len(cost.points) >= 2
    two_smallest = 2 * fixed_ns + 3 * row_ns
    assert core.spent_ns <= max(LIMIT_NS, two_smallest)


def test_of_the_dearest_models_the_two_smallest_sizes_run_once() -> None:
    core = Core(0, 1000 * MS)
    assert measured(core).points == ((1, 1000 * MS), (2, 2000 * MS))
    assert core.runs == 2


def test_no_run_is_larger_than_the_bundle_takes() -> None:
    assert measured(Core(1000, 10), 5).points[-1][0] == 4


def test_a_fixed_number_of_rows_is_the_one_that_is_measured() -> None:
    core = Core(1000, 10)
    fixed = measured(core, shape=(6,))
    assert [rows for rows, _ in fixed.points] == [6]
    assert fixed.shared_from is None
    assert set(core.shapes) == {((6,),)}


def test_an_input_without_rows_stays_as_it_is_while_the_others_grow() -> None:
    core = Core(1000, 10)
    cost = measured(core, 0, (3, 4))
    assert [rows for rows, _ in cost.points] == [1, 2, 4, 8, 16, 32, 64]
    assert {shapes[1] for shapes in core.shapes} == {(3, 4)}


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


@pytest.mark.parametrize("ms", [4, 6, 20, 300])
def test_the_dearest_models_share_runs_too_where_a_row_more_costs_nothing(ms: int) -> None:
    assert measured(Core(ms * MS, 0)).shared_from == 2
    assert measured(Core(0, ms * MS)).shared_from is None


def test_the_rows_that_fit_a_time_are_never_without_end() -> None:
    assert measured(Core(5_000, 1_000)).rows_within(250_000) == 245
    assert measured(Core(0, 6 * MS)).rows_within(10 * MS) == 1
    assert measured(Core(0, 6 * MS)).rows_within(5 * MS) == 0
    assert measured(Core(5_000, 0)).rows_within(250_000) == 245_000  # a row costs a nanosecond at least
    assert measured(Core(1000, 10, most=1)).rows_within(250_000) == 1  # nothing tells what two would cost
