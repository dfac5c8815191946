"""Forests of every library, fitted on small data, and what they answer themselves."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb
from sklearn import ensemble, tree
from sklearn.dummy import DummyClassifier, DummyRegressor

Matrix = np.ndarray[Any, Any]
WIDTH = 6
CATEGORICAL = 4  # this column holds whole numbers from 0 to 11, others than 5
TYPES = ["q", "q", "q", "q", "c", "q"]


def matrix(rows: int = 400, seed: int = 0, missing: bool = True) -> Matrix:
    """Numbers of several sizes, some equal, some missing; a column of categories, one of halves and zeros."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, WIDTH)) * np.array([1, 1, 1e-3, 1e4, 1, 1])
    x[:, 1] = np.round(x[:, 1], 1)
    x[:, CATEGORICAL] = random.choice([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11], rows)
    x[:, 5] = random.choice([-0.5, -0.0, 0.0, 0.5], rows)
    if missing:
        x[random.random(x.shape) < 0.08] = np.nan
    return x


def targets(x: Matrix) -> dict[str, Matrix]:
    full = np.nan_to_num(x)
    kinds = np.isin(full[:, CATEGORICAL], [1, 2, 7, 11])
    number = full[:, 0] + 0.5 * full[:, 1] + kinds - 300 * full[:, 2] * (full[:, 5] > 0) + full[:, 3] / 1e4
    number += np.isnan(x[:, 0]) + np.random.default_rng(1).normal(size=len(x)) / 4
    level = np.digitize(number, [-0.5, 1.0])
    return {
        "number": number,
        "large": 1e6 + 1e5 * number,
        "numbers": np.column_stack([number, number**2]),
        "positive": np.exp(number / 3),
        "two": (number > 0.3).astype(np.int64),
        "rare": (number > 2).astype(np.int64),
        "level": level,
        "words": np.array(["no", "perhaps", "sí"])[level],
        "yes": np.array(["n", "y"])[(number > 0.3).astype(np.int64)],
        "labels": np.column_stack([number > 0, number > 1]).astype(np.int64),
    }


class Case(NamedTuple):
    """What makes a model, the target of `targets` that it is fitted to, and whether to rows with gaps."""

    make: Callable[[], Any]
    target: str
    missing: bool = True


def _of(kind: Any, **options: Any) -> Callable[[], Any]:
    return lambda: kind(**{"random_state": 3, **options})


