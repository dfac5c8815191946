"""Spline: a number as the values of B-splines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import NUMERIC, Transform
from penstock.transforms.observed import observed
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array, Block, Step

Placing = Literal["uniform", "quantile"]
Extrapolation = Literal["constant", "linear", "continue", "periodic", "error"]
Missing = Literal["keep", "zeros"]
HIGHEST_DEGREE = 20  # the kernel's
MOST_KNOTS = 10_000


@register
class Spline(Transform):
    """The B-splines at x, as SplineTransformer: numbers [rows] to FP64 columns `x_spline0`, `x_spline1` ...

    They are piecewise polynomials of `degree`, joined at knots, and sum to 1: knots + degree - 1 of them, or
    knots - 1 of periodic ones. `knots` is how many there are, from the least to the greatest value at fit,
    evenly spaced or, with `strategy='quantile'`, at evenly spaced quantiles; or it is a list of the knots in
    the column's unit, ascending, or a mapping with such a list for each column, all of one length. Without
    `include_bias` the last spline is left out.

    Beyond the knots `extrapolation` says what there is: the value at the nearest knot ('constant'), a line
    from there with its slope ('linear'), the outermost polynomials ('continue'), the same again ('periodic',
    whose period is from the first knot to the last), or an error that names the row ('error'). 'constant' and
    'linear' go on in the first or last `degree` splines only (a line of degree 1 in two): where knots
    coincide at that end the others end there. Infinities count as beyond; where a formula has no value for
    them it gives NaN. Missing makes all splines missing, or zero with `missing='zeros'`. TransformError at
    fit for a column without a value or with an infinite one.

    As scikit-learn's SplineTransformer, where the knots' number and list are two parameters. The saved array
    `knots` holds the t of all bsplines_, one after the other; their coefficients follow from the parameters.
    It differs in that there handle_missing='error' refuses what is kept missing here, that its splines of
    degree 0 are not extrapolated by 'constant', and in that the degree is at most 20. Source: C. de Boor, "A
    Practical Guide to Splines", 1978, chapter X; the knots beyond the range are spaced as those next to it:
    Eilers and Marx, "Flexible smoothing with B-splines and penalties", 1996.
    """

    kind = "spline"
    accepts = NUMERIC

    def __init__(
        self,
        columns: str | Sequence[str],
        knots: int | Sequence[float] | Mapping[str, Sequence[float]] = 5,
        degree: int = 3,
        *,
        strategy: Placing = "uniform",
        extrapolation: Extrapolation = "constant",
        include_bias: bool = True,
        missing: Missing = "keep",
    ) -> None:
        super().__init__(columns)
        self.degree = parameters.count(self, "degree", degree, 0, HIGHEST_DEGREE)
        self.knots: int | dict[str, tuple[float, ...]]
        if isinstance(knots, (Mapping, Sequence, np.ndarray)):
            self.knots = parameters.ascending(self, "knots", knots, strictly=True)
            lengths = {len(each) for each in self.knots.values()}
            if len(lengths) > 1:
                raise self.error(
                    f"the columns have {' and '.join(map(str, sorted(lengths)))} knots; give each as many",
                    self.columns[0],
                )
            self._count = parameters.count(self, "the number of knots", lengths.pop(), 2, MOST_KNOTS)
        else:
            self.knots = self._count = parameters.count(self, "knots", knots, 2, MOST_KNOTS)
        self.strategy = parameters.choice(self, "strategy", strategy, get_args(Placing))
        self.extrapolation = parameters.choice(self, "extrapolation", extrapolation, get_args(Extrapolation))
        self.include_bias = parameters.flag(self, "include_bias", include_bias)
        self.missing = parameters.choice(self, "missing", missing, get_args(Missing))
        if self.extrapolation == "periodic" and self._count <= self.degree:
            raise self.error(
                f"there are {self._count} knots; periodic splines need more than their degree, {self.degree}",
                self.columns[0],
            )
        if self._width == 0:
            raise self.error("one spline and no bias leave no output", self.columns[0])
        self._knots: Array = np.empty((len(self.columns), 0))

    @property
    def _width(self) -> int:
        """How many outputs a column has."""
        splines = self._count - 1 + (0 if self.extrapolation == "periodic" else self.degree)
        return splines - (0 if self.include_bias else 1)

    def parameters(self) -> dict[str, Any]:
        """The columns, their knots, and what is made between and beyond them."""
        return {
            "columns": self.columns,
            "knots": self.knots,
            "degree": self.degree,
            "strategy": self.strategy,
            "extrapolation": self.extrapolation,
            "include_bias": self.include_bias,
            "missing": self.missing,
        }

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the knots where they are not given."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = [self._extended(self._inner(columns, column)) for column in self.columns]
        for column, knots in zip(self.columns, found, strict=True):
            if not np.isfinite(knots).all():
                raise self.error("its knots are too far apart", column)
        self._knots = np.stack(found)

    def _inner(self, columns: Mapping[str, Column], column: str) -> Array:
        if isinstance(self.knots, dict):
            return np.array(self.knots[column], np.float64)
        values = observed(self, columns, column)
        if self.strategy == "uniform":
            return np.linspace(values.min(), values.max(), self._count)
        found: Array = np.percentile(values, 100 * np.linspace(0.0, 1.0, self._count))
        return np.maximum.accumulate(found)

    def _extended(self, inner: Array) -> Array:
        """The knots, with `degree` more on either side."""
        degree = self.degree
        if self.extrapolation == "periodic":
            period = inner[-1] - inner[0]
            before, behind = inner[-(degree + 1) : -1] - period, inner[1 : degree + 1] + period
        else:
            first, last = inner[1] - inner[0], inner[-1] - inner[-2]
            before = np.linspace(inner[0] - degree * first, inner[0] - first, degree)
            behind = np.linspace(inner[-1] + last, inner[-1] + degree * last, degree)
        # Rounding alone may put two of them in the wrong order.
        return np.maximum.accumulate(np.concatenate([before, inner, behind]))

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """The splines."""
        return [(f"{column}_spline{index}", "FP64") for index in range(self._width)]

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call; where rows may be refused one for each column, so that errors show its value."""
        refuses = self.extrapolation == "error"
        if refuses:
            return [self._step([index], refuses=True) for index in range(len(self.columns))]
        return [self._step(range(len(self.columns)), refuses=False)]

    def _step(self, indices: Sequence[int], *, refuses: bool) -> Step:
        from penstock._kernels.spline import EXTRAPOLATIONS

        columns = tuple(self.columns[index] for index in indices)
        shape = [self.degree, EXTRAPOLATIONS[self.extrapolation], int(self.missing == "zeros")]
        state = (self._knots[list(indices)].ravel(), np.array(shape, np.int32))
        blocks = tuple(
            Block(tuple(name for name, _ in self.outputs(column, "FP64")), "FP64") for column in columns
        )
        return Step(self.step_name(columns), "spline", state, columns, blocks, refuses=refuses)

    def arrays(self) -> dict[str, Array]:
        """`knots`, FP64 [columns * (knots + 2 * degree)]: those of one column after the other."""
        return {"knots": self._knots.ravel()}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Finite knots, ascending, as many as the parameters say."""
        each = self._count + 2 * self.degree
        array = saved.array("knots", "FP64", len(self.columns) * each, finite=True)
        self._knots = array.reshape(len(self.columns), each)
        saved.check_ascending("knots", self._knots)
