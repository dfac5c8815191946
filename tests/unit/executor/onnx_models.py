"""Small ONNX models for the tests, built from their operators."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ELEMENT = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
    "BF16": TensorProto.BFLOAT16,
}
Value = tuple[str, str, Sequence[Any]]  # name, datatype, shape: numbers, or names of open dimensions


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    constants: dict[str, np.ndarray[Any, Any]] | None = None,
    ml: bool = False,
) -> Path:
    def info(value: Value) -> onnx.ValueInfoProto:
        name, dtype, shape = value
        return helper.make_tensor_value_info(name, ELEMENT[dtype], list(shape))

    graph = helper.make_graph(
        list(nodes),
        "test",
        [info(v) for v in inputs],
        [info(v) for v in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid("ai.onnx.ml", 3)] if ml else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.save(model, str(path))
    return path


def identity(path: Path, dtype: str, shape: Sequence[Any] = ("n", 3)) -> Path:
    node = helper.make_node("Identity", ["x"], ["y"])
    return save(path, [node], [("x", dtype, shape)], [("y", dtype, shape)])


def mlp(path: Path, widths: Sequence[int] = (32, 64, 64, 1), seed: int = 7) -> Path:
    """Dense layers with ReLU between them: input `x` [n, widths[0]], output `y` [n, widths[-1]], FP32."""
    rng = np.random.default_rng(seed)
    constants: dict[str, np.ndarray[Any, Any]] = {}
    nodes = []
    name = "x"
    last = len(widths) - 2
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        constants[f"w{layer}"] = (rng.normal(size=(fan_in, fan_out)) / np.sqrt(fan_in)).astype(np.float32)
        constants[f"b{layer}"] = rng.normal(size=fan_out).astype(np.float32)
        out = "y" if layer == last else f"z{layer}"
        nodes.append(helper.make_node("Gemm", [name, f"w{layer}", f"b{layer}"], [out]))
        if layer != last:
            nodes.append(helper.make_node("Relu", [out], [f"a{layer}"]))
            name = f"a{layer}"
    return save(path, nodes, [("x", "FP32", ("n", widths[0]))], [("y", "FP32", ("n", widths[-1]))], constants)


def sample(dtype: str, shape: tuple[int, ...], seed: int = 3) -> np.ndarray[Any, Any]:
    """Values across the type's range; FP16, FP32, FP64 with NaN and infinities. BF16 as its bits."""
    rng = np.random.default_rng(seed)
    if dtype == "BYTES":
        words = np.array([b"", b"plain", "Zürich ✈".encode(), b"nul\0inside\0", b"x" * 300], dtype=object)
        return words[rng.integers(0, len(words), shape)]
    if dtype == "BOOL":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype == "BF16":
        return rng.normal(size=shape).astype(ml_dtypes.bfloat16).view(np.uint16)
    if dtype.startswith("FP"):
        numbers = rng.normal(size=shape).astype(
            {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}[dtype]
        )
        flat = numbers.reshape(-1)
        flat[:3] = [np.nan, np.inf, -np.inf][: flat.size]
        return numbers
    limits = np.iinfo(dtype.lower())
    return rng.integers(limits.min, limits.max, shape, dtype=limits.dtype, endpoint=True)
