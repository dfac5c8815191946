"""The values of a numeric column that a transform learns from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from penstock.frames import Column
from penstock.transforms.base import Transform
from penstock.transforms.steps import Array


def observed(transform: Transform, columns: Mapping[str, Column], column: str) -> Array:
    """The values that are not missing, FP64. TransformError where there is none, or an infinite one."""
    values = np.asarray(columns[column], np.float64)
    values = values[~np.isnan(values)]
    if values.size == 0:
        raise transform.error("it has no value, so there is nothing to learn from", column)
    if np.isinf(values).any():
        raise transform.error("it has infinite values; clip them, or make them missing, first", column)
    return values


def scale_of(spread: float) -> float:
    """What to divide by: a spread, or 1 where it is so small that scikit-learn takes it for a constant's."""
    return 1.0 if spread < 10 * np.finfo(np.float64).eps else spread
