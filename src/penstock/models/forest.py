"""Forests of decision trees: XGBoost's models and scikit-learn's, as splits, leaves and a link.

The file (see tensor_file) holds the trees one after the other, as in ext/executor/forest.h:

- [trees]: `splits`, how many each has, its leaves being one more; `outputs`, what its leaves add to.
- [splits of all trees]: `features`; `thresholds`; `missing_left`; `left` and `right`, a split of the same
  tree or ~leaf; `covers`; `category_counts`, -1 where numbers are compared.
- `categories`: the members that go left, of one split after the other.
- [leaves of all trees]: `leaves`, [leaves, values]; `leaf_covers`. Without covers both are empty.
- `base`, [outputs]: where the sums begin.

They are I32, F64 and, of `missing_left`, BOOL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from penstock.errors import ModelError, StatusError
from penstock.models import forest_scikit_learn, forest_xgboost, tensor_file
from penstock.models.forest_facts import ForestFacts
from penstock.models.forest_trees import DTYPES, NUMERIC
from penstock.models.options import ModelOptions
from penstock.models.prepared import PreparedModel
from penstock.models.tensor_file import FILE, Array

if TYPE_CHECKING:
    from penstock._core import Executor

KIND: Literal["forest"] = "forest"
_FORMAT = 1
_WHAT = "forest"

Link = Literal["identity", "sigmoid", "softmax", "exponential", "hinge"]  # ext/executor/forest.h


class Options(ModelOptions):
    """How the model is fed."""

    datatype: Literal["FP64", "FP32"] = "FP64"  # of the features


class Description(tensor_file.Description):
    """What the file says beside its numbers."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: Literal["forest"] = KIND
    format: Annotated[int, Field(ge=1, le=_FORMAT)] = _FORMAT
    origin: str  # the library that grew the trees
    estimator: str  # the class that was fitted, or the objective that it was trained for
    link: Link
    scale: float = 1.0  # of the sums, before a sigmoid
    divisor: Annotated[float, Field(gt=0)] = 1.0  # of the sums, before the link
    single_precision: bool  # what comes is rounded to it before it is compared


def recognizes(content: bytes) -> bool:
    """Whether these bytes look like a forest's file or XGBoost's. Ask before ONNX, whose mark is one byte."""
    return tensor_file.kind_of(content) == KIND or forest_xgboost.recognizes(content)


def prepare(model: object, options: dict[str, Any]) -> PreparedModel | None:
    """None when `model` is none of the forests here. ModelError when it is, but cannot be served."""
    name = type(model).__name__
    source = forest_xgboost.source_of(model)
    if source is not None:
        return _prepare_xgboost(source, f"the {name}", options)
    fitted = forest_scikit_learn.fitted(model)
    if fitted is None:
        return None
    names, named = tensor_file.feature_names(model, fitted.features)
    description = Description(
        origin="scikit-learn",
        estimator=name,
        link=fitted.link,  # type: ignore[arg-type]
        scale=fitted.scale,
        divisor=fitted.divisor,
        single_precision=fitted.single_precision,
        classes=fitted.classes,
        feature_names=names,
        named=named,
    )
    content = tensor_file.write(description, {**fitted.trees.arrays(), "base": fitted.base})
    return _prepared(content, f"the {name}", options, model)


def prepare_file(content: bytes, source: str, options: dict[str, Any]) -> PreparedModel:
    """XGBoost's own file, or one that `prepare` made for an earlier bundle. ModelError when it is damaged."""
    if not forest_xgboost.recognizes(content):
        return _prepared(content, source, options, None)
    return _prepare_xgboost(forest_xgboost.source_of_file(content, source), source, options)


def load(path: str, options: ModelOptions) -> Executor:
    """An executor of the file's trees."""
    from penstock._core import Executor

    assert isinstance(options, Options)
    description, arrays = _read(tensor_file.read_bytes(path), FILE)
    try:
        return Executor.forest(
            arrays,
            features=len(description.feature_names),
            link=description.link,
            scale=description.scale,
            divisor=description.divisor,
            single_precision=description.single_precision,
            dtype=options.datatype,
            origin=description.origin,
        )
    except StatusError as error:
        raise ModelError(f"{FILE} cannot be served: {error}.") from error


