from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import booster

import penstock
from penstock.bundle.examples import Arrays
from penstock.bundle.independence import ANY, MOST, independent_rows
from penstock.bundle.loading import open_bundle
from penstock.bundle.verify import verify_bundle
from penstock.models.onnx import Options

WIDTH = 16
WEIGHT = np.random.default_rng(3).standard_normal((WIDTH, WIDTH)).astype(np.float32)


def graph(folder: Path, nodes: Sequence[onnx.NodeProto], rows: int | str = "n") -> Path:
    made = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, WIDTH])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def found(folder: Path, model: Any, max_rows: int = 0, examples: Arrays | None = None, **options: Any) -> int:
    bundle = penstock.build(folder / "repository", name="m", version="1", model=model, max_rows=max_rows)
    loaded = open_bundle(bundle.path)
    with verify_bundle(bundle.path, keep=True) as verified:
        file = verified.files[loaded.manifest.model.file].path
        given = {"x": np.zeros((1, WIDTH), np.float32)} if examples is None else examples
        said = loaded.manifest.model.options.replaced(options, loaded.manifest.model.kind)
        return independent_rows(loaded.core, loaded.manifest, said, file, given, "5eed" * 16)


DENSE = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]


def test_trees_may_stand_beside_any_number_of_rows(tmp_path: Path) -> None:
    assert found(tmp_path, booster()) == ANY


def test_layers_that_give_the_same_bits_in_every_batch_share_what_was_tried(tmp_path: Path) -> None:
    path = graph(tmp_path, DENSE)
    assert found(tmp_path / "a", path) == MOST
    assert found(tmp_path / "b", path, max_rows=5) == 5
    many = {"x": np.random.default_rng(0).standard_normal((9, WIDTH)).astype(np.float32)}
    assert found(tmp_path / "c", path, examples=many) == MOST


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
    assert found(tmp_path, graph(tmp_path, nodes)) == 0


def test_operators_that_may_look_at_values_are_not_tried(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    assert found(tmp_path, graph(tmp_path, nodes)) == 0


def test_rows_with_the_same_answers_show_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, graph(tmp_path, DENSE), examples={"x": np.zeros((9, WIDTH), np.float32)}) == 0


def test_a_fixed_number_of_rows_is_not_shared(tmp_path: Path) -> None:
    assert found(tmp_path, graph(tmp_path, DENSE, rows=2)) == 0


def test_what_runs_elsewhere_is_not_tried(tmp_path: Path) -> None:
    said = {"providers": ("cuda", "cpu"), "fallback": True}
    assert Options.of(said, "ONNX").providers == ("cuda", "cpu")
    assert found(tmp_path, graph(tmp_path, DENSE), **said) == 0
