"""scikit-learn's trees and forests of trees, by the arrays that fit left: `tree_`, and of histogram gradient
boosting its `nodes`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from penstock.errors import ModelError
from penstock.models import tensor_file
from penstock.models.forest_trees import Nodes, Trees
from penstock.models.tensor_file import Array, Label

_MOST_CATEGORIES = 256  # of histogram gradient boosting: as many as its bitsets have bits


@dataclass(frozen=True)
class Fitted:
    """What an estimator holds, in the forest's terms."""

    trees: Trees
    features: int
    outputs: int
    base: Array
    link: str
    scale: float
    divisor: float
    single_precision: bool  # of what is compared
    classes: tuple[Label, ...] | None


def fitted(model: object) -> Fitted | None:
    """None when `model` is none of the estimators here. ModelError when it is, but cannot be served.

    A class derived from one of them is none of them: it may predict in another way.
    """
    kind = type(model)
    read = _ESTIMATORS.get(kind.__name__)
    if read is None or not kind.__module__.startswith(("sklearn.ensemble.", "sklearn.tree.")):
        return None
    if not hasattr(model, "n_features_in_"):
        raise ModelError(f"The {kind.__name__} is not fitted. Call fit before penstock.build.")
    try:
        return read(cast(Any, model))
    except ValueError as error:
        raise ModelError(f"A tree of the {kind.__name__} cannot be read: it {error}.") from error


def encoder_and_trees(model: object) -> tuple[object, object] | None:
    """Histogram gradient boosting on categories that a forest cannot hold, words say, as two: the encoder of
    codes that it has inside, a ColumnTransformer, and the estimator behind that. None for any other model.
    """
    name = type(model).__name__
    booster = cast(Any, model)
    if _ESTIMATORS.get(name) is not _histogram or getattr(booster, "is_categorical_", None) is None:
        return None
    if booster._preprocessor is None or all(map(_are_whole, _categories(booster))):
        return None
    from sklearn.preprocessing import FunctionTransformer

    encoder = copy.copy(booster._preprocessor)
    encoder.verbose_feature_names_out = False
    # Beside the categories it only checks numbers, by a function that no other than scikit-learn has.
    numbers = FunctionTransformer(feature_names_out="one-to-one")
    numbers.n_features_in_ = int(np.sum(~booster.is_categorical_))
    if hasattr(booster, "feature_names_in_"):
        numbers.feature_names_in_ = booster.feature_names_in_[~booster.is_categorical_]
    encoder.transformers_ = [
        (part, step if part == "encoder" else numbers, columns)
        for part, step, columns in encoder.transformers_
        if part in ("encoder", "numerical")
    ]
    trees = copy.copy(booster)
    trees._preprocessor = None
    trees.is_categorical_ = booster._is_categorical_remapped
    vars(trees).pop("feature_names_in_", None)  # which are of what goes into the encoder
    return encoder, trees


def _averaged(forest: Any) -> Fitted:
    """The mean of what the trees say: of values, or of each class's share."""
    return _mean_of(forest, [tree.tree_ for tree in forest.estimators_])


def _single(tree: Any) -> Fitted:
    return _mean_of(tree, [tree.tree_])


def _mean_of(estimator: Any, members: list[Any]) -> Fitted:
    classes = None
    if hasattr(estimator, "classes_"):
        if estimator.n_outputs_ != 1:
            raise ModelError(
                f"The {type(estimator).__name__} was fitted on {estimator.n_outputs_} targets, whose "
                f"probabilities are no one table. Fit one classifier a target."
            )
        classes = _classes(estimator)
    # The share of the second of two classes stands for both.
    take = np.s_[:, :, 0] if classes is None else np.s_[:, 0, 1:] if len(classes) == 2 else np.s_[:, 0, :]
    outputs = members[0].value[take].shape[1]
    trees = Trees(outputs)
    for member in members:
        trees.add(_nodes(member, member.value[take]), 0)
    return Fitted(
        trees=trees,
        features=int(estimator.n_features_in_),
        outputs=outputs,
        base=np.zeros(outputs),
        link="identity",
        scale=1.0,
        divisor=float(len(members)),
        single_precision=True,
        classes=classes,
    )


def _boosted(booster: Any) -> Fitted:
    """Gradient boosting: steps of `learning_rate`, from what `init` says."""
    name = type(booster).__name__
    link, scale, classes = "identity", 1.0, None
    if hasattr(booster, "classes_"):
        classes = _classes(booster)
        link = "sigmoid" if len(classes) == 2 else "softmax"
        scale = 2.0 if booster.loss == "exponential" else 1.0  # half the log-odds
    trees = Trees(1)
    for step in booster.estimators_:
        for output, regressor in enumerate(step):
            tree = regressor.tree_
            trees.add(_nodes(tree, booster.learning_rate * tree.value[:, 0, :]), output)
    return Fitted(
        trees=trees,
        features=int(booster.n_features_in_),
        outputs=booster.estimators_.shape[1],
        base=_start(booster, name),
        link=link,
        scale=scale,
        divisor=1.0,
        single_precision=True,
        classes=classes,
    )


def _start(booster: Any, name: str) -> Array:
    """The sums before the first tree, the same for every row."""
    init = booster.init_
    constant = isinstance(init, str) or (
        type(init).__module__ == "sklearn.dummy" and getattr(init, "strategy", "") != "stratified"
    )
    if not constant:
        raise ModelError(
            f"The {name} begins with a {type(init).__name__}, a model of its own. Fit it with init='zero' or "
            f"the default."
        )
    # No public attribute says it: decision_function adds the trees.
    zeros = np.zeros((1, booster.n_features_in_), np.float32)
    return np.array(booster._raw_predict_init(zeros)[0], np.float64)


