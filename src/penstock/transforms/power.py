"""Power: Yeo-Johnson and Box-Cox, towards a normal distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.brent import minimize
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.observed import observed
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.standardize import Standardize
from penstock.transforms.steps import Array, Op, op

Method = Literal["yeo_johnson", "box_cox"]
_TINY, _MAX, _EPSILON = (float(getattr(np.finfo(np.float64), name)) for name in ("tiny", "max", "eps"))
_TOLERANCE = 1.48e-8  # of lambda
_LONGEST_LOG = np.log(_MAX / 1e4)  # of a power that Box-Cox may reach


@register
class Power(Elementwise):
    """A power of x that brings a column nearest to a normal distribution: numbers [rows] to FP64 [rows].

    `method='yeo_johnson'` takes all numbers, 'box_cox' those above 0: 0 then gives minus infinity (or -1 /
    lambda, for a lambda above 0), and less gives NaN. Each column's power lambda is the one of greatest
    likelihood. With `standardize` the results get zero mean and unit variance, as by Standardize. Missing
    stays missing and is not counted. TransformError at fit for a column without a value or with an infinite
    one and, of 'box_cox', with one not above 0 or that is constant; Yeo-Johnson leaves a constant as it is.

    As scikit-learn's PowerTransformer, whose lambdas_ are the saved array `lambda`, and whose scaler's mean_
    and scale_ are `mean` and `scale`. It differs in that its box-cox refuses rows of 0 and less. Sources: Box
    and Cox, "An analysis of transformations", 1964; Yeo and Johnson, "A new family of power transformations
    to improve normality or symmetry", 2000.
    """

    kind = "power"

    def __init__(
        self, columns: str | Sequence[str], method: Method = "yeo_johnson", *, standardize: bool = True
    ) -> None:
        super().__init__(columns)
        spelt = method.replace("-", "_") if isinstance(method, str) else method  # scikit-learn has hyphens
        self.method = parameters.choice(self, "method", spelt, get_args(Method))
        self.standardize = parameters.flag(self, "standardize", standardize)
        self._lambdas: Array = np.empty(0)
        self._scaler = Standardize(self.columns) if self.standardize else None

    def parameters(self) -> dict[str, Any]:
        """The columns, the method, and whether results are standardized."""
        return {"columns": self.columns, "method": self.method, "standardize": self.standardize}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds each column's power, and mean and scale of the results."""
        self._lambdas = np.empty(len(self.columns))
        made: dict[str, Column] = {}
        for index, column in enumerate(self.columns):
            values = observed(self, columns, column)
            with np.errstate(all="ignore"):
                if self.method == "box_cox":
                    self._lambdas[index] = self._box_cox_lambda(values, column)
                    raised = box_cox(values, self._lambdas[index])
                else:
                    self._lambdas[index] = _yeo_johnson_lambda(values)
                    raised = yeo_johnson(values, self._lambdas[index])
            if not np.isfinite(raised).all():
                raise self.error("its values are too large for a power of them", column)
            made[column] = raised
        if self._scaler is not None:
            self._scaler.learn(made, datatypes, target)

    def _box_cox_lambda(self, values: Array, column: str) -> float:
        if values.min() <= 0:
            raise self.error(f"it has {values.min()}; Box-Cox takes numbers above 0, Yeo-Johnson all", column)
        if values.min() == values.max():
            raise self.error("it is constant, so no power is better than another", column)
        logs = np.log(values)
        bound = _LONGEST_LOG / np.abs(logs).max()
        return minimize(lambda power: _box_cox_loss(logs, power), -bound, bound, _TOLERANCE)

    def operations(self, index: int) -> tuple[Op, ...]:
        """The power, standardized."""
        raised = op(self.method, self._lambdas[index])
        return (raised,) if self._scaler is None else (raised, *self._scaler.operations(index))

    def arrays(self) -> dict[str, Array]:
        """`lambda` and, standardized, `mean` and `scale`; FP64 [columns]."""
        scaled = {} if self._scaler is None else self._scaler.arrays()
        return {"lambda": self._lambdas, **scaled}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Finite powers; means and scales as those of Standardize."""
        self._lambdas = saved.array("lambda", "FP64", len(self.columns), finite=True)
        if self._scaler is not None:
            self._scaler.restore(saved, datatypes)


def box_cox(values: Array, power: float) -> Array:
    """(x^lambda - 1) / lambda of numbers above 0."""
    made: Array = np.log(values) if power == 0 else np.expm1(power * np.log(values)) / power
    return made


def yeo_johnson(values: Array, power: float) -> Array:
    """Box-Cox of 1 + x and, for negative numbers, minus that of 1 - x with 2 - lambda."""
    made = np.empty_like(values)
    negative = values < 0
    made[~negative] = _raised(values[~negative], power)
    made[negative] = -_raised(-values[negative], 2 - power)
    return made


def _raised(values: Array, power: float) -> Array:
    logs = np.log1p(values)
    made: Array = logs if abs(power) < _EPSILON else np.expm1(power * logs) / power
    return made


def _box_cox_loss(logs: Array, power: float) -> float:
    """Minus the logarithm of the likelihood, of the values' logarithms (Box and Cox, equation 8)."""
    if power == 0:
        spread = np.log(logs.var())
    else:
        # The variance of x^lambda / lambda, over that of the greatest so that nothing overflows.
        scaled = power * logs
        greatest = scaled.max()
        spread = np.log(np.expm1(scaled - greatest).var()) + 2 * (greatest - np.log(abs(power)))
    loss = logs.size / 2 * spread - (power - 1) * logs.sum()
    return float(loss) if np.isfinite(loss) else np.inf


def _yeo_johnson_lambda(values: Array) -> float:
    if values.min() == values.max():
        return 1.0  # leaves the column as it is
    # Powers with which numbers twenty times as large as these keep a variance that a double holds.
    longest = np.log1p(20 * np.abs(values).max())
    low = (np.log(_TINY) - np.log(_EPSILON)) / 2 / longest
    high = (np.log(_MAX) + np.log(_EPSILON)) / 2 / longest
    if values.max() < 0:
        low, high = 2 - high, 2 - low
    elif values.min() < 0:
        low, high = max(2 - high, low), min(2 - low, high)
    logs = float((np.sign(values) * np.log1p(np.abs(values))).sum())

    def loss(power: float) -> float:
        """Minus the logarithm of the likelihood (Yeo and Johnson, equation 3.1)."""
        variance = float(yeo_johnson(values, power).var())
        if not variance >= _TINY:
            return np.inf
        return values.size / 2 * float(np.log(variance)) - (power - 1) * logs

    return minimize(loss, float(low), float(high), _TOLERANCE)
