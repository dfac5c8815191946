"""Apply: a function of NumPy, value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from penstock.transforms import parameters
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.registry import register
from penstock.transforms.steps import Op, op

# x * a + -0.0 is x * a, with the sign of its zeros.
_NOTHING = -0.0

# By NumPy's name: the operation.
FUNCTIONS: dict[str, Op] = {
    name: op(name)
    for name in (
        "absolute",
        "arccos",
        "arccosh",
        "arcsin",
        "arcsinh",
        "arctan",
        "arctanh",
        "cbrt",
        "ceil",
        "cos",
        "cosh",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "log",
        "log10",
        "log1p",
        "log2",
        "reciprocal",
        "rint",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "tan",
        "tanh",
        "trunc",
    )
} | {
    "degrees": op("affine", 180.0 / math.pi, _NOTHING),
    "isfinite": op("is_finite"),
    "isinf": op("is_infinite"),
    "isnan": op("is_missing"),
    "negative": op("affine", -1.0, _NOTHING),
    "radians": op("affine", math.pi / 180.0, _NOTHING),
    "signbit": op("sign_bit"),
}
# Second names of the same functions in NumPy.
FUNCTIONS |= {
    second: FUNCTIONS[first]
    for second, first in (
        ("abs", "absolute"),
        ("acos", "arccos"),
        ("acosh", "arccosh"),
        ("asin", "arcsin"),
        ("asinh", "arcsinh"),
        ("atan", "arctan"),
        ("atanh", "arctanh"),
        ("deg2rad", "radians"),
        ("fabs", "absolute"),
        ("rad2deg", "degrees"),
    )
}


@register
class Apply(Elementwise):
    """A function of each value, by its name in NumPy: numbers [rows] to FP64 [rows].

    `function` is one of absolute (abs, fabs), arccos, arccosh, arcsin, arcsinh, arctan, arctanh (acos and so
    on), cbrt, ceil, cos, cosh, degrees (rad2deg), exp, exp2, expm1, floor, isfinite, isinf, isnan, log,
    log10, log1p, log2, negative, radians (deg2rad), reciprocal, rint, sign, signbit, sin, sinh, sqrt, square,
    tan, tanh, trunc. Angles are in radians. Where a function has no value it gives NaN, as sqrt of -1, or an
    infinity, as log of 0. Missing stays missing, but isnan, isfinite, isinf and signbit give 0 or 1 for every
    value.

    As scikit-learn's FunctionTransformer of that function on doubles: to the last bits, in which NumPy's own
    vary with the processor. All is computed in double precision, integers too: NumPy's square, negative,
    absolute and reciprocal of integers are integers, which wrap around and round to zero.
    """

    kind = "apply"

    def __init__(self, columns: str | Sequence[str], function: str) -> None:
        super().__init__(columns)
        self.function = parameters.choice(self, "function", function, FUNCTIONS)

    def parameters(self) -> dict[str, Any]:
        """The columns and the function."""
        return {"columns": self.columns, "function": self.function}

    def operations(self, index: int) -> tuple[Op, ...]:
        """The function."""
        return (FUNCTIONS[self.function],)
