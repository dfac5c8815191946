"""MinMax: to a range, from the least to the greatest value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class MinMax(Elementwise):
    """x * scale + offset: numbers [rows] to FP64 [rows], the values of fit() to `feature_range`.

    The least value at fit becomes the lower end and the greatest the upper; a column that is constant becomes
    the lower end. Later values may lie outside; with `clip` they become the nearer end. Missing stays
    missing, infinities stay or are clipped. TransformError at fit for a column without a value, or with an
    infinite one.

    As scikit-learn's MinMaxScaler: its scale_ and min_ are the saved arrays `scale` and `offset`.
    """

    kind = "min_max"

    def __init__(
        self,
        columns: str | Sequence[str],
        feature_range: Sequence[float] = (0.0, 1.0),
        *,
        clip: bool = False,
    ) -> None:
        super().__init__(columns)
        low, high = parameters.pair(self, "feature_range", feature_range)
        if low == high:
            raise self.error(f"feature_range is {feature_range!r}, which is one number only", self.columns[0])
        self.feature_range = (low, high)
        self.clip = parameters.flag(self, "clip", clip)
        self._scale: Array = np.empty(0)
        self._offset: Array = np.empty(0)

    def parameters(self) -> dict[str, Any]:
        """The columns, the range, and whether values stay in it."""
        return {"columns": self.columns, "feature_range": self.feature_range, "clip": self.clip}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the least and the greatest value of each column."""
        low, high = self.feature_range
        self._scale = np.empty(len(self.columns))
        self._offset = np.empty(len(self.columns))
        for index, column in enumerate(self.columns):
            values = observed(self, columns, column)
            least, greatest = float(values.min()), float(values.max())
            self._scale[index] = (high - low) / scale_of(greatest - least)
            self._offset[index] = low - least * self._scale[index]
            if not (self._scale[index] > 0 and np.isfinite(self._offset[index])):
                raise self.error(f"its values, {least} to {greatest}, are too far apart", column)

    def operations(self, index: int) -> tuple[Op, ...]:
        """Times the scale, plus the offset."""
        scaled = op("affine", self._scale[index], self._offset[index])
        return (scaled, op("clip", *self.feature_range)) if self.clip else (scaled,)

    def arrays(self) -> dict[str, Array]:
        """`scale` and `offset`, FP64 [columns]."""
        return {"scale": self._scale, "offset": self._offset}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Finite scales above zero, and finite offsets."""
        self._scale = saved.array("scale", "FP64", len(self.columns), finite=True, positive=True)
        self._offset = saved.array("offset", "FP64", len(self.columns), finite=True)
