"""The scalers, and Normalizer: what numbers are divided by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat
from penstock.transforms.steps import Array


@converts(
    "sklearn.preprocessing.StandardScaler",
    becomes="Standardize",
    parameters="with_mean with_std",
    without_effect="copy",
)
def _standard(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    arrays = {
        "mean": _or_else(fitted.mean_ if fitted.with_mean else None, 0.0, columns),
        "scale": _or_else(fitted.scale_ if fitted.with_std else None, 1.0, columns),
    }
    parameters = {"with_mean": bool(fitted.with_mean), "with_std": bool(fitted.with_std)}
    return flat(draft.add("standardize", columns, parameters=parameters, arrays=arrays))


@converts(
    "sklearn.preprocessing.RobustScaler",
    becomes="Robust",
    parameters="quantile_range unit_variance with_centering with_scaling",
    without_effect="copy",
)
def _robust(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    arrays = {
        "center": _or_else(fitted.center_ if fitted.with_centering else None, 0.0, columns),
        "scale": _or_else(fitted.scale_ if fitted.with_scaling else None, 1.0, columns),
    }
    parameters = {
        "with_centering": bool(fitted.with_centering),
        "with_scaling": bool(fitted.with_scaling),
        "unit_variance": bool(fitted.unit_variance),
        "quantile_range": [float(each) for each in fitted.quantile_range],
    }
    return flat(draft.add("robust", columns, parameters=parameters, arrays=arrays))


@converts(
    "sklearn.preprocessing.MinMaxScaler",
    becomes="MinMax",
    parameters="clip feature_range",
    without_effect="copy",
)
def _min_max(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    arrays = {"scale": np.array(fitted.scale_, np.float64), "offset": np.array(fitted.min_, np.float64)}
    parameters = {
        "feature_range": [float(each) for each in fitted.feature_range],
        "clip": bool(fitted.clip),
    }
    return flat(draft.add("min_max", columns, parameters=parameters, arrays=arrays))


@converts(
    "sklearn.preprocessing.MaxAbsScaler",
    becomes="MaxAbs",
    parameters="clip",
    without_effect="copy",
)
def _max_abs(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    parameters = {"clip": bool(getattr(fitted, "clip", False))}
    arrays = {"scale": np.array(fitted.scale_, np.float64)}
    return flat(draft.add("max_abs", columns, parameters=parameters, arrays=arrays))


@converts(
    "sklearn.preprocessing.Normalizer",
    becomes="Normalize",
    parameters="norm",
    without_effect="copy",
)
def _normalizer(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    return flat(draft.add("normalize", columns, parameters={"norm": fitted.norm}))


def scaled(columns: list[str], factors: Sequence[float] | Array, draft: Draft) -> list[str]:
    """Each column times its factor. TransformError for a factor that is not above 0."""
    scale = np.array(factors, np.float64)
    if not (scale > 0).all():
        raise draft.refusal("a weight that is not above 0", "Use a positive one, or drop what it weighs")
    arrays = {"scale": scale, "offset": np.zeros(len(columns))}
    return flat(draft.add("min_max", columns, arrays=arrays)) if columns else []


def _or_else(array: Any, value: float, columns: list[str]) -> Array:
    return np.full(len(columns), value) if array is None else np.array(array, np.float64)
