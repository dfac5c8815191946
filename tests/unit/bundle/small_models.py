"""Small real models, trained or made here."""

from __future__ import annotations

from collections.abc import Sequence

import lightgbm as lgb
import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper

COLUMNS = ("distance", "hour", "wind")


def flights(rows: int = 300, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, 3)), columns=list(COLUMNS))
    frame.loc[random.random(rows) < 0.1, "wind"] = np.nan
    return frame


def late(frame: pd.DataFrame) -> np.ndarray:
    return (frame["distance"] + frame["wind"].fillna(0) > 0).to_numpy(float)


def booster(frame: pd.DataFrame | None = None, rounds: int = 5, **parameters: object) -> lgb.Booster:
    frame = flights() if frame is None else frame
    settings = {"objective": "binary", "verbose": -1, "num_leaves": 7, "num_threads": 1, **parameters}
    return lgb.train(settings, lgb.Dataset(frame, late(frame)), rounds)


def onnx_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[int | str | None]]],
    outputs: Sequence[tuple[str, int, Sequence[int | str | None]]],
    initializers: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
) -> onnx.ModelProto:
    def infos(tensors: Sequence[tuple[str, int, Sequence[int | str | None]]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, list(shape)) for name, kind, shape in tensors]

    graph = helper.make_graph(list(nodes), "graph", infos(inputs), infos(outputs), list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def linear(rows: int | None = None, columns: int = 3) -> onnx.ModelProto:
    """y = x w + b, FP32 [rows, columns] to [rows, 1]."""
    weights = np.linspace(-1, 1, columns).astype(np.float32).reshape(columns, 1)
    return onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["xw", "b"], ["y"])],
        [("x", TensorProto.FLOAT, [rows, columns])],
        [("y", TensorProto.FLOAT, [rows, 1])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [columns, 1], weights.ravel().tolist()),
            helper.make_tensor("b", TensorProto.FLOAT, [1], [0.5]),
        ],
    )


def mixed() -> onnx.ModelProto:
    """Strings, integers, doubles and Booleans, each given back."""
    kinds = {
        "text": TensorProto.STRING,
        "count": TensorProto.INT64,
        "value": TensorProto.DOUBLE,
        "flag": TensorProto.BOOL,
    }
    return onnx_model(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds],
        [(name, kind, [None, 2]) for name, kind in kinds.items()],
        [(f"{name}_out", kind, [None, 2]) for name, kind in kinds.items()],
    )
