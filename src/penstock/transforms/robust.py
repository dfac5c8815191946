"""Robust: scaled by median and quantiles, which outliers do not move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.observed import observed, scale_of
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array, Op, op


@register
class Robust(Elementwise):
    """(x - median) / spread: numbers [rows] to FP64 [rows], as scikit-learn's RobustScaler.

    The spread is the distance of the two percentiles of `quantile_range` (percent); with `unit_variance` it
    is divided by the same distance of the standard normal distribution, so that a normal column gets variance
    1. A column without spread keeps its scale. Missing stays missing and is not counted. TransformError at
    fit for a column without a value, or with an infinite one.

    scikit-learn's center_ and scale_ are the saved arrays `center` and `scale`: zeros and ones where it has
    None.
    """

    kind = "robust"

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        with_centering: bool = True,
        with_scaling: bool = True,
        quantile_range: Sequence[float] = (25.0, 75.0),
        unit_variance: bool = False,
    ) -> None:
        super().__init__(columns)
        self.with_centering = parameters.flag(self, "with_centering", with_centering)
        self.with_scaling = parameters.flag(self, "with_scaling", with_scaling)
        self.unit_variance = parameters.flag(self, "unit_variance", unit_variance)
        low, high = parameters.pair(self, "quantile_range", quantile_range)
        if not 0 <= low < high <= 100:
            raise self.error(
                f"quantile_range is {quantile_range!r}, expected two percentages, the smaller first",
                self.columns[0],
            )
        if self.unit_variance and (low == 0 or high == 100):
            raise self.error(
                f"quantile_range is {quantile_range!r}; unit_variance needs both above 0 and below 100",
                self.columns[0],
            )
        self.quantile_range = (low, high)
        self._center: Array = np.empty(0)
        self._scale: Array = np.empty(0)

    def parameters(self) -> dict[str, Any]:
        """The columns and what is done to them."""
        return {
            "columns": self.columns,
            "with_centering": self.with_centering,
            "with_scaling": self.with_scaling,
            "quantile_range": self.quantile_range,
            "unit_variance": self.unit_variance,
        }

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds median and spread."""
        self._center = np.zeros(len(self.columns))
        self._scale = np.ones(len(self.columns))
        normal = NormalDist()
        for index, column in enumerate(self.columns):
            values = observed(self, columns, column)
            if self.with_centering:
                self._center[index] = np.median(values)
            if self.with_scaling:
                low, high = np.percentile(values, self.quantile_range).tolist()
                self._scale[index] = scale_of(high - low)
                if self.unit_variance:
                    least, greatest = (normal.inv_cdf(each / 100) for each in self.quantile_range)
                    self._scale[index] /= greatest - least
            if not np.isfinite([self._center[index], self._scale[index]]).all():
                raise self.error("its values are too large for a median or a spread", column)

    def operations(self, index: int) -> tuple[Op, ...]:
        """Minus the median, over the spread."""
        return (op("standardize", self._center[index], self._scale[index]),)

    def arrays(self) -> dict[str, Array]:
        """`center` and `scale`, FP64 [columns]."""
        return {"center": self._center, "scale": self._scale}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Finite centers, and finite scales above zero: 0 and 1 where they are not learned."""
        count = len(self.columns)
        self._center = saved.array(
            "center", "FP64", count, finite=True, fixed=None if self.with_centering else 0
        )
        self._scale = saved.array(
            "scale", "FP64", count, finite=True, positive=True, fixed=None if self.with_scaling else 1
        )
