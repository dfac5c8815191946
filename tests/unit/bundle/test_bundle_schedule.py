from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import booster

import penstock
from penstock.bundle.cost import Cost
from penstock.bundle.independence import ANY, Independence
from penstock.bundle.loading import LoadedBundle, Serving, open_bundle
from penstock.bundle.manifest import Input, Manifest, Tensor
from penstock.bundle.schedule import MAX_BATCH_ROWS, Schedule, schedule_of, without_effect
from penstock.config import PoolSection, Scheduling
from penstock.errors import BundleError

POOL = PoolSection(inline_us=250.0)
FREE = Independence(ANY, "")
MS = 1_000_000


def line(fixed_ns: int, row_ns: int) -> Cost:
    return Cost(tuple((rows, fixed_ns + rows * row_ns) for rows in (1, 2, 4, 8, 16, 32, 64)))


CHEAP = line(10_000, 100)  # shares from 2 rows on
FROM_32 = Cost(((1, 2_700), (2, 4_800), (4, 9_000), (16, 28_800), (32, 31_000), (64, 36_000)))
NEVER = line(0, 10_000)


def manifest(*inputs: tuple[int, ...], output: tuple[int, ...] = (-1,), max_rows: int = 0) -> Manifest:
    return Manifest.model_construct(
        inputs=tuple(
            Input(name=f"x{i}", datatype="FP64", shape=shape) for i, shape in enumerate(inputs or ((-1,),))
        ),
        outputs=(Tensor(name="y", datatype="FP64", shape=output),),
        max_rows=max_rows,
    )


def schedule(
    cost: Cost, made: Manifest | None = None, independence: Independence = FREE, **said: Any
) -> Schedule:
    scheduling = Scheduling.model_validate(said)
    return schedule_of(cost, scheduling, POOL, made or manifest(), lambda: independence)


def shared(*args: Any, **said: Any) -> tuple[int, int] | None:
    made = schedule(*args, **said)
    return (made.min_batch_rows, made.max_batch_rows) if made.merges else None


def test_requests_that_are_estimated_to_take_long_run_in_the_pool() -> None:
    assert schedule(line(0, 9_300_000)).inline_rows == 0
    assert schedule(line(5_000, 1_000)).inline_rows == 245
    assert schedule(line(5_000, 1_000), execution="auto").inline_rows == 245
    assert schedule(line(5_000, 1_000), execution="inline").inline_rows is None
    assert schedule(line(5_000, 1_000), execution="pool").inline_rows == 0


def test_a_model_of_one_size_runs_on_the_loops_or_in_the_pool_as_a_whole() -> None:
    # The core counts the largest first dimension of a request.
    assert schedule(Cost(((4, 5_000),)), manifest((4, 3), (768,))).inline_rows == 768
    assert schedule(Cost(((4, 5 * MS),)), manifest((4, 3), (768,))).inline_rows == 0


@pytest.mark.parametrize("shape", [(-1, -1), (1, -1), (-1, 3, -1)])
def test_where_rows_do_not_tell_what_a_request_costs_it_runs_in_the_pool(shape: tuple[int, ...]) -> None:
    open_shape = manifest((-1,), shape)
    assert schedule(line(1_000, 1), open_shape).inline_rows == 0
    assert schedule(line(1_000, 1), open_shape, execution="auto").inline_rows == 0
    assert schedule(line(1_000, 1), open_shape, execution="inline").inline_rows is None
    assert "a dimension of 'x1' other than rows is open" in schedule(CHEAP, open_shape).reason
    assert schedule(line(1_000, 1), manifest((-1, 3), output=(-1, -1))).inline_rows == 249_000


def test_requests_share_runs_where_it_pays_and_no_bit_depends_on_it() -> None:
    assert shared(CHEAP) == (2, MAX_BATCH_ROWS)
    assert shared(CHEAP, None, Independence(64, "")) == (2, 64)
    assert shared(CHEAP, None, Independence(0, "why")) is None
    assert shared(CHEAP, None, Independence(1, "why")) is None
    assert shared(NEVER) is None
    assert shared(CHEAP, merge=False) is None
    assert shared(CHEAP, merge="auto") == (2, MAX_BATCH_ROWS)


def test_none_is_tried_where_something_else_decides() -> None:
    def tried() -> Independence:
        raise AssertionError("tried")

    for cost, said in (
        (NEVER, {}),
        (CHEAP, {"merge": True}),
        (CHEAP, {"merge": False}),
        (FROM_32, {"max_batch_rows": 31}),
    ):
        schedule_of(cost, Scheduling.model_validate(said), POOL, manifest(), tried)


def test_a_batch_too_small_for_sharing_to_pay_is_not_shared() -> None:
    assert shared(FROM_32) == (32, MAX_BATCH_ROWS)
    assert shared(FROM_32, max_batch_rows=32) == (32, 32)
    assert shared(FROM_32, max_batch_rows=31) is None
    assert shared(FROM_32, manifest(max_rows=8)) is None
    assert shared(FROM_32, None, Independence(31, "why")) is None
    assert shared(CHEAP, max_batch_rows=1) is None


