"""The models that a bundle can hold.

`prepare` turns what a user hands to `penstock.build` into the model's file; `load_executor` turns that
file into an executor. One module a kind: `lightgbm`, `forest`, `linear`, `onnx`. A new kind is a module with
`KIND`, `Options`, `recognizes`, `prepare`, `prepare_file` and `load`, entered in `_KINDS`, and a model class
in penstock.bundle.manifest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from penstock.errors import ModelError, NotFoundError
from penstock.models import forest, forest_scikit_learn, lightgbm, linear, onnx
from penstock.models.forest_facts import ForestFacts
from penstock.models.options import ModelOptions
from penstock.models.prepared import PreparedModel

if TYPE_CHECKING:
    from penstock._core import Executor

__all__ = ["MATRIX_KINDS", "ForestFacts", "PreparedModel", "forest_facts", "load_executor", "prepare"]

# Models of one matrix whose columns have names: what callers send are the columns. An ONNX model has inputs
# of its own.
MATRIX_KINDS = frozenset({lightgbm.KIND, forest.KIND, linear.KIND})
_ACCEPTED = (
    "a LightGBM Booster or its text file, an XGBoost Booster, estimator or file, a fitted forest or linear "
    "estimator of scikit-learn, an ONNX file, its bytes or a ModelProto"
)


class _Kind(Protocol):
    """What each kind's module offers."""

    def recognizes(self, content: bytes) -> bool: ...
    def prepare(self, model: object, options: dict[str, Any]) -> PreparedModel | None: ...
    def prepare_file(self, content: bytes, source: str, options: dict[str, Any]) -> PreparedModel: ...
    def load(self, path: str, options: ModelOptions) -> Executor: ...


# In the order in which a file is shown to them: the mark of ONNX is one byte, which others may begin with.
_KINDS: dict[str, _Kind] = {
    lightgbm.KIND: lightgbm,
    forest.KIND: forest,
    linear.KIND: linear,
    onnx.KIND: onnx,
}


def prepare(model: object, options: Mapping[str, Any] | None = None) -> PreparedModel:
    """The file, kind, options and feature names of `model`; `options` are those of its kind (`Options`
    of its module).

    Raises ModelError for what is no model, or of a kind that cannot be served; NotFoundError for a path
    that is none.
    """
    given = dict(options or {})
    if isinstance(model, (str, os.PathLike)):
        return _prepare_path(Path(model), given)
    if isinstance(model, (bytes, bytearray, memoryview)):
        return _prepare_bytes(bytes(model), "the bytes given as model", given)
    for module in _KINDS.values():
        prepared = module.prepare(model, given)
        if prepared is not None:
            return prepared
    kind = type(model)
    if any(base.__module__.split(".")[0] == "sklearn" for base in kind.__mro__):
        raise ModelError(
            f"A scikit-learn {kind.__name__} cannot be put in a bundle as it is. Convert it with "
            f"skl2onnx.to_onnx and pass the result; or train a LightGBM or XGBoost model or one of "
            f"{', '.join((*linear.ESTIMATORS, *forest_scikit_learn.ESTIMATORS))}, alone or as the last step "
            f"of a Pipeline."
        )
    raise ModelError(f"model is a {kind.__module__}.{kind.__qualname__}. Expected {_ACCEPTED}.")


def load_executor(kind: str, path: str, options: ModelOptions) -> Executor:
    """The executor of a model file that `prepare` made.

    ModelError, with the library's words, when it does not load.
    """
    return _KINDS[kind].load(path, options)


def forest_facts(kind: str, read: Callable[[], bytes], options: ModelOptions) -> ForestFacts | None:
    """What a model file that `prepare` made says of its trees; None where it is no forest, and is not read.
    ModelError where it is damaged.
    """
    if kind == lightgbm.KIND:
        return lightgbm.facts(read(), options)
    return forest.facts(read()) if kind == forest.KIND else None


def _prepare_path(path: Path, options: dict[str, Any]) -> PreparedModel:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no model file {path}. Expected {_ACCEPTED}.") from error
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror}.") from error
    return _prepare_bytes(content, str(path), options)


def _prepare_bytes(content: bytes, source: str, options: dict[str, Any]) -> PreparedModel:
    for module in _KINDS.values():
        if module.recognizes(content):
            return module.prepare_file(content, source, options)
    raise ModelError(
        f"{source} holds neither a LightGBM text model nor an XGBoost model nor an ONNX model, and is no "
        f"file of a bundle's forest or linear model. Expected {_ACCEPTED}."
    )
