"""The models that the benchmarks serve, made from fixed seeds, and one request for each.

mlp: an ONNX perceptron 32-64-64-1, FP32. gbm: LightGBM, 500 trees of 31 leaves over 30 columns.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from penstock import _proto


@dataclass(frozen=True)
class Model:
    """A model file, the input to send and the answer that its own library gives to it."""

    name: str
    path: Path
    tensor: str
    row: NDArray[np.float32]
    expected: NDArray[np.floating]

    def request(self) -> bytes:
        """A serialized ModelInferRequest with the row as raw contents."""
        message = _proto.ModelInferRequest(model_name=self.name, id="bench")
        tensor = message.inputs.add(name=self.tensor, datatype="FP32")
        tensor.shape.extend(self.row.shape)
        message.raw_input_contents.append(self.row.tobytes())
        return bytes(message.SerializeToString())


def mlp(directory: Path, *, widths: tuple[int, ...] = (32, 64, 64, 1), seed: int = 7) -> Model:
    """A multilayer perceptron with ReLU between the layers; input `input` [n, 32], output `output` [n, 1]."""
    import onnxruntime

    path = directory / "mlp.onnx"
    path.write_bytes(perceptron(widths, seed).SerializeToString())
    row = np.random.default_rng(seed + 1).standard_normal((1, widths[0]), dtype=np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return Model("mlp", path, "input", row, session.run(None, {"input": row})[0])


def perceptron(widths: tuple[int, ...], seed: int) -> onnx.ModelProto:
    """The graph alone, so that a caller can make versions that differ in their weights."""
    random = np.random.default_rng(seed)
    nodes, weights, current = [], [], "input"
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        matrix = random.standard_normal((fan_in, fan_out)) * np.sqrt(2 / fan_in)
        weights.append(numpy_helper.from_array(matrix.astype(np.float32), f"weight{layer}"))
        weights.append(numpy_helper.from_array(np.zeros(fan_out, np.float32), f"bias{layer}"))
        last = layer == len(widths) - 2
        gemm = "output" if last else f"gemm{layer}"
        nodes.append(helper.make_node("Gemm", [current, f"weight{layer}", f"bias{layer}"], [gemm]))
        if not last:
            nodes.append(helper.make_node("Relu", [gemm], [f"relu{layer}"]))
        current = f"relu{layer}"
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", widths[0]])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", widths[-1]])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def gbm(directory: Path, *, trees: int = 500, leaves: int = 31, columns: int = 30, seed: int = 11) -> Model:
    """A binary classifier on made data; input `features` [n, 30], output `prediction` [n]."""
    path = directory / "gbm.txt"
    random = np.random.default_rng(seed)
    features = random.standard_normal((20_000, columns), dtype=np.float32)
    signal = features[:, 0] * features[:, 1] + np.sin(features[:, 2]) + features[:, 3:8].sum(axis=1) / 3
    label = (signal + random.standard_normal(len(features)) > 0).astype(np.int32)
    parameters = {
        "objective": "binary",
        "num_leaves": leaves,
        "num_threads": 1,
        "deterministic": True,
        "seed": seed,
        "verbose": -1,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(features, label), num_boost_round=trees)
    booster.save_model(str(path))
    row = random.standard_normal((1, columns), dtype=np.float32)
    return Model("gbm", path, "features", row, np.asarray(booster.predict(row)))


MODELS: dict[str, Callable[[Path], Model]] = {"mlp": mlp, "gbm": gbm}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Writes the models' files: for endpoints that are to serve them."
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for make in MODELS.values():
        model = make(folder)
        print(f"{model.path}: input {model.tensor} [n, {model.row.shape[1]}], FP32")


if __name__ == "__main__":
    main()