def test_who_says_merge_shares_from_two_rows_on_whatever_was_measured() -> None:
    for cost in (CHEAP, FROM_32, NEVER):
        assert shared(cost, None, Independence(0, "why"), merge=True) == (2, MAX_BATCH_ROWS)
        assert shared(cost, merge=True, max_batch_rows=8) == (2, 8)
        assert shared(cost, merge=True, max_batch_rows=1) is None


@pytest.mark.parametrize("made", [manifest((-1,), (3,)), manifest((6,)), manifest(output=(1,))])
def test_without_rows_nothing_is_shared_and_none_says_so(made: Manifest) -> None:
    assert shared(CHEAP, made) is None
    assert shared(CHEAP, made, merge=True) is None


def test_a_batch_is_at_most_what_is_said_or_one_request_may_have() -> None:
    assert shared(CHEAP, manifest(max_rows=40)) == (2, 40)
    assert shared(CHEAP, manifest(max_rows=40), max_batch_rows=100) == (2, 100)
    assert shared(CHEAP, manifest(max_rows=1000)) == (2, MAX_BATCH_ROWS)
    assert shared(CHEAP, None, Independence(64, ""), max_batch_rows=100) == (2, 64)
    assert schedule(CHEAP, max_wait_us=1.5).max_wait_ns == 1500
    assert schedule(CHEAP).queue_limit == POOL.queue_limit


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (schedule(CHEAP), "on the loops up to 2400 rows; runs are shared by 2 to 256 rows"),
        (
            schedule(line(0, 9_300_000)),
            "in the pool: a row costs 9.3 ms, over inline_us 250; "
            "runs are not shared: it does not pay, 64 rows in one run cost 64.0 of one",
        ),
        (
            schedule(Cost(((6, 300_000),)), manifest((6,))),
            "in the pool: 6 rows cost 300.0 us, over inline_us 250; "
            "runs are not shared: the first dimension of 'x0' is not rows",
        ),
        (
            schedule(Cost(((1, 1000),)), execution="inline"),
            "on the loops, as execution says; "
            "runs are not shared: more rows in one run could not be measured",
        ),
        (
            schedule(FROM_32, execution="pool", max_batch_rows=8),
            "in the pool, as execution says; "
            "runs are not shared: it pays from 32 rows on, over the 8 of max_batch_rows",
        ),
        (
            schedule(CHEAP, None, Independence(1, "a row among 2 has other bits than alone")),
            "on the loops up to 2400 rows; runs are not shared: a row among 2 has other bits than alone",
        ),
        (
            schedule(FROM_32, None, Independence(16, "a row among 17 has other bits than alone")),
            "on the loops up to 468 rows; "
            "runs are not shared: it pays from 32 rows on, and a row among 17 has other bits than alone",
        ),
        (
            schedule(CHEAP, None, Independence(16, "a row among 17 has other bits than alone")),
            "on the loops up to 2400 rows; "
            "runs are shared by 2 to 16 rows: a row among 17 has other bits than alone",
        ),
        (
            schedule(CHEAP, merge=False),
            "on the loops up to 2400 rows; runs are not shared: merge = false",
        ),
        (
            schedule(CHEAP, manifest(max_rows=1), merge=True),
            "on the loops up to 2400 rows; runs are not shared: max_rows is 1",
        ),
        (
            schedule(CHEAP, merge=True, max_batch_rows=9),
            "on the loops up to 2400 rows; runs are shared by 2 to 9 rows, as merge says",
        ),
    ],
)  # fmt: skip
def test_a_schedule_says_what_was_chosen_and_why(made: Schedule, reason: str) -> None:
    assert made.reason == reason


@pytest.mark.parametrize(
    ("made", "said", "begins"),
    [
        (manifest(output=(1,)), {"merge": True}, "merge = true has no effect ("),
        (manifest(), {"merge": True, "max_batch_rows": 1}, "merge = true has no effect ("),
        (manifest(), {"merge": False, "max_wait_us": 2000}, "max_wait_us = 2000 has no effect, as requests"),
        (
            manifest(),
            {"execution": "inline", "max_wait_us": 5},
            "max_wait_us = 5 has no effect, as no request",
        ),
        (manifest(), {"max_batch_rows": 100}, "max_batch_rows = 100 counts as 64 ("),
    ],
)
def test_what_was_said_in_vain_is_told(made: Manifest, said: dict[str, Any], begins: str) -> None:
    found = schedule(CHEAP, made, Independence(64, "why"), **said)
    (told,) = without_effect(Scheduling.model_validate(said), found)
    assert told.startswith(begins)
    assert told.endswith(f"({found.reason})")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"merge": True, "max_batch_rows": 100, "max_wait_us": 2000},
        {"merge": "auto", "max_batch_rows": 64, "max_wait_us": 2000},
        {"merge": False, "execution": "inline", "max_wait_us": 0},
    ],
)
def test_what_holds_is_not_warned_of(said: dict[str, Any]) -> None:
    found = schedule(CHEAP, None, Independence(64, "why"), **said)
    assert without_effect(Scheduling.model_validate(said), found) == []


