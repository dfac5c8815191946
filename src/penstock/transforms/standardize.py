"""Standardize: zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.observed import observed
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
        self.with_mean = parameters.flag(self, "with_mean", with_mean)
        self.with_std = parameters.flag(self, "with_std", with_std)
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
            values = observed(self, columns, column)
            with np.errstate(over="ignore", invalid="ignore"):
                mean, variance = _moments(values)
            if not np.isfinite(variance):
                raise self.error("its values are too large for a variance", column)
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
        """Finite means, and finite scales above zero: 0 and 1 where they are not learned."""
        count = len(self.columns)
        self._mean = saved.array("mean", "FP64", count, finite=True, fixed=None if self.with_mean else 0)
        self._scale = saved.array(
            "scale", "FP64", count, finite=True, positive=True, fixed=None if self.with_std else 1
        )


def _moments(values: Array) -> tuple[float, float]:
    """Mean and variance in two passes, the second correcting the first's rounding.

    Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983, equation 1.7.
    """
    mean = float(values.mean())
    deviations = values - mean
    correction = float(deviations.sum())
    variance = (float((deviations**2).sum()) - correction * correction / values.size) / values.size
    return mean, variance


def _is_constant(mean: float, variance: float, count: int) -> bool:
    """Whether a variance is no more than what rounding leaves of zero, by the same article's bound."""
    epsilon = float(np.finfo(np.float64).eps)
    rounding = count * mean * epsilon
    return variance <= count * epsilon * variance + rounding * rounding
