from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from penstock.errors import ModelError
from penstock.models.onnx_operators import operators


def saved(path: Path, functions: bool = False) -> Path:
    inner = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Twice", ["h"], ["y"], domain="local")]
    graph = helper.make_graph(
        nodes
        if functions
        else [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("w", TensorProto.FLOAT, [1000], [0.5] * 1000)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    made = helper.make_model(graph, opset_imports=opsets, functions=[inner] if functions else [])
    path.write_bytes(made.SerializeToString())
    return path


def test_operators_are_read_beside_the_weights(tmp_path: Path) -> None:
    assert operators(saved(tmp_path / "m.onnx")) == {"Relu", "Tanh"}


def test_those_of_functions_count(tmp_path: Path) -> None:
    assert operators(saved(tmp_path / "m.onnx", functions=True)) == {"Relu", "Twice", "Add"}


def test_they_are_those_of_the_onnx_package(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx")
    assert operators(path) == {node.op_type for node in onnx.load(path).graph.node}


def test_a_damaged_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = saved(tmp_path / "m.onnx").read_bytes()
    refused = 0
    for size in range(1, len(whole), 7):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        try:
            assert operators(tmp_path / "cut.onnx") <= {"Relu", "Tanh"}  # it may end between two fields
        except ModelError:
            refused += 1
    assert refused > 100
    for bad in (b"\xff" * 12, b"\x0b", b"\x3a\x7f\x0a"):
        (tmp_path / "bad.onnx").write_bytes(bad)
        with pytest.raises(ModelError, match=r"bad\.onnx is no whole ONNX file"):
            operators(tmp_path / "bad.onnx")