_HALF: dict[str, Any] = {"n_estimators": 8, "max_depth": 4}
_HIST: dict[str, Any] = {"max_iter": 8, "min_samples_leaf": 5}
SCIKIT_LEARN = {
    "random forest": Case(_of(ensemble.RandomForestRegressor, n_estimators=7), "number"),
    "random forest, absolute error": Case(
        _of(ensemble.RandomForestRegressor, n_estimators=3, max_depth=4, criterion="absolute_error"),
        "number",
        False,
    ),
    "random forest, two targets": Case(_of(ensemble.RandomForestRegressor, n_estimators=5), "numbers"),
    "random forest, two classes": Case(
        _of(ensemble.RandomForestClassifier, n_estimators=7, class_weight="balanced"), "yes"
    ),
    "random forest, words": Case(_of(ensemble.RandomForestClassifier, **_HALF), "words"),
    "extra trees": Case(_of(ensemble.ExtraTreesRegressor, n_estimators=5), "number"),
    "extra trees, words": Case(_of(ensemble.ExtraTreesClassifier, n_estimators=5, bootstrap=True), "words"),
    "tree": Case(_of(tree.DecisionTreeRegressor), "number"),
    "tree, words": Case(_of(tree.DecisionTreeClassifier, max_leaf_nodes=9), "words"),
    "tree, pruned": Case(_of(tree.DecisionTreeRegressor, ccp_alpha=0.02), "number"),
    "tree of one leaf": Case(_of(tree.DecisionTreeRegressor, min_samples_leaf=400), "number"),
    "extra tree": Case(_of(tree.ExtraTreeRegressor), "number"),
    "extra tree, two classes": Case(_of(tree.ExtraTreeClassifier), "two"),
    "gradient boosting": Case(_of(ensemble.GradientBoostingRegressor, **_HALF), "number", False),
    "gradient boosting, huber": Case(
        _of(ensemble.GradientBoostingRegressor, loss="huber", subsample=0.7, **_HALF), "number", False
    ),
    "gradient boosting, quantile": Case(
        _of(ensemble.GradientBoostingRegressor, loss="quantile", alpha=0.2, n_estimators=4), "number", False
    ),
    "gradient boosting, absolute error": Case(
        _of(ensemble.GradientBoostingRegressor, loss="absolute_error", n_estimators=4), "number", False
    ),
    "gradient boosting, from zero": Case(
        _of(ensemble.GradientBoostingRegressor, init="zero", n_iter_no_change=2), "number", False
    ),
    "gradient boosting, from a quantile": Case(
        _of(
            ensemble.GradientBoostingRegressor,
            init=DummyRegressor(strategy="quantile", quantile=0.1),
            **_HALF,
        ),
        "number",
        False,
    ),
    "gradient boosting, two classes": Case(_of(ensemble.GradientBoostingClassifier, **_HALF), "yes", False),
    "gradient boosting, exponential": Case(
        _of(ensemble.GradientBoostingClassifier, loss="exponential", **_HALF), "two", False
    ),
    "gradient boosting, words": Case(_of(ensemble.GradientBoostingClassifier, **_HALF), "words", False),
    "gradient boosting, words from zero": Case(
        _of(ensemble.GradientBoostingClassifier, init="zero", n_estimators=4), "words", False
    ),
    "gradient boosting, words from a constant": Case(
        _of(ensemble.GradientBoostingClassifier, init=DummyClassifier(strategy="uniform"), n_estimators=4),
        "words",
        False,
    ),
    "histogram": Case(_of(ensemble.HistGradientBoostingRegressor, **_HIST), "number"),
    "histogram, categories": Case(
        _of(ensemble.HistGradientBoostingRegressor, categorical_features=[CATEGORICAL], **_HIST), "number"
    ),
    "histogram, categories without gaps": Case(
        _of(ensemble.HistGradientBoostingRegressor, categorical_features=[1 + 3], **_HIST), "number", False
    ),
    "histogram, monotonic": Case(
        _of(ensemble.HistGradientBoostingRegressor, monotonic_cst=[1, 0, -1, 0, 0, 0], **_HIST), "number"
    ),
    "histogram, absolute error": Case(
        _of(ensemble.HistGradientBoostingRegressor, loss="absolute_error", **_HIST), "number"
    ),
    "histogram, quantile": Case(
        _of(ensemble.HistGradientBoostingRegressor, loss="quantile", quantile=0.7, **_HIST), "number"
    ),
    "histogram, poisson": Case(
        _of(ensemble.HistGradientBoostingRegressor, loss="poisson", **_HIST), "positive"
    ),
    "histogram, gamma": Case(_of(ensemble.HistGradientBoostingRegressor, loss="gamma", **_HIST), "positive"),
    "histogram, two classes": Case(
        _of(ensemble.HistGradientBoostingClassifier, early_stopping=True, **_HIST), "yes"
    ),
    "histogram, words and categories": Case(
        _of(ensemble.HistGradientBoostingClassifier, categorical_features=[CATEGORICAL], **_HIST), "words"
    ),
}


def _trained(rounds: int = 8, categories: bool = True, **parameters: Any) -> Callable[[], Any]:
    types = TYPES if categories else None
    return lambda: _Trained(rounds, types, {"nthread": 1, "seed": 3, "max_depth": 4, **parameters})