def facts(content: bytes) -> ForestFacts:
    """What the file says of its trees. ModelError where it is malformed."""
    description, arrays = _read(content, FILE)
    return ForestFacts(
        origin=description.origin,
        objective=description.estimator,
        link=description.link,
        trees=len(arrays["splits"]),
        leaves=int(arrays["splits"].max(initial=0)) + 1,
        features=len(description.feature_names),
        outputs=len(arrays["base"]),
    )


def _prepare_xgboost(model: forest_xgboost.Source, source: str, options: dict[str, Any]) -> PreparedModel:
    learner = forest_xgboost.Learner(model, source)
    description = Description(
        origin="XGBoost",
        estimator=learner.objective,
        link=learner.link,  # type: ignore[arg-type]
        single_precision=True,
        classes=learner.classes,
        feature_names=learner.feature_names,
        named=learner.named,
    )
    made = tensor_file.write(description, {**learner.trees.arrays(), "base": learner.base})
    return _prepared(made, source, options, model)


def _prepared(content: bytes, source: str, options: dict[str, Any], estimator: object) -> PreparedModel:
    description, _ = _read(content, source)
    return tensor_file.prepared(content, description, Options.of(options, "forest"), estimator)


def _read(content: bytes, source: str) -> tuple[Description, dict[str, Array]]:
    """Nothing of the file is trusted: types and sizes are checked here, what they say by the executor."""
    description, arrays = tensor_file.read(content, source, Description, _WHAT)
    for name, dtype in (*DTYPES.items(), ("base", np.dtype(np.float64))):
        array = arrays.get(name)
        rank = 2 if name == "leaves" else 1
        if array is None or array.dtype != dtype or array.ndim != rank:
            got = "none" if array is None else f"{array.dtype} {list(array.shape)}"
            raise ModelError(f"{source} is malformed: {name!r} is {got}; {dtype} of rank {rank} is expected.")
    extra = sorted(set(arrays) - set(DTYPES) - {"base"})
    if extra:
        raise ModelError(f"{source} holds {extra[0]!r}, which is no part of a forest.")
    for name, (size, allowed) in _sizes(arrays).items():
        if size not in allowed:
            wanted = " or ".join(map(str, sorted(allowed)))
            raise ModelError(f"{source} is malformed: {name} is {size}; {wanted} is expected.")
    return description, arrays


def _sizes(arrays: Mapping[str, Array]) -> dict[str, tuple[int, set[int]]]:
    """What each size is and may be."""
    trees = len(arrays["splits"])
    splits = int(arrays["splits"].sum(dtype=np.int64))
    counts = arrays["category_counts"]
    sizes = {
        "the smallest of 'splits'": (int(min(arrays["splits"].min(initial=0), 0)), {0}),
        "the smallest of 'category_counts'": (int(min(counts.min(initial=0), NUMERIC)), {NUMERIC}),
        "the size of 'outputs'": (len(arrays["outputs"]), {trees}),
        "the size of 'categories'": (
            len(arrays["categories"]),
            {int(counts[counts > 0].sum(dtype=np.int64))},
        ),
        "the size of 'leaves'": (len(arrays["leaves"]), {splits + trees}),
        "the values of a leaf": (arrays["leaves"].shape[1], {1, len(arrays["base"])}),
    }
    for name in ("features", "thresholds", "missing_left", "left", "right", "category_counts"):
        sizes[f"the size of {name!r}"] = (len(arrays[name]), {splits})
    has_covers = len(arrays["leaf_covers"]) > 0
    sizes["the size of 'covers'"] = (len(arrays["covers"]), {splits if has_covers else 0})
    sizes["the size of 'leaf_covers'"] = (len(arrays["leaf_covers"]), {0, splits + trees})
    return sizes
