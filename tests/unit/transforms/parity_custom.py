"""Custom transforms against the same functions written with NumPy's arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from parity_cases import Case, floats, integers

from penstock import transforms as t

Array = np.ndarray[Any, Any]

SCALE = 0.25
POWERS = (1.0, -2.0, 0.5)


def scaled(x: float) -> float:
    return (x - 3.0) / 7.0 * SCALE


def parts(x: float) -> tuple[float, float, float]:
    if math.isnan(x):
        return -1.0, 0.0, 1.0
    return np.floor(x), abs(x), x > 0


def horner(x: float) -> float:
    total = 0.0
    for power in POWERS:
        total = total * x + power
    return total


def inverse(x: float) -> float:
    return 1.0 / x


def polynomial_and_inverse(x: float) -> tuple[float, float]:
    return horner(x), inverse(x)


def between(a: float, b: float) -> tuple[float, float]:
    difference = a - b

    def root(y: float) -> float:
        return np.sqrt(abs(y))

    return root(difference), np.log1p(b * b)


def of_parts(train: Array, rows: Array) -> Array:
    x = rows.astype(np.float64)
    known = np.column_stack([np.floor(x), np.abs(x), x > 0])
    return np.where(np.isnan(x)[:, None], [-1.0, 0.0, 1.0], known)


def of_polynomial(train: Array, rows: Array) -> Array:
    x = rows.astype(np.float64)
    a, b, c = POWERS
    return np.column_stack([((0.0 * x + a) * x + b) * x + c, 1.0 / x])


def of_between(train: Any, rows: dict[str, Array]) -> Array:
    a, b = rows["a"].astype(np.float64), rows["b"].astype(np.float64)
    return np.column_stack([np.sqrt(np.abs(a - b)), np.log1p(b * b)])


def pairs() -> st.SearchStrategy[dict[str, Array]]:
    def of(rows: int) -> st.SearchStrategy[dict[str, Array]]:
        narrow = hnp.arrays(np.float32, rows, elements=st.floats(width=32))
        return st.fixed_dictionaries({"a": narrow, "b": hnp.arrays(np.int16, rows)})

    return st.integers(1, 200).flatmap(of)


def wild(width: int) -> st.SearchStrategy[Array]:
    return floats(width, wild=True)


PARITY: dict[str, list[Case]] = {
    "custom": [
        Case(
            "arithmetic",
            lambda: t.Custom("x", scaled),
            wild(64),
            wild(64),
            lambda train, rows: ((rows - 3.0) / 7.0 * SCALE)[:, None],
            exact=True,
        ),
        Case(
            "several outputs of FP32",
            lambda: t.Custom("x", parts, ["low", "size", "positive"]),
            wild(32),
            wild(32),
            of_parts,
            exact=True,
        ),
        Case(
            "integers, helpers, a loop over a constant",
            lambda: t.Custom("x", polynomial_and_inverse, ["p", "i"], helpers=[horner, inverse]),
            integers(np.int64),
            integers(np.int64),
            of_polynomial,
            exact=True,
        ),
        Case(
            "two columns of two types",
            lambda: t.Custom(["a", "b"], between, ["root", "log"]),
            pairs(),
            pairs(),
            of_between,
        ),
    ]
}