def test_what_the_settings_say_wins_over_the_bundle() -> None:
    bundle = Scheduling(execution="pool", merge=True, max_batch_rows=8)
    assert Scheduling(execution="inline").over(bundle) == Scheduling(
        execution="inline", merge=True, max_batch_rows=8
    )
    assert Scheduling(merge="auto").over(bundle).merge == "auto"
    assert Scheduling(merge=False).over(bundle).merge is False
    assert Scheduling().over(bundle) == bundle


def test_a_bundle_says_how_it_is_to_run(tmp_path: Path) -> None:
    bundle = penstock.build(
        tmp_path,
        name="m",
        version="1",
        model=booster(),
        scheduling={"execution": "pool", "merge": True, "max_wait_us": 5},
    )
    serving = Serving(PoolSection(), Scheduling(max_batch_rows=7))
    found = open_bundle(bundle.path, serving=serving).schedule
    assert found is not None
    assert (found.inline_rows, found.max_wait_ns, found.max_batch_rows) == (0, 5000, 7)
    assert found.reason == "in the pool, as execution says; runs are shared by 2 to 7 rows, as merge says"
    assert open_bundle(bundle.path).schedule is None  # in process nobody shares anything
    inline = replace(serving, scheduling=Scheduling(execution="inline"))
    found = open_bundle(bundle.path, serving=inline).schedule
    assert found is not None
    assert found.inline_rows is None
    assert found.for_core()["inline_rows"] == 2**63 - 1


@pytest.mark.parametrize(
    "said", [{"execution": "gpu"}, {"merge": "yes"}, {"max_batch_rows": 0}, {"max_wait_us": -1}, {"wait": 1}]
)
def test_a_schedule_that_cannot_be_is_refused_with_its_name(said: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"scheduling= cannot be used: {next(iter(said))}: "):
        penstock.build(tmp_path, name="m", version="1", model=booster(), scheduling=said)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("penstock.bundle")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def onnx_model(
    nodes: list[onnx.NodeProto], x: list[int | str], y: list[int | str], **constants: Any
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def opened(folder: Path, model: Any, **said: Any) -> LoadedBundle:
    bundle = penstock.build(folder, name="m", version="1", model=model)
    return open_bundle(bundle.path, serving=Serving(PoolSection(), Scheduling.model_validate(said)))


def test_a_model_of_sequences_runs_in_the_pool_unless_inline_was_said(tmp_path: Path) -> None:
    """The cost of a row of [batch, sequence] is unknown: it was measured with a sequence of 1."""
    weight = np.random.default_rng(1).standard_normal((1, 256))
    attention = onnx_model(
        [
            helper.make_node("Constant", [], ["axis"], value_ints=[2]),
            helper.make_node("Unsqueeze", ["x", "axis"], ["column"]),
            helper.make_node("MatMul", ["column", "w"], ["embedded"]),
            helper.make_node("Transpose", ["embedded"], ["turned"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["embedded", "turned"], ["y"]),
        ],
        ["batch", "sequence"],
        ["batch", "sequence", "sequence"],
        w=weight,
    )
    loaded = opened(tmp_path, attention)
    assert loaded.schedule is not None
    assert loaded.schedule.inline_rows == 0
    assert not loaded.schedule.merges
    assert loaded.schedule.reason.startswith("in the pool: a dimension of 'x' other than rows is open")
    one = loaded.core.durations({"x": np.ones((1, 1), np.float32)}, 9).min()
    many = loaded.core.durations({"x": np.ones((1, 512), np.float32)}, 3).min()
    assert many > 20 * one  # and yet one row
    inline = opened(tmp_path / "inline", attention, execution="inline")
    assert inline.schedule is not None
    assert inline.schedule.inline_rows is None


def test_more_examples_than_a_fixed_number_of_rows_are_measured(tmp_path: Path) -> None:
    model = onnx_model([helper.make_node("Neg", ["x"], ["y"])], [2, 3], [2, 3])
    examples = {"x": np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)}
    bundle = penstock.build(tmp_path, name="m", version="1", model=model, examples=examples)
    found = open_bundle(bundle.path, serving=Serving(PoolSection(), Scheduling())).schedule
    assert found is not None
    assert found.inline_rows == 2


def test_merging_without_rows_is_warned_of_and_not_reported(tmp_path: Path, logged: list[str]) -> None:
    total = onnx_model([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], ["n", 3], [])
    found = opened(tmp_path, total, merge=True).schedule
    assert found is not None
    assert not found.merges
    (warning,) = logged
    assert warning.startswith("m/1: scheduling: merge = true has no effect (")
    assert "the first dimension of 'y' is not rows" in warning


def test_a_limit_above_the_sizes_that_were_tried_is_warned_of(tmp_path: Path, logged: list[str]) -> None:
    weight = np.random.default_rng(1).standard_normal((16, 16))
    dense = onnx_model([helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", 16], ["n", 16], w=weight)
    found = opened(tmp_path, dense, max_batch_rows=1000).schedule
    assert found is not None
    assert (found.merges, found.max_batch_rows) == (True, 64)
    (warning,) = logged
    assert warning.startswith("m/1: scheduling: max_batch_rows = 1000 counts as 64 (")
