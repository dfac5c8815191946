"""For each transform the cases that hold it against scikit-learn or NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from penstock import transforms as t

Array = np.ndarray[Any, Any]

AWKWARD_TEXTS = [
    "",
    " ",
    "AA",
    "UA",
    "B6",
    "aa",
    "Zürich",
    "東京",
    "🛫",
    "a" * 7,
    "a" * 8,
    "a" * 9,
    "x" * 300,
    "nan",
]


@dataclass(frozen=True)
class Case:
    """`train` and `rows` draw columns; `reference` makes a matrix of the second, fitted on the first."""

    name: str
    make: Callable[[], t.Transform] = field(repr=False)
    train: st.SearchStrategy[Any] = field(repr=False)
    rows: st.SearchStrategy[Any] = field(repr=False)
    reference: Callable[[Any, Any], Array] = field(repr=False)
    exact: bool = False

    def __str__(self) -> str:
        return self.name


def texts(*, missing: bool) -> st.SearchStrategy[list[str | None]]:
    one: st.SearchStrategy[str | None] = st.sampled_from(AWKWARD_TEXTS) | st.text(max_size=20)
    return st.lists(one | st.none() if missing else one, min_size=1, max_size=80)


def some_texts() -> st.SearchStrategy[list[str | None]]:
    """Missing ones among them; a list of nothing else would be a column of numbers."""
    return texts(missing=True).filter(lambda column: any(value is not None for value in column))


def floats(width: int, *, wild: bool) -> st.SearchStrategy[Array]:
    """Columns with NaN among them; `wild` ones also have infinities and every magnitude."""
    dtype = np.float64 if width == 64 else np.float32
    if wild:
        return hnp.arrays(dtype, st.integers(1, 120), elements=st.floats(width=width))
    values = st.floats(-1e6, 1e6, width=width) | st.just(float("nan"))
    return hnp.arrays(dtype, st.integers(2, 120), elements=values)


def some_values(columns: st.SearchStrategy[Array]) -> st.SearchStrategy[Array]:
    return columns.filter(lambda column: bool(np.isfinite(column).any()))


def numbers(width: int) -> st.SearchStrategy[Array]:
    return some_values(floats(width, wild=False))


def integers(dtype: type = np.int64) -> st.SearchStrategy[Array]:
    return hnp.arrays(dtype, st.integers(1, 120))


def few_integers() -> st.SearchStrategy[Array]:
    one = st.integers(-3, 6) | st.sampled_from([2**62, -(2**63)])
    return hnp.arrays(np.int64, st.integers(1, 80), elements=one)


def few_floats(*, missing: bool) -> st.SearchStrategy[Array]:
    one = st.sampled_from([0.0, -0.0, 0.5, -1.0, 1e300, 3.0]) | st.floats(-2, 2)
    if missing:
        one |= st.just(float("nan"))
    return hnp.arrays(np.float64, st.integers(1, 80), elements=one)


def matrix(column: Any) -> Array:
    if isinstance(column, list):
        made = np.empty((len(column), 1), object)
        made[:, 0] = column
        return made
    return np.asarray(column).astype(np.float64)[:, None] if column.dtype.kind == "f" else column[:, None]


def standardized(**parameters: Any) -> Callable[[Array, Array], Array]:
    def reference(train: Array, rows: Array) -> Array:
        scaler = StandardScaler(**parameters).fit(matrix(train))
        expected = scaler.transform(np.where(np.isinf(matrix(rows)), 0.0, matrix(rows)))
        return np.where(np.isinf(matrix(rows)), matrix(rows), expected)  # scikit-learn refuses infinities

    return reference


def imputed(**parameters: Any) -> Callable[[Any, Any], Array]:
    def reference(train: Any, rows: Any) -> Array:
        text = isinstance(train, list)
        imputer = SimpleImputer(missing_values=None if text else np.nan, **parameters).fit(matrix(train))
        given = matrix(rows)
        infinite = np.zeros(given.shape, bool) if text else np.isinf(given)
        expected = imputer.transform(np.where(infinite, 0.0, given) if infinite.any() else given)
        expected[:, :1] = np.where(infinite, given, expected[:, :1])
        return expected

    return reference


def one_hot(**parameters: Any) -> Callable[[Any, Any], Array]:
    def reference(train: Any, rows: Any) -> Array:
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, **parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of unknown categories
            return np.asarray(encoder.fit(matrix(train)).transform(matrix(rows)))

    return reference


def ordinal(train: Any, rows: Any) -> Array:
    # It takes NaN, not None, for a missing text.
    train, rows = (
        [np.nan if v is None else v for v in c] if isinstance(c, list) else c for c in (train, rows)
    )
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    return np.asarray(encoder.fit(matrix(train)).transform(matrix(rows)))


def around(train: Array, rows: Array) -> Array:
    angle = 2 * np.pi * (np.fmod(matrix(rows), 24.0) / 24.0)
    return np.hstack([np.sin(angle), np.cos(angle)])


def widened(train: Array, rows: Array) -> Array:
    return rows.astype(np.float64)[:, None]


def log_of(train: Array, rows: Array) -> Array:
    return np.log1p(rows.astype(np.float64))[:, None]


def ordinal_transform() -> t.Transform:
    return t.Ordinal("x", unknown="value", unknown_value=-1, missing_value=-2)


def categorical(
    name: str, make: Callable[[], t.Transform], reference: Callable[[Any, Any], Array]
) -> list[Case]:
    columns = {
        "text": (texts(missing=False), texts(missing=False)),
        "text, missing": (some_texts(), texts(missing=True)),
        "text, missing later": (texts(missing=False), texts(missing=True)),
        "integers": (few_integers(), few_integers()),
        "floats": (few_floats(missing=True), few_floats(missing=True)),
        "floats, missing later": (few_floats(missing=False), few_floats(missing=True)),
    }
    return [
        Case(f"{name} {kind}", make, train, rows, reference, exact=True)
        for kind, (train, rows) in columns.items()
    ]


def imputes(strategy: Any, **fill: Any) -> list[Case]:
    return [
        Case(
            f"{strategy} {width}, indicator {indicator}",
            partial(t.Impute, "x", strategy, indicator=indicator, **fill),
            numbers(width),
            floats(width, wild=True),
            imputed(strategy=strategy, add_indicator=indicator, **fill),
        )
        for width, indicator in ((64, False), (64, True), (32, True))
    ]


def text_impute(strategy: Any, **fill: Any) -> Case:
    """Text in, so that a OneHot behind it shows what was filled in."""
    fills = imputed(strategy=strategy, **fill)

    def reference(train: list[str | None], rows: list[str | None]) -> Array:
        known = fills(train, train)[:, 0].tolist()
        return one_hot()(known, fills(train, rows)[:, 0].tolist())

    make = partial(t.Impute, "x", strategy, **fill)
    return Case(f"{strategy} text", make, some_texts(), texts(missing=True), reference, exact=True)


PARITY: dict[str, list[Case]] = {
    "impute": [
        *imputes("mean"),
        *imputes("median"),
        *imputes("most_frequent"),
        *imputes("constant", fill_value=-7.5),
        text_impute("most_frequent"),
        text_impute("constant", fill_value="none"),
    ],
    "standardize": [
        Case("both", lambda: t.Standardize("x"), numbers(64), floats(64, wild=True), standardized()),
        Case("FP32", lambda: t.Standardize("x"), numbers(32), floats(32, wild=True), standardized()),
        Case("integers", lambda: t.Standardize("x"), integers(np.int16), integers(np.int16), standardized()),
        Case(
            "mean",
            lambda: t.Standardize("x", with_std=False),
            numbers(64),
            floats(64, wild=True),
            standardized(with_std=False),
        ),
        Case(
            "scale",
            lambda: t.Standardize("x", with_mean=False),
            numbers(64),
            floats(64, wild=True),
            standardized(with_mean=False),
        ),
    ],
    "ordinal": categorical("ordinal", ordinal_transform, ordinal),
    "one_hot": [
        *categorical("one-hot", lambda: t.OneHot("x"), one_hot()),
        *categorical("drop first", lambda: t.OneHot("x", drop="first"), one_hot(drop="first")),
        *categorical("drop binary", lambda: t.OneHot("x", drop="if_binary"), one_hot(drop="if_binary")),
    ],
    "cyclic": [
        Case("FP64", lambda: t.Cyclic("x", 24), floats(64, wild=True), floats(64, wild=True), around),
        Case("FP32", lambda: t.Cyclic("x", 24), floats(32, wild=True), floats(32, wild=True), around),
        Case("integers", lambda: t.Cyclic("x", 24), integers(), integers(), around),
    ],
    "log1p": [
        Case("FP64", lambda: t.Log1p("x"), floats(64, wild=True), floats(64, wild=True), log_of),
        Case("FP32", lambda: t.Log1p("x"), floats(32, wild=True), floats(32, wild=True), log_of),
    ],
    "select": [
        Case(
            np.dtype(kind).name,
            lambda: t.Select("x"),
            hnp.arrays(kind, 9),
            hnp.arrays(kind, 40),
            widened,
            exact=True,
        )
        for kind in (
            *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
            *(np.float16, np.float32, np.float64),
        )
    ],
}
