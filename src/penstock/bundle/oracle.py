"""The oracle of a build: what the model's own library answers, for the compiled path to be held against.

It shares nothing with that path but the fitted transforms: the Booster of lightgbm or xgboost, onnxruntime's
InferenceSession or the fitted estimator itself run the model here, on the features of the examples as they
were given.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from penstock import frames
from penstock.bundle.examples import DTYPES, Array, Arrays
from penstock.bundle.golden import first_difference
from penstock.bundle.manifest import Manifest, Tensor, Tolerance
from penstock.errors import GoldenError, InputError
from penstock.models import MATRIX_KINDS, PreparedModel, forest, forest_xgboost, lightgbm, linear, onnx
from penstock.transforms import Features


class _Library(Protocol):
    name: str
    datatype: str  # of the matrix that it takes

    def predict(self, matrix: Array, outputs: Sequence[Tensor]) -> Arrays: ...

    def tolerance(self, given: Tolerance, expected: Array) -> Tolerance:
        """How far an answer may be from `expected`, of the tolerance that the bundle was given."""
        return given


def oracle_of(
    model: PreparedModel, features: Features | None, examples: object, given: Arrays, manifest: Manifest
) -> Oracle | None:
    """What answers will be compared with; None for an ONNX model that keeps its own inputs, for a file of a
    linear model or forest, which no other library runs, and for XGBoost's where xgboost is not installed.

    `given` are the `examples` in the datatypes of the inputs, missing strings as None. InputError where a
    transform refuses them.
    """
    if features is None and model.kind not in MATRIX_KINDS:
        return None
    if model.kind in (forest.KIND, linear.KIND) and model.estimator is None:
        return None
    from_xgboost = isinstance(model.estimator, forest_xgboost.Source)
    if from_xgboost and importlib.util.find_spec("xgboost") is None:
        return None
    library = _LIBRARIES[model.kind](model)
    if features is None:
        columns = [given[tensor.name].astype(DTYPES[library.datatype]) for tensor in manifest.inputs]
        return Oracle(library, np.column_stack(columns), given, manifest)
    # A frame goes in as it is. What other forms mean (a matrix, nested lists) is settled by `given`.
    frame = given if isinstance(examples, (Mapping, np.ndarray)) else examples
    return Oracle(library, features.transform(frame, library.datatype, as_sent=False), given, manifest)


class Oracle:
    """A library and the matrix to ask it about."""

    def __init__(self, library: _Library, matrix: Array, given: Arrays, manifest: Manifest) -> None:
        self._library = library
        self._matrix = matrix
        self._given = given
        self._manifest = manifest

    def compare(self, answers: Arrays, size: int, tolerance: Tolerance) -> None:
        """GoldenError where `answers`, given for `size` rows at a time, are not the library's own.

        LightGBM's must be equal to 1e-12, XGBoost's as closely as single precision can say, those of others
        to `tolerance`. NumPy has no BF16, so outputs of that type are left out. InputError where the library
        refuses the examples.
        """
        outputs = [tensor for tensor in self._manifest.outputs if tensor.datatype != "BF16"]
        rows = len(self._matrix)
        batches = [self._matrix[start : start + size] for start in range(0, rows, size)]
        parts = [self._library.predict(batch, outputs) for batch in batches]
        for tensor in outputs:
            found = [part[tensor.name] for part in parts]
            expected = found[0] if len(found) == 1 else np.concatenate(found)
            by_row = expected.shape[:1] == (rows,)
            allowed = self._library.tolerance(tolerance, expected)
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


class _Lightgbm(_Library):
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

    def tolerance(self, given: Tolerance, expected: Array) -> Tolerance:
        # It adds the same numbers in the same order, whoever calls it.
        return Tolerance(absolute=0.0, relative=1e-12)


class _XGBoost(_Library):
    """`Booster.predict`, up to the round that the bundle uses; probabilities where it would give a class."""

    name = "XGBoost"

    def __init__(self, model: PreparedModel) -> None:
        import xgboost

        self.datatype = cast(forest.Options, model.options).datatype
        source = cast(forest_xgboost.Source, model.estimator)
        self._rounds = source.rounds
        self._booster = xgboost.Booster({"nthread": 1})
        self._booster.load_model(bytearray(source.content))
        # The one that gives a class is otherwise the same.
        if json.loads(self._booster.save_config())["learner"]["objective"]["name"] == "multi:softmax":
            self._booster.set_param({"objective": "multi:softprob"})

    def predict(self, matrix: Array, outputs: Sequence[Tensor]) -> Arrays:
        import xgboost

        booster = self._booster
        try:
            given = xgboost.DMatrix(
                matrix,
                feature_names=booster.feature_names,
                feature_types=booster.feature_types,
                enable_categorical=True,
            )
            answers = booster.predict(given, iteration_range=(0, self._rounds or 0))
        except ValueError as error:  # XGBoostError is one
            reason = str(error).splitlines()[0]
            raise InputError(f"XGBoost refuses the features of the examples: {reason}") from error
        return {outputs[0].name: np.asarray(answers, np.float64)}

    def tolerance(self, given: Tolerance, expected: Array) -> Tolerance:
        # It adds in single precision: a sum is off by some roundings of the largest number on the way.
        largest = float(np.max(np.abs(expected), initial=0, where=np.isfinite(expected)))
        return Tolerance(absolute=max(given.absolute, 1e-6 * largest), relative=max(given.relative, 1e-5))


class _OnnxRuntime(_Library):
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


class _ScikitLearn(_Library):
    """The fitted estimator: the second of two classes' probabilities, all of more, or `predict`."""

    name = "scikit-learn"

    def __init__(self, model: PreparedModel) -> None:
        self._estimator = cast(Any, model.estimator)
        self.datatype = cast(linear.Options | forest.Options, model.options).datatype

    def predict(self, matrix: Array, outputs: Sequence[Tensor]) -> Arrays:
        # From FP32 it would compute in FP32, where the bundle does not.
        features = matrix.astype(np.float64)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="X does not have valid feature names")
                if hasattr(self._estimator, "classes_"):
                    answers = self._estimator.predict_proba(features)
                    if answers.shape[1] == 2:
                        answers = answers[:, 1]
                else:
                    answers = self._estimator.predict(features)
        except ValueError as error:
            reason = str(error).splitlines()[0].rstrip(".")
            hint = " Put an Impute among the features." if "NaN" in reason else ""
            raise InputError(
                f"{type(self._estimator).__name__} refuses the features of the examples: {reason}.{hint}"
            ) from error
        shape = [size if size >= 0 else len(matrix) for size in outputs[0].shape]
        return {outputs[0].name: np.asarray(answers, np.float64).reshape(shape)}


def _of_forest(model: PreparedModel) -> _Library:
    from_xgboost = isinstance(model.estimator, forest_xgboost.Source)
    return _XGBoost(model) if from_xgboost else _ScikitLearn(model)


_LIBRARIES: dict[str, Callable[[PreparedModel], _Library]] = {
    lightgbm.KIND: _Lightgbm,
    forest.KIND: _of_forest,
    linear.KIND: _ScikitLearn,
    onnx.KIND: _OnnxRuntime,
}


def _bytes(array: Array) -> Array:
    """Strings as the wire has them; numbers as they are."""
    if array.dtype.kind not in "OU":
        return array
    return frames.objects_of([str(element).encode() for element in array.ravel().tolist()], array.shape)
