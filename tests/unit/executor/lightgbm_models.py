"""Small LightGBM models for the tests, of every kind that reaches another part of the text format."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np

Matrix = np.ndarray[Any, Any]
QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "seed": 1, "deterministic": True}


def features(rows: int = 600, seed: int = 0) -> Matrix:
    """Five numbers and a category (column 5, codes 0 to 39); every tenth number missing, some infinite."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(rows) < 0.02, 1] = np.inf
    x[rng.random(rows) < 0.02, 2] = -np.inf
    x[rng.random(rows) < 0.1, 3] = 0.0
    x[:, 5] = rng.integers(0, 40, rows)
    x[rng.random(rows) < 0.1, 5] = np.nan
    return x


def target(x: Matrix) -> Matrix:
    clean = np.nan_to_num(x, posinf=3, neginf=-3)
    return clean[:, 0] * clean[:, 1] + clean[:, 2] + (clean[:, 5] % 7 == 3) * 2.0


def train(kind: str, rounds: int = 20, leaves: int = 31) -> lightgbm.Booster:
    x = features()
    y = target(x)
    parameters: dict[str, Any] = {**QUIET, "num_leaves": leaves}
    categories: list[int] = []
    if kind == "binary":
        parameters |= {"objective": "binary"}
        y = (y > 0).astype(float)
    elif kind == "multiclass":
        parameters |= {"objective": "multiclass", "num_class": 3}
        y = np.digitize(y, [-1.0, 1.0]).astype(float)
    elif kind == "one against all":
        parameters |= {"objective": "multiclassova", "num_class": 3}
        y = np.digitize(y, [-1.0, 1.0]).astype(float)
    elif kind == "categories":
        parameters |= {"objective": "regression", "cat_smooth": 1, "min_data_per_group": 5}
        categories = [5]
    elif kind == "linear leaves":
        parameters |= {"objective": "regression", "linear_tree": True}
        x = np.nan_to_num(x, posinf=3, neginf=-3)
    elif kind == "random forest":
        parameters |= {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
        y = (y > 0).astype(float)
    elif kind == "zero as missing":
        parameters |= {"objective": "poisson", "zero_as_missing": True}
        y = np.abs(y)
    elif kind == "monotone":
        parameters |= {"objective": "regression", "monotone_constraints": [1, 0, -1, 0, 0, 0]}
    elif kind == "stumps":
        parameters |= {"objective": "regression", "min_data_in_leaf": 100_000}
    else:
        parameters |= {"objective": "regression"}
    return lightgbm.train(parameters, lightgbm.Dataset(x, y, categorical_feature=categories), rounds)


KINDS = (
    "regression",
    "binary",
    "multiclass",
    "one against all",
    "categories",
    "linear leaves",
    "random forest",
    "zero as missing",
    "monotone",
    "stumps",
)
