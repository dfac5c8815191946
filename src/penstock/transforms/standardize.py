"""Standardize: zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.frames import Column
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array, Op, op


@register
class Standardize(Elementwise):
    """(x - mean) / deviation: numbers [rows] to FP64 [rows], as scikit-learn's StandardScaler.

    Mean and standard deviation (of the population: divided by n) are those of the values that are not
    missing. A column that is constant up to rounding keeps its scale. Missing stays missing. TransformError
    at fit for a column without a value or with an infinite one.
    """

    kind = "standardize"

    def __init__(
        self, columns: str | Sequence[str], *, with_mean: bool = True, with_std: bool = True
    ) -> None:
        super().__init__(columns)
        for name, value in (("with_mean", with_mean), ("with_std", with_std)):
            if not isinstance(value, bool):
                raise self.error(f"{name} is {value!r}, expected True or False", self.columns[0])
        self.with_mean = with_mean
        self.with_std = with_std
        self._mean: Array = np.empty(0)
        self._scale: Array = np.empty(0)

    def parameters(self) -> dict[str, Any]:
        """The columns and what is done to them."""
        return {"columns": self.columns, "with_mean": self.with_mean, "with_std": self.with_std}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds mean and scale."""
        self._mean = np.zeros(len(self.columns))
        self._scale = np.ones(len(self.columns))
        for index, column in enumerate(self.columns):
            values = np.asarray(columns[column], np.float64)
            values = values[~np.isnan(values)]
            if values.size == 0:
                raise self.error("it has no value, so no mean", column)
            with np.errstate(over="ignore", invalid="ignore"):
                mean, variance = _moments(values)
            if not np.isfinite(variance):
                raise self.error("it has infinite values, or too large ones for a variance", column)
            if self.with_mean:
                self._mean[index] = mean
            if self.with_std and not _is_constant(mean, variance, values.size):
                self._scale[index] = np.sqrt(variance)

    def operations(self, index: int) -> tuple[Op, ...]:
        """Minus the mean, over the scale."""
        return (op("standardize", self._mean[index], self._scale[index]),)

    def arrays(self) -> dict[str, Array]:
        """`mean` and `scale`, FP64 [columns]."""
        return {"mean": self._mean, "scale": self._scale}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Finite means, and finite scales above zero."""
        self._mean = saved.array("mean", "FP64", len(self.columns), finite=True)
        self._scale = saved.array("scale", "FP64", len(self.columns), finite=True)
        if not (self._scale > 0).all():
            raise saved.error("the array 'scale' holds a number that is not above 0")


def _moments(values: Array) -> tuple[float, float]:
    """Mean and variance in two passes, the second correcting the first's rounding.

    Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983, equation 1.7.
    """
    mean = float(values.mean())
    deviations = values - mean
    correction = float(deviations.sum())
    variance = (float((deviations**2).sum()) - correction**2 / values.size) / values.size
    return mean, variance


def _is_constant(mean: float, variance: float, count: int) -> bool:
    """Whether a variance is no more than what rounding leaves of zero, by the same article's bound."""
    epsilon = float(np.finfo(np.float64).eps)
    return variance <= count * epsilon * variance + (count * mean * epsilon) ** 2
