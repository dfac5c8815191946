"""MaxAbs: over the greatest size, so that signs and zeros stay."""

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
class MaxAbs(Elementwise):
    """x over the greatest |x| of fit(): numbers [rows] to FP64 [rows], as scikit-learn's MaxAbsScaler.

    The values of fit() then lie from -1 to 1, and zero stays zero; a column of zeros stays as it is. With
    `clip`, later values beyond become -1 or 1. Missing stays missing. TransformError at fit for a column
    without a value, or with an infinite one. scikit-learn's scale_ is the saved array `scale`.
    """

    kind = "max_abs"

    def __init__(self, columns: str | Sequence[str], *, clip: bool = False) -> None:
        super().__init__(columns)
        self.clip = parameters.flag(self, "clip", clip)
        self._scale: Array = np.empty(0)

    def parameters(self) -> dict[str, Any]:
        """The columns, and whether values stay in the range."""
        return {"columns": self.columns, "clip": self.clip}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the greatest size."""
        self._scale = np.array(
            [scale_of(float(np.abs(observed(self, columns, column)).max())) for column in self.columns]
        )

    def operations(self, index: int) -> tuple[Op, ...]:
        """Over the scale."""
        scaled = op("standardize", 0.0, self._scale[index])
        return (scaled, op("clip", -1.0, 1.0)) if self.clip else (scaled,)

    def arrays(self) -> dict[str, Array]:
        """`scale`, FP64 [columns]."""
        return {"scale": self._scale}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Finite scales above zero."""
        self._scale = saved.array("scale", "FP64", len(self.columns), finite=True, positive=True)
