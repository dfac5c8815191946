"""Linear models: fitted linear estimators of scikit-learn, as coefficients, intercepts and a link.

The file (see tensor_file) holds `coefficients`, F64 [outputs, features], and `intercepts`, F64
[outputs].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

import numpy as np
from pydantic import Field, model_validator

from penstock.errors import ModelError, StatusError
from penstock.models import tensor_file
from penstock.models.options import ModelOptions
from penstock.models.prepared import PreparedModel
from penstock.models.tensor_file import FILE, Array

if TYPE_CHECKING:
    from penstock._core import Executor

KIND: Literal["linear"] = "linear"
_FORMAT = 1

Link = Literal["identity", "log", "logistic", "softmax", "one_versus_rest"]  # ext/executor/linear.h


class Options(ModelOptions):
    """How the model is fed."""

    datatype: Literal["FP64", "FP32"] = "FP64"  # of the features; the sums are FP64 with either


class Description(tensor_file.Description):
    """What the file says beside its numbers."""

    kind: Literal["linear"] = KIND
    format: Annotated[int, Field(ge=1, le=_FORMAT)] = _FORMAT
    link: Link

    @model_validator(mode="after")
    def _classes_are_of_classifiers(self) -> Self:
        if (self.classes is None) != (self.link in ("identity", "log")):
            state = "none" if self.classes is None else f"{len(self.classes)}"
            raise ValueError(f"the link is {self.link!r} and there are {state} classes")
        return self


def recognizes(content: bytes) -> bool:
    """Whether these bytes look like a linear model's file. Ask before ONNX, whose mark is one byte."""
    return tensor_file.kind_of(content) == KIND


def prepare(model: object, options: dict[str, Any]) -> PreparedModel | None:
    """None when `model` is none of the estimators here. ModelError when it is, but cannot be served.

    A class derived from one of them is none of them: it may predict in another way.
    """
    kind = type(model)
    link_of = _ESTIMATORS.get(kind.__name__)
    if link_of is None or not kind.__module__.startswith("sklearn.linear_model."):
        return None
    estimator = cast(Any, model)
    if not hasattr(estimator, "coef_"):
        raise ModelError(f"The {kind.__name__} is not fitted. Call fit before penstock.build.")
    link = link_of(estimator)
    found = estimator.coef_
    dense = found.toarray() if hasattr(found, "toarray") else found  # after sparsify()
    coefficients = np.atleast_2d(np.array(dense, np.float64, order="C"))
    intercepts = np.array(np.broadcast_to(estimator.intercept_, len(coefficients)), np.float64)
    names, named = tensor_file.feature_names(estimator, coefficients.shape[1])
    description = Description(
        link=link,
        estimator=f"sklearn.linear_model.{kind.__name__}",
        classes=None if link in ("identity", "log") else tensor_file.labels(estimator.classes_),
        feature_names=names,
        named=named,
    )
    tensors = {"coefficients": coefficients, "intercepts": intercepts}
    content = tensor_file.write(description, tensors)
    return _prepared(content, f"the {kind.__name__}", options, estimator)


def prepare_file(content: bytes, source: str, options: dict[str, Any]) -> PreparedModel:
    """A file that `prepare` made for an earlier bundle. ModelError when it is damaged."""
    return _prepared(content, source, options, None)


def load(path: str, options: ModelOptions) -> Executor:
    """An executor of the file's numbers."""
    return read(path).executor(options)


@dataclass(frozen=True)
class LinearModel:
    """What the file holds. `coefficients`: FP64 [outputs, features], `intercepts`: FP64 [outputs]."""

    description: Description
    coefficients: Array
    intercepts: Array

    def executor(self, options: ModelOptions, coefficients: Array | None = None) -> Executor:
        """An executor; of other `coefficients`, where other features stand for the model's."""
        from penstock._core import Executor

        assert isinstance(options, Options)
        used = self.coefficients if coefficients is None else coefficients
        try:
            return Executor.linear(used, self.intercepts, link=self.description.link, dtype=options.datatype)
        except StatusError as error:
            raise ModelError(f"{FILE} cannot be served: {error}.") from error


