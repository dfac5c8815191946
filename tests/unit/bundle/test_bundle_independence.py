from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import booster

import penstock
from penstock.bundle.examples import Arrays
from penstock.bundle.independence import (
    ANY,
    LIMIT_NS,
    MOST,
    Independence,
    independent_rows,
    try_batches,
)
from penstock.bundle.loading import open_bundle
from penstock.bundle.manifest import Input
from penstock.bundle.verify import verify_bundle
from penstock.errors import StatusError
from penstock.models.onnx import Options

WIDTH = 16
WEIGHT = np.random.default_rng(3).standard_normal((WIDTH, WIDTH)).astype(np.float32)


def graph(
    folder: Path, nodes: Sequence[onnx.NodeProto], rows: int | str = "n", width: int | str = WIDTH
) -> Path:
    made = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, width])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def found(
    folder: Path, model: Any, max_rows: int = 0, examples: Arrays | None = None, **options: Any
) -> Independence:
    bundle = penstock.build(folder / "repository", name="m", version="1", model=model, max_rows=max_rows)
    loaded = open_bundle(bundle.path)
    with verify_bundle(bundle.path, keep=True) as verified:
        file = verified.files[loaded.manifest.model.file].path
        given = {"x": np.zeros((1, WIDTH), np.float32)} if examples is None else examples
        said = loaded.manifest.model.options.replaced(options, loaded.manifest.model.kind)
        return independent_rows(loaded.core, loaded.manifest, said, file, given, "5eed" * 16)


DENSE = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]


@dataclass
class Core:
    """Doubles each row, and puts `company` to work on what a batch gives."""

    company: Callable[[Any], None]
    asked: list[int] = field(default_factory=list)

    def run(self, batch: Arrays) -> Arrays:
        self.asked.append(len(batch["x"]))
        y = batch["x"] * 2
        self.company(y)
        return {"y": y}


def tried(company: Callable[[Any], None], most: int = MOST, rows: int = MOST) -> Independence:
    x = np.random.default_rng(0).standard_normal((rows, 3)).astype(np.float32)
    inputs = [Input(name="x", datatype="FP32", shape=(-1, 3))]
    return try_batches(Core(company), inputs, {"x": x}, most)  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [0, -1])
@pytest.mark.parametrize("size", [2, 3, 17, MOST])
def test_one_bit_of_one_row_is_a_difference_and_what_was_equal_before_it_counts(size: int, row: int) -> None:
    def flip(y: Any) -> None:
        if len(y) >= size:
            y.view(np.uint32)[row, 1] ^= 1

    assert tried(flip) == Independence(size - 1, f"a row among {size} has other bits than alone")


def test_the_sign_of_a_zero_and_the_bits_of_a_nan_are_bits() -> None:
    def zero(y: Any) -> None:
        y[:, 0] = 0.0 if len(y) < 5 else -0.0

    def nan(y: Any) -> None:
        y.view(np.uint32)[:, 0] = 0x7FC00000 if len(y) < 5 else 0x7FC00001

    assert tried(zero).rows == tried(nan).rows == 4


def test_sizes_of_which_all_pass_are_all_that_are_shared() -> None:
    def nothing(y: Any) -> None: ...

    assert tried(nothing) == Independence(MOST, "")
    assert tried(nothing, most=5) == Independence(5, "")
    assert tried(nothing, rows=2) == Independence(MOST, "")


def test_a_size_that_the_model_does_not_take_ends_it() -> None:
    def refuse(y: Any) -> None:
        if len(y) > 7:
            raise StatusError(13, "too many")

    assert tried(refuse) == Independence(7, "a run of 8 of the rows to try it with fails")


def test_rows_of_other_numbers_than_the_inputs_are_a_difference() -> None:
    core = Core(lambda y: None)
    core.run = lambda batch: {"y": batch["x"][:1]}  # type: ignore[method-assign]
    inputs = [Input(name="x", datatype="FP32", shape=(-1,))]
    x = np.arange(9, dtype=np.float32)
    assert try_batches(core, inputs, {"x": x}, 9).rows == 1  # type: ignore[arg-type]