def _nodes(tree: Any, values: Array) -> Nodes:
    return Nodes(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        missing_left=np.asarray(tree.missing_go_to_left, bool),
        values=values,
        covers=tree.weighted_n_node_samples,
    )


def _histogram(booster: Any) -> Fitted:
    """Histogram gradient boosting."""
    name = type(booster).__name__
    classes = _classes(booster) if hasattr(booster, "classes_") else None
    link = _HISTOGRAM_LINKS.get(booster.loss) if isinstance(booster.loss, str) else None
    if link is None:
        raise ModelError(
            f"A {name}(loss={booster.loss!r}) cannot be served: its link is not known here. Fit it with one "
            f"of {', '.join(_HISTOGRAM_LINKS)}."
        )
    if classes is not None and len(classes) > 2:
        link = "softmax"
    columns, known = _columns(booster, name)
    trees = Trees(1)
    for step in booster._predictors:
        for output, predictor in enumerate(step):
            trees.add(_histogram_nodes(predictor, columns, known), output)
    base = np.asarray(booster._baseline_prediction, np.float64).ravel()
    return Fitted(
        trees=trees,
        features=int(booster.n_features_in_),
        outputs=len(base),
        base=base,
        link=link,
        scale=1.0,
        divisor=1.0,
        single_precision=False,
        classes=classes,
    )


_HISTOGRAM_LINKS = {
    "squared_error": "identity",
    "absolute_error": "identity",
    "quantile": "identity",
    "poisson": "exponential",
    "gamma": "exponential",
    "log_loss": "sigmoid",
}


def _columns(booster: Any, name: str) -> tuple[Array, dict[int, Array]]:
    """The column of each of the trees' features, which has categories first, and the known categories of
    those columns, as callers send them, in the order of their codes.
    """
    width = int(booster.n_features_in_)
    if booster.is_categorical_ is None:
        return np.arange(width), {}
    categorical = np.asarray(booster.is_categorical_, bool)
    if booster._preprocessor is None:  # of encoder_and_trees: the codes are the categories
        thresholds = booster._bin_mapper.bin_thresholds_
        known = {int(column): np.arange(len(thresholds[column])) for column in np.flatnonzero(categorical)}
        return np.arange(width), known
    columns = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    known = {}
    for column, values in zip(columns.tolist(), _categories(booster), strict=False):
        if not _are_whole(values):
            names, _ = tensor_file.feature_names(booster, width)
            shown = ", ".join(repr(value) for value in values[:3].tolist())
            raise ModelError(
                f"The {name} has categories in '{names[column]}' that are no whole numbers from 0 up: "
                f"{shown}. Without features= it brings their encoder along. With features=, fit it on what "
                f"they give, where penstock.transforms.Ordinal makes the categories."
            )
        known[column] = values.astype(np.int64)
    return columns, known


def _categories(booster: Any) -> list[Array]:
    """Of each categorical column, in the order of their codes; missing ones, which are last, have none."""
    found = booster._preprocessor.named_transformers_["encoder"].categories_
    return [values[: len(values) - _is_missing(values[-1])] for values in found]


def _is_missing(value: object) -> bool:
    return value is None or value != value


def _are_whole(values: Array) -> bool:
    if values.dtype.kind not in "biuf":
        return False
    return bool(np.all((values >= 0) & (values < 2**31) & (values == np.floor(values))))


def _histogram_nodes(predictor: Any, columns: Array, known: Mapping[int, Array]) -> Nodes:
    """An unknown category goes where missing ones go. Sets say who goes left, so where these go left,
    the children change sides, and the set is that of the known ones which go right.
    """
    nodes = predictor.nodes
    is_leaf = nodes["is_leaf"].astype(bool)
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    left[is_leaf] = -1
    feature = columns[nodes["feature_idx"]]
    missing_left = nodes["missing_go_to_left"].astype(bool)
    sets = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~is_leaf):
        categories = known[int(feature[node])]
        words = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]].astype("<u4")
        goes_left = np.unpackbits(words.view(np.uint8), bitorder="little", count=_MOST_CATEGORIES)
        goes_left = goes_left[: len(categories)].astype(bool)
        if missing_left[node]:
            left[node], right[node] = right[node], left[node]
            goes_left = ~goes_left
        sets[int(node)] = categories[goes_left]
        missing_left[node] = False
    return Nodes(
        left=left,
        right=right,
        feature=feature,
        threshold=nodes["num_threshold"],
        missing_left=missing_left,
        values=nodes["value"][:, None],
        covers=nodes["count"],
        categories=sets,
    )


def _classes(estimator: Any) -> tuple[Label, ...]:
    found = tensor_file.labels(estimator.classes_)
    if len(found) < 2:
        raise ModelError(
            f"The {type(estimator).__name__} was fitted on one class, {found[0]!r}: there is nothing to "
            f"predict."
        )
    return found


_ESTIMATORS: dict[str, Callable[[Any], Fitted]] = {
    "RandomForestClassifier": _averaged,
    "RandomForestRegressor": _averaged,
    "ExtraTreesClassifier": _averaged,
    "ExtraTreesRegressor": _averaged,
    "GradientBoostingClassifier": _boosted,
    "GradientBoostingRegressor": _boosted,
    "HistGradientBoostingClassifier": _histogram,
    "HistGradientBoostingRegressor": _histogram,
    "DecisionTreeClassifier": _single,
    "DecisionTreeRegressor": _single,
    "ExtraTreeClassifier": _single,
    "ExtraTreeRegressor": _single,
}
ESTIMATORS = tuple(_ESTIMATORS)  # for messages, tests and the documentation
