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
# Longer than any buffer, and of one beginning.
LONG_TEXTS = ["é" * 50_000, "é" * 50_000 + "x"]


@dataclass(frozen=True)
class Case:
    """A transform, and the same by somebody else.

    `train` and `rows` draw the column `x`, or a dict of columns; `target` among those of `train` is no column
    but what fit() gets as its target. `reference` makes a matrix of the second, fitted on the first. `then`
    are transforms behind it that show what it made, where that is no number.
    """

    name: str
    make: Callable[[], t.Transform] = field(repr=False)
    train: st.SearchStrategy[Any] = field(repr=False)
    rows: st.SearchStrategy[Any] = field(repr=False)
    reference: Callable[[Any, Any], Array] = field(repr=False)
    exact: bool = False
    then: Callable[[], list[t.Transform]] = field(default=list, repr=False)
    rtol: float = 1e-12
    atol: float = 1e-300

    def __str__(self) -> str:
        return self.name


def frame_of(drawn: Any) -> tuple[dict[str, Any], Any]:
    """The columns and the target of what a case drew."""
    columns = dict(drawn) if isinstance(drawn, dict) else {"x": drawn}
    return columns, columns.pop("target", None)


def rows_of(frame: dict[str, Any], rows: slice) -> dict[str, Any]:
    return {name: column[rows] for name, column in frame.items()}


def bulk(make: Callable[[np.random.Generator, int], Any], *, least: int = 1) -> st.SearchStrategy[Any]:
    """Many rows at a time, by NumPy from a drawn seed: `make(rng, rows)`."""
    sizes = st.integers(least, 1000) | st.sampled_from([32, 33, 128, 129])
    return st.builds(
        lambda seed, size: make(np.random.default_rng(seed), size), st.integers(0, 2**32 - 1), sizes
    )


def bulk_text(rng: np.random.Generator, rows: int, *, missing: bool) -> list[str | None]:
    """Of few texts many times, some of them awkward, and many others."""
    letters = np.array([*"abcXYZ019 _-.é√ßçЖ日本\t\n🛫\u0301", ""])
    pool: list[str | None] = [*AWKWARD_TEXTS, *(f"k{number}" for number in range(30))]
    pool += ["".join(rng.choice(letters, rng.integers(0, 12))) for _ in range(30)]
    pool += [None] * 8 if missing else []
    return [pool[index] for index in rng.integers(0, len(pool), rows)]


def texts(*, missing: bool) -> st.SearchStrategy[list[str | None]]:
    one: st.SearchStrategy[str | None] = st.sampled_from(AWKWARD_TEXTS) | st.text(max_size=20)
    few = st.lists(one | st.none() if missing else one, min_size=1, max_size=80)
    return few | bulk(partial(bulk_text, missing=missing))


def some_texts() -> st.SearchStrategy[list[str | None]]:
    """Missing ones among them; a list of nothing else would be a column of numbers."""
    return texts(missing=True).filter(lambda column: any(value is not None for value in column))


def bulk_floats(rng: np.random.Generator, rows: int, *, width: int, wild: bool) -> Array:
    """Around zero, with missing ones, some far away; of `wild` ones any bits."""
    dtype = np.float64 if width == 64 else np.float32
    made = rng.normal(0, 10.0 ** rng.integers(-3, 5), rows).astype(dtype)
    if wild:
        bits = rng.bytes(rows * width // 8)
        with np.errstate(invalid="ignore"):
            made = np.where(rng.random(rows) < 0.3, np.frombuffer(bits, dtype), made)
        made = np.where(rng.random(rows) < 0.1, rng.choice([np.inf, -np.inf, 0.0, -0.0], rows), made)
    return np.where(rng.random(rows) < 0.1, np.nan, made).astype(dtype)


def floats(width: int, *, wild: bool) -> st.SearchStrategy[Array]:
    """Columns with NaN among them; `wild` ones also have infinities and every magnitude."""
    dtype = np.float64 if width == 64 else np.float32
    many = bulk(partial(bulk_floats, width=width, wild=wild), least=2)
    if wild:
        return hnp.arrays(dtype, st.integers(1, 120), elements=st.floats(width=width)) | many
    values = st.floats(-1e6, 1e6, width=width) | st.just(float("nan"))
    return hnp.arrays(dtype, st.integers(2, 120), elements=values) | many


def some_values(columns: st.SearchStrategy[Array]) -> st.SearchStrategy[Array]:
    return columns.filter(lambda column: bool(np.isfinite(column).any()))


def numbers(width: int) -> st.SearchStrategy[Array]:
    return some_values(floats(width, wild=False))


def integers(dtype: type = np.int64) -> st.SearchStrategy[Array]:
    info = np.iinfo(dtype)
    many = bulk(lambda rng, rows: rng.integers(info.min, info.max, rows, dtype=dtype, endpoint=True))
    return hnp.arrays(dtype, st.integers(1, 120)) | many


def few_integers() -> st.SearchStrategy[Array]:
    one = st.integers(-3, 6) | st.sampled_from([2**62, -(2**63)])
    pool = np.array([*range(-3, 30), 2**62, -(2**63)])
    return hnp.arrays(np.int64, st.integers(1, 80), elements=one) | bulk(lambda rng, n: rng.choice(pool, n))


def few_floats(*, missing: bool) -> st.SearchStrategy[Array]:
    one = st.sampled_from([0.0, -0.0, 0.5, -1.0, 1e300, 3.0]) | st.floats(-2, 2)
    pool = np.array([0.0, -0.0, 0.5, -1.0, 1e300, 3.0, *np.linspace(-2, 2, 20), np.nan if missing else 7.0])
    if missing:
        one |= st.just(float("nan"))
    few = hnp.arrays(np.float64, st.integers(1, 80), elements=one)
    return few | bulk(lambda rng, rows: rng.choice(pool, rows))


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
    rows = texts(missing=True)
    return Case(
        f"{strategy} text", make, some_texts(), rows, reference, exact=True, then=lambda: [t.OneHot("x")]
    )


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
    "copy": [
        Case(
            "a number",
            lambda: t.Copy("x", "y"),
            floats(64, wild=True),
            floats(64, wild=True),
            lambda train, rows: np.column_stack([rows, rows]),
            exact=True,
        ),
        Case(
            "text",
            lambda: t.Copy("x", "y"),
            texts(missing=False),
            texts(missing=True),
            lambda train, rows: np.hstack([one_hot()(train, rows), ordinal(train, rows)]),
            exact=True,
            then=lambda: [t.OneHot("x"), t.Ordinal("y", unknown="value", unknown_value=-1)],
        ),
    ],
    "select": [
        Case(
            "only",
            lambda: t.Select("x", only=True),
            floats(32, wild=True),
            floats(32, wild=True),
            widened,
            exact=True,
        ),
        *(
            Case(
                np.dtype(kind).name,
                lambda: t.Select("x"),
                hnp.arrays(kind, 9),
                hnp.arrays(kind, 200) | hnp.arrays(kind, 1),
                widened,
                exact=True,
            )
            for kind in (
                *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
                *(np.float16, np.float32, np.float64),
            )
        ),
    ],
}
