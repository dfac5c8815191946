"""Quantile: values as their rank, uniform or normal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.observed import observed
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array, Op, op

Distribution = Literal["uniform", "normal"]
MOST_QUANTILES = 100_000
# Ranks nearer than this to 0 and 1 are no normal deviates: scikit-learn's bound, and what is left of it after
# one rounding.
_MARGIN = 1e-7
_LEAST_RANK = _MARGIN - float(np.spacing(1.0))


@register
class Quantile(Elementwise):
    """The rank of x among the values of fit(), as QuantileTransformer: numbers [rows] to FP64 [rows].

    `output='uniform'` gives the rank, from 0 for the least value to 1 for the greatest; 'normal' the standard
    normal deviate of that rank, from -5.2 to 5.2. Ranks are those of `quantiles` evenly spaced quantiles, or
    of as many as fit() had rows, and lie on a line in between; a value that is several quantiles at once has
    the middle of their ranks. For 'normal' what is within 1e-7 of the least or greatest value has its rank,
    where the columns' precision can tell 1e-7 (single where all are FP32). Values beyond the least and the
    greatest count as these, infinities too. Missing stays missing and is not counted. TransformError at fit
    for a column without a value, or with an infinite one.

    It differs from scikit-learn in that fit() uses all rows, not a random subsample. What that has learned
    fits exactly: the saved array `quantiles` is the transpose of its quantiles_ in one row, column by column,
    and references_ is numpy.linspace(0, 1, n_quantiles_). Source of the normal quantile: Wichura, algorithm
    AS 241, 1988.
    """

    kind = "quantile"

    def __init__(
        self, columns: str | Sequence[str], output: Distribution = "uniform", *, quantiles: int = 1000
    ) -> None:
        super().__init__(columns)
        self.output = parameters.choice(self, "output", output, get_args(Distribution))
        self.quantiles = parameters.count(self, "quantiles", quantiles, 1, MOST_QUANTILES)
        self._quantiles: Array = np.empty((len(self.columns), 0))
        self._single = False  # whether scikit-learn's matrix of these columns is of single precision

    def parameters(self) -> dict[str, Any]:
        """The columns, the distribution, and how many quantiles."""
        return {"columns": self.columns, "output": self.output, "quantiles": self.quantiles}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the quantiles."""
        self._single = self._are_single(datatypes)
        found = []
        for column in self.columns:
            percentages = 100 * _references(min(self.quantiles, len(columns[column])))
            with np.errstate(over="ignore", invalid="ignore"):
                each = np.maximum.accumulate(np.percentile(observed(self, columns, column), percentages))
            if not np.isfinite(each).all():
                raise self.error("its values are too far apart for a quantile in between", column)
            found.append(each)
        self._quantiles = np.stack(found)

    def operations(self, index: int) -> tuple[Op, ...]:
        """The rank and, for a normal output, its quantile."""
        quantiles = self._quantiles[index]
        margin = _MARGIN if self.output == "normal" else 0.0
        constants = [[margin, self._single], _references(quantiles.size), quantiles]
        rank = Op("rank", np.concatenate(constants, dtype=np.float64))
        if self.output == "uniform":
            return (rank,)
        greatest = NormalDist().inv_cdf(1 - _LEAST_RANK)
        return rank, op("normal_quantile"), op("clip", NormalDist().inv_cdf(_LEAST_RANK), greatest)

    def arrays(self) -> dict[str, Array]:
        """`quantiles`, FP64 [columns * n]: n of each column, ascending."""
        return {"quantiles": self._quantiles.ravel()}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """As many for each column, finite and ascending, and no more than `quantiles`."""
        array = saved.array("quantiles", "FP64", finite=True)
        each, rest = divmod(array.size, len(self.columns))
        if rest or not 1 <= each <= self.quantiles:
            raise saved.error(
                f"the array 'quantiles' has {array.size} elements, expected 1 to {self.quantiles} for each "
                f"of {len(self.columns)} columns"
            )
        self._quantiles = array.reshape(len(self.columns), each)
        saved.check_ascending("quantiles", self._quantiles)
        self._single = self._are_single(datatypes)

    def _are_single(self, datatypes: Mapping[str, str]) -> bool:
        return all(datatypes[column] == "FP32" for column in self.columns)


def _references(count: int) -> Array:
    """The ranks of that many quantiles."""
    return np.linspace(0.0, 1.0, count)