class _Trained:
    """xgboost.train in the form of an estimator's fit."""

    def __init__(self, rounds: int, types: list[str] | None, parameters: dict[str, Any]) -> None:
        self._rounds = rounds
        self._types = types
        self._parameters = parameters

    def fit(self, x: Matrix, y: Matrix) -> xgb.Booster:
        data = xgb.DMatrix(x, y, feature_types=self._types, enable_categorical=True)
        if self._parameters["objective"].startswith("rank:"):
            data.set_group([len(x) // 4] * 4)
        if self._parameters["objective"] == "survival:aft":
            data.set_float_info("label_lower_bound", y)
            data.set_float_info("label_upper_bound", y * 1.5)
        return xgb.train(self._parameters, data, self._rounds)


def _boost(kind: Any, **options: Any) -> Callable[[], Any]:
    given = {"n_estimators": 8, "max_depth": 4, "n_jobs": 1, "random_state": 3, **options}
    return lambda: kind(**given)


XGBOOST = {
    **{
        objective: Case(_trained(objective=objective), target)
        for objective, target in {
            "reg:squarederror": "number",
            "reg:squaredlogerror": "positive",
            "reg:pseudohubererror": "number",
            "reg:absoluteerror": "number",
            "reg:logistic": "two",
            "binary:logistic": "two",
            "binary:logitraw": "two",
            "binary:hinge": "two",
            "count:poisson": "positive",
            "reg:gamma": "positive",
            "reg:tweedie": "positive",
            "survival:cox": "positive",
            "survival:aft": "positive",
            "rank:pairwise": "level",
            "rank:ndcg": "level",
            "rank:map": "two",
        }.items()
    },
    "reg:quantileerror": Case(
        _trained(objective="reg:quantileerror", quantile_alpha=[0.2, 0.5, 0.9]), "number"
    ),
    "multi:softprob": Case(_trained(objective="multi:softprob", num_class=3), "level"),
    "multi:softmax": Case(_trained(objective="multi:softmax", num_class=3), "level"),
    "large numbers": Case(_trained(60, objective="reg:squarederror"), "large"),
    "base score": Case(_trained(objective="binary:logistic", base_score=0.93), "rare"),
    "base score of counts": Case(_trained(objective="count:poisson", base_score=40), "positive"),
    "one-hot splits": Case(_trained(objective="reg:squarederror", max_cat_to_onehot=99), "number"),
    "sets of categories": Case(
        _trained(objective="reg:squarederror", max_cat_to_onehot=1, max_depth=6), "number"
    ),
    "exact": Case(_trained(categories=False, objective="binary:logistic", tree_method="exact"), "two"),
    "approximate, by loss": Case(
        _trained(objective="reg:squarederror", tree_method="approx", grow_policy="lossguide", max_leaves=9),
        "number",
    ),
    "pruned": Case(_trained(objective="reg:squarederror", gamma=3, max_depth=6), "number"),
    "forests boosted": Case(
        _trained(3, objective="multi:softprob", num_class=3, num_parallel_tree=4, subsample=0.6), "level"
    ),
    "dart": Case(
        _trained(12, objective="binary:logistic", booster="dart", rate_drop=0.5, skip_drop=0.1), "two"
    ),
    "trees of vectors": Case(
        _trained(categories=False, objective="reg:squarederror", multi_strategy="multi_output_tree"),
        "numbers",
    ),
    "two targets": Case(_boost(xgb.XGBRegressor), "numbers"),
    "two labels": Case(_boost(xgb.XGBClassifier), "labels"),
    "regressor": Case(_boost(xgb.XGBRegressor, monotone_constraints=(1, 0, 0, 0, 0, 0)), "number"),
    "classifier": Case(_boost(xgb.XGBClassifier, scale_pos_weight=3), "two"),
    "classifier of three": Case(_boost(xgb.XGBClassifier), "level"),
    "random forest regressor": Case(_boost(xgb.XGBRFRegressor), "number"),
    "random forest classifier": Case(_boost(xgb.XGBRFClassifier), "level"),
}


@cache
def fitted(library: str, name: str) -> Any:
    case = {"scikit-learn": SCIKIT_LEARN, "xgboost": XGBOOST}[library][name]
    x = matrix(missing=case.missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of objectives and criteria that are on their way out
        return case.make().fit(x, targets(x)[case.target])


def answers(model: Any, x: Matrix) -> Matrix:
    """In the form of a bundle's `prediction`."""
    if isinstance(model, xgb.Booster):
        data = xgb.DMatrix(x, feature_types=model.feature_types, enable_categorical=True)
        if json.loads(model.save_config())["learner"]["objective"]["name"] == "multi:softmax":
            model = model.copy()
            model.set_param({"objective": "multi:softprob"})
        return np.asarray(model.predict(data), np.float64)
    if not hasattr(model, "classes_"):
        return np.asarray(model.predict(x), np.float64)
    found = np.asarray(model.predict_proba(x), np.float64)
    is_binary = found.shape[1] == 2 and getattr(model, "n_outputs_", 1) == 1 and np.ndim(model.classes_) == 1
    return found[:, 1] if is_binary and np.allclose(found.sum(axis=1), 1) else found