def test_trying_dear_models_is_limited_and_so_is_what_they_share() -> None:
    def slow(y: Any) -> None:
        time.sleep(0.01)

    began = time.monotonic_ns()
    result = tried(slow)
    assert time.monotonic_ns() - began < 10 * LIMIT_NS
    assert 2 <= result.rows <= LIMIT_NS // 20_000_000 + 1  # each size takes a run, and one of a row alone
    assert result.reason == f"trying {result.rows + 1} rows took too long"


def test_trees_may_stand_beside_any_number_of_rows(tmp_path: Path) -> None:
    assert found(tmp_path, booster()) == Independence(ANY, "")


def test_layers_that_give_the_same_bits_in_every_batch_share_what_was_tried(tmp_path: Path) -> None:
    path = graph(tmp_path, DENSE)
    assert found(tmp_path / "a", path) == Independence(MOST, "")
    assert found(tmp_path / "b", path, max_rows=5) == Independence(5, "")
    many = {"x": np.random.default_rng(0).standard_normal((9, WIDTH)).astype(np.float32)}
    assert found(tmp_path / "c", path, examples=many).rows == MOST


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Softmax", ["x"], ["y"], axis=0)],
        [
            helper.make_node("Max", ["x", "m"], ["y"]),
            helper.make_node("Gather", ["x", "zero"], ["m"], axis=0),
        ],
    ],
    ids=["softmax over rows", "the first row beside each"],
)
def test_rows_that_look_at_each_other_are_found_out(tmp_path: Path, nodes: list[onnx.NodeProto]) -> None:
    if len(nodes) == 2:
        zero = helper.make_node("Constant", [], ["zero"], value_ints=[0])
        nodes = [zero, nodes[1], nodes[0]]
    result = found(tmp_path, graph(tmp_path, nodes))
    assert result == Independence(1, "a row among 2 has other bits than alone")


def test_a_layer_normalization_in_its_parts_is_tried_and_one_over_rows_is_not(tmp_path: Path) -> None:
    def normalization(axis: int) -> list[onnx.NodeProto]:
        return [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[axis], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["d"]),
            helper.make_node("Mul", ["d", "d"], ["dd"]),
            helper.make_node("ReduceMean", ["dd"], ["variance"], axes=[axis], keepdims=1),
            helper.make_node("Sqrt", ["variance"], ["deviation"]),
            helper.make_node("Div", ["d", "deviation"], ["y"]),
        ]

    assert found(tmp_path / "a", graph(tmp_path, normalization(-1))) == Independence(MOST, "")
    over_rows = Independence(0, "the operator ReduceMean may not work row by row")
    assert found(tmp_path / "b", graph(tmp_path, normalization(0))) == over_rows
    # Of two dimensions -2 is the first too; the file does not tell, the runs do.
    assert found(tmp_path / "c", graph(tmp_path, normalization(-2))).rows < 2


def test_operators_that_may_look_at_values_are_not_tried(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    reason = "the operator ReduceMax may not work row by row"
    assert found(tmp_path, graph(tmp_path, nodes)) == Independence(0, reason)


def test_where_another_dimension_is_open_no_size_that_was_tried_is_all(tmp_path: Path) -> None:
    result = found(
        tmp_path,
        graph(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], width="m"),
        examples={"x": np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)},
    )
    assert result.rows == 0
    assert result.reason == "a dimension of 'x' other than rows is open"


def test_rows_with_the_same_answers_show_nothing(tmp_path: Path) -> None:
    result = found(tmp_path, graph(tmp_path, DENSE), examples={"x": np.zeros((9, WIDTH), np.float32)})
    assert result == Independence(0, "the rows to try it with all have the same answers")


def test_what_runs_elsewhere_is_not_tried(tmp_path: Path) -> None:
    said = {"providers": ("cuda", "cpu"), "fallback": True}
    assert Options.of(said, "ONNX").providers == ("cuda", "cpu")
    reason = "it may run on cuda, and only the CPU is tried"
    assert found(tmp_path, graph(tmp_path, DENSE), **said) == Independence(0, reason)
