"""Bucketize: numbers as the index of the bucket that they fall into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.observed import observed
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array, Op

Strategy = Literal["quantile", "uniform"]
MOST_BINS = 100_000
_NARROWEST = 1e-8  # a bin of quantiles that is no wider is none; scikit-learn's limit


@register
class Bucketize(Elementwise):
    """How many edges are at x or below, as numpy.digitize: numbers [rows] to FP64 [rows], from 0 on.

    `edges` are what lies between two buckets, in the column's unit and ascending, and belong to the bucket
    above: [0, 10] makes x < 0, 0 <= x < 10 and x >= 10. A list for all columns, or a mapping with one for
    each. Without them fit() makes `bins` buckets (5 where not given): between the least and the greatest
    value of equal width, or, with `strategy='quantile'`, with equal numbers of rows, by linear interpolation;
    bins of quantiles no wider than 1e-8 are joined. Values beyond fall into the outermost buckets, infinities
    too. Missing stays missing. TransformError at fit for a column without a value or with an infinite one.

    As scikit-learn's KBinsDiscretizer with encode='ordinal': `edges` are its bin_edges_[column][1:-1]. A
    OneHot behind it gives the other encodings. It differs in that it uses all rows, not a random subsample,
    that missing values are not refused, and that quantiles are those of its quantile_method='linear'.
    """

    kind = "bucketize"

    def __init__(
        self,
        columns: str | Sequence[str],
        edges: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
        *,
        bins: int | None = None,
        strategy: Strategy = "quantile",
    ) -> None:
        super().__init__(columns)
        self.edges = None if edges is None else parameters.ascending(self, "edges", edges)
        if edges is not None and bins is not None:
            raise self.error("bins and edges are given; expected one of them", self.columns[0])
        self.bins = None if bins is None else parameters.count(self, "bins", bins, 2, MOST_BINS)
        self.strategy = parameters.choice(self, "strategy", strategy, get_args(Strategy))
        self._edges: list[Array] = []

    def parameters(self) -> dict[str, Any]:
        """The columns, and the edges or how they are found."""
        return {
            "columns": self.columns,
            "edges": self.edges,
            "bins": self.bins,
            "strategy": self.strategy,
        }

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the edges where none are given."""
        if self.edges is not None:
            self._edges = self._given(self.edges)
            return
        self._edges = [self._found(observed(self, columns, column), column) for column in self.columns]

    def _given(self, edges: Mapping[str, Sequence[float]]) -> list[Array]:
        return [np.array(edges[column], np.float64) for column in self.columns]

    def _found(self, values: Array, column: str) -> Array:
        least, greatest = values.min(), values.max()
        if least == greatest:
            return np.empty(0)
        bins = 5 if self.bins is None else self.bins
        with np.errstate(over="ignore", invalid="ignore"):
            if self.strategy == "uniform":
                edges = np.linspace(least, greatest, bins + 1)
            else:
                edges = np.percentile(values, np.linspace(0, 100, bins + 1))
                edges = edges[np.ediff1d(edges, to_begin=np.inf) > _NARROWEST]
        if not np.isfinite(edges).all():
            raise self.error(f"its values, {least} to {greatest}, are too far apart", column)
        return np.maximum.accumulate(edges[1:-1])

    def operations(self, index: int) -> tuple[Op, ...]:
        """The search among the edges."""
        return (Op("bucketize", self._edges[index]),)

    def arrays(self) -> dict[str, Array]:
        """Edges that fit() found: `edges`, FP64, column after column, and `offsets`, INT64 [columns + 1]."""
        if self.edges is not None:
            return {}
        offsets = np.cumsum([0, *(each.size for each in self._edges)], dtype=np.int64)
        return {"edges": np.concatenate(self._edges), "offsets": offsets}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """For each column ascending finite edges, fewer than bins."""
        if self.edges is not None:
            self._edges = self._given(self.edges)
            return
        edges = saved.array("edges", "FP64", finite=True)
        offsets = saved.array("offsets", "INT64", len(self.columns) + 1)
        counts = np.diff(offsets)
        if offsets[0] != 0 or offsets[-1] != edges.size or (counts < 0).any():
            raise saved.error(f"the array 'offsets' does not divide the {edges.size} elements of 'edges'")
        most = (5 if self.bins is None else self.bins) - 1
        if (counts > most).any():
            raise saved.error(f"the array 'edges' holds more than {most} of a column")
        self._edges = np.split(edges, offsets[1:-1])
        saved.check_ascending("edges", self._edges)
