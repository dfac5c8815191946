"""Haversine: the distance of two places on the earth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.transforms import parameters
from penstock.transforms.joint import Joint
from penstock.transforms.registry import register
from penstock.transforms.steps import Step, singles

# The earth's mean radius, (2 a + b) / 3 of the ellipsoid of GRS 80, in meters (International Union of Geodesy
# and Geophysics).
_RADIUS = 6371008.7714
_METERS = {"km": 1000.0, "m": 1.0, "mi": 1609.344, "nmi": 1852.0}


@register
class Haversine(Joint):
    """The great-circle distance of two points: four columns of degrees [rows] to one FP64 column [rows].

    `columns` are latitude and longitude of the one point, then of the other; south and west are negative. The
    result is in `unit`, km, m, mi (miles) or nmi (nautical miles), and named `distance_km` or `name`. On a
    sphere with the earth's mean radius, 6371.0088 km, which is within 0.6 % of the distance on the ellipsoid.
    Where one of the columns is missing or infinite the result is NaN. It stands in the place of the first
    column and the others are gone; with `keep` all columns stay, and it stands behind the first.

    As scikit-learn's haversine_distances of pairs in radians, times the radius. Source: R. W. Sinnott,
    "Virtues of the Haversine", Sky and Telescope 68, 1984.
    """

    kind = "haversine"

    def __init__(
        self, columns: Sequence[str], unit: str = "km", *, name: str | None = None, keep: bool = False
    ) -> None:
        super().__init__(columns, least=4, most=4, keep=keep)
        self.unit = parameters.choice(self, "unit", unit, _METERS)
        self.name = None if name is None else parameters.label(self, "name", name)

    def parameters(self) -> dict[str, Any]:
        """The columns, the unit, the name, and whether the columns stay."""
        return {"columns": self.columns, "unit": self.unit, "name": self.name, "keep": self.keep}

    def names(self) -> tuple[str, ...]:
        """The distance."""
        return (f"distance_{self.unit}" if self.name is None else self.name,)

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call."""
        state = (np.array([_RADIUS / _METERS[self.unit]]),)
        return [Step(self.step_name(self.columns), "haversine", state, self.columns, singles(self.names()))]
