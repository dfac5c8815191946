from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from penstock.errors import ModelError
from penstock.models.onnx_operators import across_rows, nodes


def operators(path: Path) -> set[str]:
    return {node.operator for node in nodes(path)}


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


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int32", "bool"])
@pytest.mark.parametrize("count", [1, 3])
def test_constants_of_other_types_and_of_any_length_are_passed_over(
    dtype: str, count: int, tmp_path: Path
) -> None:
    weights = numpy_helper.from_array(np.ones(count, dtype), "w")  # as raw data
    constant = helper.make_node("Constant", [], ["c"], value=weights)
    cast = helper.make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT)
    graph = helper.make_graph(
        [constant, cast, helper.make_node("Add", ["x", "f"], ["y"])],
        "constants",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", count])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", count])],
        [weights],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    assert operators(tmp_path / "m.onnx") == {"Constant", "Cast", "Add"}


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
        with pytest.raises(ModelError, match="the model's file is no whole ONNX file"):
            operators(tmp_path / "bad.onnx")


FIRST, THIRD = (helper.make_tensor("", TensorProto.INT64, [1], [axis]) for axis in (0, 2))
AXES = {
    "an attribute": (
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])],
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0])],
    ),
    "several": (
        [helper.make_node("ReduceSum", ["x"], ["y"], axes=[-1, 1])],
        [helper.make_node("ReduceSum", ["x"], ["y"], axes=[1, 0])],
    ),
    "an initializer": (
        [helper.make_node("ReduceMean", ["x", "last"], ["y"])],
        [helper.make_node("ReduceMean", ["x", "first"], ["y"])],
    ),
    "a constant of integers": (
        [
            helper.make_node("Constant", [], ["a"], value_ints=[1]),
            helper.make_node("ReduceSum", ["x", "a"], ["y"]),
        ],
        [
            helper.make_node("Constant", [], ["a"], value_ints=[0]),
            helper.make_node("ReduceSum", ["x", "a"], ["y"]),
        ],
    ),
    "a constant tensor": (
        [
            helper.make_node("Constant", [], ["a"], value=THIRD),
            helper.make_node("ReduceSum", ["x", "a"], ["y"]),
        ],
        [
            helper.make_node("Constant", [], ["a"], value=FIRST),
            helper.make_node("ReduceSum", ["x", "a"], ["y"]),
        ],
    ),
    "none": (
        [helper.make_node("Identity", ["x"], ["y"])],
        [helper.make_node("ReduceMean", ["x"], ["y"])],
    ),
    "computed ones": (
        [helper.make_node("Identity", ["x"], ["y"])],
        [
            helper.make_node("Identity", ["last"], ["computed"]),
            helper.make_node("ReduceMean", ["x", "computed"], ["y"]),
        ],
    ),
}


@pytest.mark.parametrize("where", AXES)
def test_a_reduction_keeps_to_its_row_where_the_file_says_so(where: str, tmp_path: Path) -> None:
    kept, crossed = AXES[where]
    for nodes_of_graph, found in ((kept, set()), (crossed, {crossed[-1].op_type})):
        graph = helper.make_graph(
            nodes_of_graph,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(np.array([-1]), "last"),
                helper.make_tensor("first", TensorProto.INT64, [1], [0]),
                numpy_helper.from_array(np.zeros((100, 100)), "weights"),
            ],
        )
        onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
        assert across_rows(tmp_path / "m.onnx") == found


def test_axes_that_are_a_functions_own_parameter_are_not_known(tmp_path: Path) -> None:
    reduce = helper.make_node("ReduceMean", ["a"], ["b"])
    reduce.attribute.append(
        onnx.AttributeProto(name="axes", ref_attr_name="over", type=onnx.AttributeProto.INTS)
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "Relu", ["a"], ["b"], [reduce], opsets[:1], ["over"])
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], domain="local", over=[0])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=[function]), tmp_path / "m.onnx")
    assert across_rows(tmp_path / "m.onnx") == {"ReduceMean"}
