"""XGBoost's models: a Booster, an estimator of xgboost's, or a file of either, JSON or UBJSON.

The format is XGBoost's own, https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html; the schema
stands in its doc/model.schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from penstock.errors import ModelError
from penstock.models import tensor_file, ubjson
from penstock.models.forest_trees import Nodes, Trees
from penstock.models.tensor_file import Array, Label

# Of the prediction's link, by objective (PredTransform of XGBoost's src/objective).
_LINKS = {
    **dict.fromkeys(
        (
            "reg:squarederror",
            "reg:linear",
            "reg:squaredlogerror",
            "reg:pseudohubererror",
            "reg:absoluteerror",
            "reg:quantileerror",
            "binary:logitraw",
            "rank:pairwise",
            "rank:ndcg",
            "rank:map",
        ),
        "identity",
    ),
    **dict.fromkeys(("reg:logistic", "binary:logistic"), "sigmoid"),
    **dict.fromkeys(
        ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"), "exponential"
    ),
    **dict.fromkeys(("multi:softprob", "multi:softmax"), "softmax"),
    "binary:hinge": "hinge",
}
OBJECTIVES = tuple(sorted(_LINKS))  # for messages, tests and the documentation
# base_score is a prediction in the file; these are the links' inverses.
_INVERSES: Mapping[str, Callable[[float], float]] = {
    "sigmoid": lambda p: math.log(p / (1 - p)),
    "exponential": math.log,
}
_OUT_OF_RANGE = 2**24  # from here on a category is none (OutOfRangeCat of XGBoost's src/common/categorical.h)
_MOST_COLUMNS = 2**20  # of the matrix, and of the prediction; a name is made for each of the former


def recognizes(content: bytes) -> bool:
    """Whether these bytes look like a model that save_model of XGBoost wrote."""
    return content[:1] == b"{" and b"learner" in content[:256]


@dataclass(frozen=True)
class Source:
    """A model as XGBoost itself stores it. `rounds` are those that predict uses; None: all."""

    content: bytes
    learner: Mapping[str, Any]
    rounds: int | None
    classes: Array | None = None


def source_of(model: object) -> Source | None:
    """Of a Booster or an estimator; None when `model` is neither. ModelError when it cannot be served."""
    rounds, classes = None, None
    name = type(model).__name__
    if _is_xgboost(model, "XGBModel"):
        estimator = cast(Any, model)
        if not estimator.__sklearn_is_fitted__():
            raise ModelError(f"The {name} is not fitted. Call fit before penstock.build.")
        if not _is_nan(estimator.missing):
            raise ModelError(
                f"The {name} takes {estimator.missing!r} for a missing value, and a bundle takes NaN. Call "
                f"its set_params(missing=float('nan')) before penstock.build, and send missing values as "
                f"NaN: the trees are the same."
            )
        model = estimator.get_booster()
        rounds = _best_rounds(cast(Any, model).attributes())
        classes = getattr(estimator, "classes_", None)
    if not _is_xgboost(model, "Booster"):
        return None
    content = bytes(cast(Any, model).save_raw("ubj"))
    return Source(content, _learner(content, f"the {name}"), rounds, classes)


def source_of_file(content: bytes, source: str) -> Source:
    """Of what save_model wrote. An estimator's file has an attribute that says so, and its predict uses the
    best iteration. ModelError where it is damaged.
    """
    learner = _learner(content, source)
    found = learner.get("attributes")
    attributes = found if isinstance(found, dict) else {}
    try:
        rounds = _best_rounds(attributes) if "scikit_learn" in attributes else None
    except ValueError as error:
        raise ModelError(f"{source} is malformed: its best_iteration is no round.") from error
    return Source(content, learner, rounds)


def _best_rounds(attributes: Mapping[str, str]) -> int | None:
    """Up to the best iteration of early stopping, as estimators predict; a Booster uses all rounds."""
    best = str(attributes.get("best_iteration", ""))
    return int(best) + 1 if best.isdecimal() else None


def _learner(content: bytes, source: str) -> Mapping[str, Any]:
    try:
        document = json.loads(content) if _is_json(content) else ubjson.loads(content)
        learner = document["learner"]
        if not isinstance(learner, dict):
            raise ValueError("its learner is no object")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else f"{error}"
        raise ModelError(f"{source} is no whole XGBoost model: {reason}.") from error
    return learner


class Learner:
    """What a model holds, in the forest's terms. ModelError for what is malformed or cannot be served."""

    def __init__(self, model: Source, source: str) -> None:
        learner = model.learner
        self._learner = learner
        self._source = source
        try:
            self.objective = str(learner["objective"]["name"])
            self.link = self._link()
            parameters = learner["learner_model_param"]
            self.features = _size("num_feature", parameters["num_feature"], 1)
            # Of one output the file says 0 classes and 1 target.
            sizes = [_size(name, parameters.get(name, 1), 0) for name in ("num_class", "num_target")]
            self.outputs = max(*sizes, 1)
            self.classes = self._classes(model.classes)
            self.base = self._base(str(parameters["base_score"]))
            booster = learner["gradient_booster"]
            weights = None
            if booster.get("name") == "gblinear":
                raise ModelError(
                    f"{source} is a gblinear model, which has no trees. Fit one of scikit-learn's linear "
                    f"estimators, which a bundle can hold."
                )
            if booster.get("name") == "dart":
                weights = np.asarray(booster["weight_drop"], np.float32).astype(np.float64)
                booster = booster["gbtree"]
            self._refuse_categories_of_frames(booster["model"])
            self.values_a_leaf = self._leaf_size(booster["model"])
            self.trees = self._trees(booster["model"], model.rounds, weights)
            self.feature_names, self.named = self._names()
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ModelError(f"{source} is malformed: {reason}.") from error

    def _link(self) -> str:
        found = _LINKS.get(self.objective)
        if found is None:
            raise ModelError(
                f"{self._source} was trained with the objective {self.objective!r}, whose predictions are "
                f"not known here. Known are: {', '.join(OBJECTIVES)}."
            )
        return found

    def _classes(self, found: Array | None) -> tuple[Label, ...] | None:
        """Of one probability, or one for each class; several labels a row, which may all be so, have none."""
        if found is None or (self.link != "softmax" and self.outputs > 1):
            return None
        return tensor_file.labels(np.asarray(found))

    def _base(self, text: str) -> Array:
        """Where the sums begin. One number for all outputs, until XGBoost 3.1, or one for each."""
        given = json.loads(text) if text.startswith("[") else [float(text)]
        inverse = _INVERSES.get(self.link, float)
        try:
            sums = [np.float32(inverse(float(score))) for score in given]  # XGBoost adds in single precision
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f"its base_score {text} is no prediction of {self.objective}") from error
        if len(sums) not in (1, self.outputs):
            raise ValueError(f"it has {len(sums)} base scores for {self.outputs} outputs")
        return np.array(np.broadcast_to(sums, self.outputs), np.float64)

    def _refuse_categories_of_frames(self, model: Mapping[str, Any]) -> None:
        if len((model.get("cats") or {}).get("enc", ())):
            raise ModelError(
                f"{self._source} was trained on the categorical columns of a frame: it expects the frame's "
                f"codes, which callers do not have. Train it on the columns that penstock.transforms.Ordinal "
                f"gives, with feature_types 'c' for them, and pass the transforms as features=."
            )

    def _leaf_size(self, model: Mapping[str, Any]) -> int:
        trees = model["trees"]
        sizes = {int(tree["tree_param"].get("size_leaf_vector", 1)) for tree in trees}
        size = max(1, *sizes) if sizes else 1  # some versions write 0 where it is 1
        if size not in (1, self.outputs) or len(sizes) > 1:
            raise ValueError(f"its leaves have {sorted(sizes)} values for {self.outputs} outputs")
        return size

    def _trees(self, model: Mapping[str, Any], rounds: int | None, weights: Array | None) -> Trees:
        trees, groups = model["trees"], np.asarray(model["tree_info"], np.int64)
        if len(groups) != len(trees) or (weights is not None and len(weights) != len(trees)):
            raise ValueError(f"it has {len(trees)} trees and the outputs of {len(groups)}")
        made = Trees(self.values_a_leaf)
        used = _trees_in(model, rounds, len(trees), self.outputs // self.values_a_leaf)
        if used == 0:
            raise ModelError(f"{self._source} has no trees. Train it for a round at least.")
        for index in range(used):
            try:
                nodes = _nodes(trees[index], self.values_a_leaf, 1.0 if weights is None else weights[index])
                made.add(nodes, int(groups[index]))
            except ValueError as error:
                raise ValueError(f"tree {index} {error}") from error
        return made

    def _names(self) -> tuple[tuple[str, ...], bool]:
        names = self._learner.get("feature_names") or ()
        if names and len(names) != self.features:
            raise ValueError(f"it names {len(names)} features and has {self.features}")
        invented = tuple(f"f{i}" for i in range(self.features))  # as XGBoost's own texts call them
        return (tuple(map(str, names)), True) if names else (invented, False)


def _size(name: str, given: Any, least: int) -> int:
    size = int(given)
    if not least <= size <= _MOST_COLUMNS:
        raise ValueError(f"its {name} is {size}; {least} to {_MOST_COLUMNS} are expected")
    return size


def _trees_in(model: Mapping[str, Any], rounds: int | None, trees: int, outputs: int) -> int:
    """How many trees the first `rounds` have."""
    if rounds is None:
        return trees
    starts = model.get("iteration_indptr")  # since XGBoost 2.0
    if starts is not None:
        return min(int(starts[min(rounds, len(starts) - 1)]), trees)
    parameters = model["gbtree_model_param"]
    return min(rounds * int(parameters.get("num_parallel_tree") or 1) * outputs, trees)


def _nodes(tree: Mapping[str, Any], values_a_leaf: int, weight: float) -> Nodes:
    """Numbers go left below the threshold, in single precision; members of a category's set go right."""
    left = _integers(tree, "left_children", None)
    count = len(left)
    if count == 0:
        raise ValueError("has no nodes")
    right = _integers(tree, "right_children", count)
    is_leaf = left < 0
    conditions = _numbers(tree, "split_conditions", count)
    if values_a_leaf == 1:
        values = conditions[:, None]
    elif "leaf_weights" in tree:  # since XGBoost 3.1, and a leaf's right child is its place among them
        rows = _numbers(tree, "leaf_weights", None).reshape(-1, values_a_leaf)
        place = np.where(is_leaf, right, 0)
        if not (place.min() >= 0 and place.max() < len(rows)):
            raise ValueError(f"has leaves beyond its {len(rows)} leaf_weights")
        values = rows[place]
    else:
        values = _numbers(tree, "base_weights", count * values_a_leaf).reshape(count, values_a_leaf)
    missing_left = _numbers(tree, "default_left", count) != 0
    sets = _categories(tree, count)
    swapped = np.zeros(count, bool)
    swapped[list(sets)] = True
    return Nodes(
        left=np.where(swapped, right, left),
        right=np.where(swapped, left, right),
        feature=_integers(tree, "split_indices", count),
        threshold=np.nextafter(conditions.astype(np.float32), np.float32(-np.inf)).astype(np.float64),
        missing_left=missing_left ^ swapped,
        values=values * weight,
        covers=_numbers(tree, "sum_hessian", count) if "sum_hessian" in tree else None,
        categories=sets,
    )


def _categories(tree: Mapping[str, Any], count: int) -> dict[int, Array]:
    """The set of each node that splits by category."""
    if "categories_nodes" not in tree:  # before XGBoost 1.3
        return {}
    nodes = _integers(tree, "categories_nodes", None)
    starts = _integers(tree, "categories_segments", len(nodes))
    sizes = _integers(tree, "categories_sizes", len(nodes))
    members = _integers(tree, "categories", None)
    kinds = _integers(tree, "split_type", count)
    if not np.array_equal(np.flatnonzero(kinds), np.sort(nodes)):
        raise ValueError("has categories for other nodes than those that split by category")
    if np.any(starts < 0) or np.any(sizes < 0) or np.any(starts + sizes > len(members)):
        raise ValueError(f"has sets beyond its {len(members)} categories")
    if len(members) and not (members.min() >= 0 and members.max() < _OUT_OF_RANGE):
        raise ValueError(f"has a category that is not from 0 to {_OUT_OF_RANGE - 1}")
    return {
        int(node): members[start : start + size]
        for node, start, size in zip(nodes, starts, sizes, strict=True)
    }


def _integers(tree: Mapping[str, Any], name: str, size: int | None) -> Array:
    return _array(tree, name, size, "biu", np.dtype(np.int64))


def _numbers(tree: Mapping[str, Any], name: str, size: int | None) -> Array:
    """In double precision what the file has in single: of JSON's texts too."""
    return _array(tree, name, size, "biuf", np.dtype(np.float32)).astype(np.float64)


def _array(tree: Mapping[str, Any], name: str, size: int | None, kinds: str, dtype: np.dtype[Any]) -> Array:
    found = np.asarray(tree[name])
    wrong_type = found.dtype.kind not in kinds and found.size > 0
    if found.ndim != 1 or wrong_type or (size is not None and len(found) != size):
        expected = "numbers" if size is None else f"{size} numbers"
        raise ValueError(f"has {name} of {found.dtype} {list(found.shape)}; {expected} are expected")
    return found.astype(dtype)


def _is_json(content: bytes) -> bool:
    """In UBJSON a size, with its type, comes after the brace."""
    return content[1:].lstrip()[:1] in (b'"', b"}")


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_xgboost(model: object, name: str) -> bool:
    return any(
        base.__name__ == name and base.__module__.split(".")[0] == "xgboost" for base in type(model).__mro__
    )
