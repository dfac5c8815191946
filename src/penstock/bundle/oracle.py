"""The oracle of a build: what the model's own library answers, for the compiled path to be held against.

It shares nothing with that path but the fitted transforms: lightgbm's Booster and onnxruntime's
InferenceSession run the model here, on the features of the examples as they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from penstock import frames
from penstock.bundle.examples import Array, Arrays
from penstock.bundle.golden import first_difference
from penstock.bundle.manifest import Manifest, Tensor, Tolerance
from penstock.errors import GoldenError
from penstock.models import PreparedModel, lightgbm, onnx
from penstock.transforms import Features

# LightGBM adds the same numbers in the same order, whoever calls it.
_LIGHTGBM_TOLERANCE = Tolerance(absolute=0.0, relative=1e-12)


class _Library(Protocol):
    name: str
    datatype: str  # of the matrix that it takes

    def predict(self, matrix: Array, outputs: Sequence[Tensor]) -> Arrays: ...


def oracle_of(
    model: PreparedModel, features: Features | None, examples: object, given: Arrays, manifest: Manifest
) -> Oracle | None:
    """What answers will be compared with; None for an ONNX model that keeps its own inputs.

    `given` are the `examples` in the datatypes of the inputs, missing strings as None. InputError where a
    transform refuses them.
    """
    if features is None and model.kind != lightgbm.KIND:
        return None
    library = _LIBRARIES[model.kind](model)
    if features is None:
        columns = [given[tensor.name].astype(np.float64) for tensor in manifest.inputs]
        return Oracle(library, np.column_stack(columns), given, manifest)
    # A frame goes in as it is. What other forms mean (a matrix, nested lists) is settled by `given`.
    frame = given if isinstance(examples, (Mapping, np.ndarray)) else examples
    return Oracle(library, features.transform(frame, library.datatype), given, manifest)


class Oracle:
    """A library and the matrix to ask it about."""

    def __init__(self, library: _Library, matrix: Array, given: Arrays, manifest: Manifest) -> None:
        self._library = library
        self._matrix = matrix
        self._given = given
        self._manifest = manifest

    def compare(self, answers: Arrays, size: int, tolerance: Tolerance) -> None:
        """GoldenError where `answers`, given for `size` rows at a time, are not the library's own.

        LightGBM's must be equal to 1e-12, ONNX Runtime's to `tolerance`. NumPy has no BF16, so outputs of
        that type are left out.
        """
        outputs = [tensor for tensor in self._manifest.outputs if tensor.datatype != "BF16"]
        rows = len(self._matrix)
        batches = [self._matrix[start : start + size] for start in range(0, rows, size)]
        parts = [self._library.predict(batch, outputs) for batch in batches]
        allowed = _LIGHTGBM_TOLERANCE if self._manifest.model.kind == lightgbm.KIND else tolerance
        for tensor in outputs:
            found = [part[tensor.name] for part in parts]
            expected = found[0] if len(found) == 1 else np.concatenate(found)
            by_row = expected.shape[:1] == (rows,)
            difference = first_difference(tensor, expected, answers[tensor.name], allowed, by_row)
            if difference is not None:
                raise GoldenError(
                    f"{self._manifest.label}: {difference}. Expected is what {self._library.name} gives for "
                    f"the examples as they are, got is what the bundle answers.{self._hint()}"
                )

    def _hint(self) -> str:
        for tensor in self._manifest.inputs:
            if tensor.empty_is_missing and b"" in self._given[tensor.name].ravel().tolist():
                return (
                    f" The examples have empty strings in '{tensor.name}', which mean missing there, as "
                    f"training had none."
                )
        return ""


class _Lightgbm:
    """`Booster.predict`, with the options that the bundle has."""

    name = "LightGBM"
    datatype = "FP64"

    def __init__(self, model: PreparedModel) -> None:
        from lightgbm import Booster

        self._booster = Booster(model_str=model.content.decode())
        self._options = cast(lightgbm.Options, model.options)

    def predict(self, matrix: Array, outputs: Sequence[Tensor]) -> Arrays:
        answers: Any = self._booster.predict(
            matrix,
            start_iteration=self._options.start_iteration,
            num_iteration=self._options.num_iterations,
            raw_score=self._options.raw_score,
        )
        return {outputs[0].name: np.asarray(answers)}


class _OnnxRuntime:
    """An InferenceSession with the bundle's options, on those of its providers that are here."""

    name = "ONNX Runtime"

    def __init__(self, model: PreparedModel) -> None:
        import onnxruntime

        given = cast(onnx.Options, model.options)
        levels = onnxruntime.GraphOptimizationLevel
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors, which are raised as well
        options.intra_op_num_threads = given.intra_op_threads
        options.inter_op_num_threads = given.inter_op_threads
        options.graph_optimization_level = {
            "none": levels.ORT_DISABLE_ALL,
            "basic": levels.ORT_ENABLE_BASIC,
            "extended": levels.ORT_ENABLE_EXTENDED,
            "all": levels.ORT_ENABLE_ALL,
        }[given.optimization]
        names = {
            "cpu": "CPUExecutionProvider",
            "cuda": "CUDAExecutionProvider",
            "tensorrt": "TensorrtExecutionProvider",
        }
        here = onnxruntime.get_available_providers()
        providers = [names[each] for each in given.providers if names[each] in here]
        self._session = onnxruntime.InferenceSession(model.content, options, providers=providers)
        (self._input,) = self._session.get_inputs()
        self.datatype = {"tensor(double)": "FP64"}.get(self._input.type, "FP32")

    def predict(self, matrix: Array, outputs: Sequence[Tensor]) -> Arrays:
        names = [tensor.name for tensor in outputs]
        answers = self._session.run(names, {self._input.name: matrix}) if names else []
        return {name: _bytes(np.asarray(answer)) for name, answer in zip(names, answers, strict=True)}


_LIBRARIES: dict[str, Callable[[PreparedModel], _Library]] = {
    lightgbm.KIND: _Lightgbm,
    onnx.KIND: _OnnxRuntime,
}


def _bytes(array: Array) -> Array:
    """Strings as the wire has them; numbers as they are."""
    if array.dtype.kind not in "OU":
        return array
    return frames.objects_of([str(element).encode() for element in array.ravel().tolist()], array.shape)