def read(path: str) -> LinearModel:
    """The file of a bundle."""
    return LinearModel(*_read(tensor_file.read_bytes(path), FILE))


def _prepared(content: bytes, source: str, options: dict[str, Any], estimator: object) -> PreparedModel:
    description, _, _ = _read(content, source)
    return tensor_file.prepared(content, description, Options.of(options, "linear"), estimator)


def _read(content: bytes, source: str) -> tuple[Description, Array, Array]:
    """Nothing of the file is trusted; that its numbers are finite, the executor checks."""
    description, tensors = tensor_file.read(content, source, Description, "linear model")
    coefficients = _tensor(tensors, "coefficients", 2, source)
    intercepts = _tensor(tensors, "intercepts", 1, source)
    if tensors:
        raise ModelError(f"{source} holds {min(tensors)!r}, which is no part of a linear model.")
    outputs, width = coefficients.shape
    if len(intercepts) != outputs or len(description.feature_names) != width:
        raise ModelError(
            f"{source} is malformed: coefficients have the shape [{outputs}, {width}], for "
            f"{len(description.feature_names)} feature names and {len(intercepts)} intercepts."
        )
    classes = description.classes
    if classes is not None and len(classes) != (2 if description.link == "logistic" else outputs):
        raise ModelError(
            f"{source} is malformed: its link is {description.link!r}, and it has {outputs} rows of "
            f"coefficients for {len(classes)} classes."
        )
    return description, coefficients, intercepts


def _tensor(tensors: dict[str, Array], name: str, rank: int, source: str) -> Array:
    array = tensors.pop(name, None)
    if array is None or array.dtype != np.float64 or array.ndim != rank:
        got = "none" if array is None else f"{array.dtype} {list(array.shape)}"
        shape = "[outputs, features]" if rank == 2 else "[outputs]"
        raise ModelError(f"{source} is malformed: {name!r} is {got}; F64 {shape} is expected.")
    return array


def _identity(_: Any) -> Link:
    return "identity"


def _log(_: Any) -> Link:
    return "log"


def _tweedie(estimator: Any) -> Link:
    # https://scikit-learn.org/stable/modules/generated/sklearn.linear_model.TweedieRegressor.html, link
    if estimator.link == "auto":
        return "log" if estimator.power > 0 else "identity"
    return cast(Link, estimator.link)


def _logistic_regression(estimator: Any) -> Link:
    # Until 1.7 scikit-learn had multi_class, and liblinear fitted several classes one versus rest.
    strategy = getattr(estimator, "multi_class", "auto")
    if len(estimator.classes_) > 2:
        return "one_versus_rest" if strategy == "ovr" or estimator.solver == "liblinear" else "softmax"
    if strategy == "multinomial":
        raise ModelError(
            f"The {type(estimator).__name__} was fitted with multi_class='multinomial' on two classes, which "
            f"takes another formula. Fit it without multi_class."
        )
    return "logistic"


def _sgd_classifier(estimator: Any) -> Link:
    if estimator.loss != "log_loss":
        raise ModelError(
            f"An SGDClassifier(loss={estimator.loss!r}) cannot be served as a linear model: it has no "
            f"probabilities, or by another formula. Train it with loss='log_loss'; or convert it with "
            f"skl2onnx.to_onnx and pass the result."
        )
    return "one_versus_rest" if len(estimator.classes_) > 2 else "logistic"


_ESTIMATORS: dict[str, Callable[[Any], Link]] = {
    "LogisticRegression": _logistic_regression,
    "LogisticRegressionCV": _logistic_regression,
    "SGDClassifier": _sgd_classifier,
    "LinearRegression": _identity,
    "Ridge": _identity,
    "RidgeCV": _identity,
    "Lasso": _identity,
    "LassoCV": _identity,
    "ElasticNet": _identity,
    "ElasticNetCV": _identity,
    "SGDRegressor": _identity,
    "PoissonRegressor": _log,
    "GammaRegressor": _log,
    "TweedieRegressor": _tweedie,
}
ESTIMATORS = tuple(_ESTIMATORS)  # for messages and the documentation
