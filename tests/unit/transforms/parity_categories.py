"""Transforms of categories against scikit-learn, and where it has no counterpart against plain Python."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st
from parity_cases import (
    AWKWARD_TEXTS,
    Case,
    bulk,
    bulk_text,
    few_floats,
    few_integers,
    integers,
    matrix,
    some_texts,
    texts,
)
from sklearn.feature_extraction import FeatureHasher
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.utils import murmurhash3_32

from penstock import transforms as t

Array = np.ndarray[Any, Any]
Columns = st.SearchStrategy[Any]

# What a transform is fitted on, and what it then reads, of each datatype.
KINDS: dict[str, tuple[Columns, Columns]] = {
    "text": (some_texts(), texts(missing=True)),
    "text, missing later": (texts(missing=False), texts(missing=True)),
    "integers": (few_integers(), few_integers()),
    "floats": (few_floats(missing=True), few_floats(missing=True)),
    "floats, missing later": (few_floats(missing=False), few_floats(missing=True)),
}


def as_nan(column: Any) -> Array:
    """A matrix of the column in which missing text is NaN."""
    return matrix([np.nan if v is None else v for v in column] if isinstance(column, list) else column)


def one_hot(**parameters: Any) -> Callable[[Any, Any], Array]:
    def reference(train: Any, rows: Any) -> Array:
        encoder = OneHotEncoder(sparse_output=False, **parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of unknown categories
            return np.asarray(encoder.fit(matrix(train)).transform(matrix(rows)))

    return reference


def ordinal(**parameters: Any) -> Callable[[Any, Any], Array]:
    def reference(train: Any, rows: Any) -> Array:
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2, **parameters
        )
        return np.asarray(encoder.fit(as_nan(train)).transform(as_nan(rows)))

    return reference


# How to group, and the kind of column to do it to.
GROUPINGS: list[tuple[dict[str, Any], str]] = [
    ({"min_frequency": 2}, "text"),
    ({"min_frequency": 0.1}, "text, missing later"),
    ({"max_categories": 3}, "text"),
    ({"max_categories": 1}, "text"),
    ({"min_frequency": 3, "max_categories": 5}, "floats"),
    ({"min_frequency": 0.2}, "floats, missing later"),
    ({"max_categories": 4}, "integers"),
]


def grouped_cases(
    make: Callable[..., t.Transform], reference: Callable[..., Callable[[Any, Any], Array]], name: str
) -> list[Case]:
    return [
        Case(
            f"{name} {grouping} {kind}",
            partial(make, "x", **grouping),
            *KINDS[kind],
            reference(**grouping),
            exact=True,
        )
        for grouping, kind in GROUPINGS
    ]


def mostly(columns: Columns, value: Any) -> Columns:
    """Columns with so many of it that it is frequent: scikit-learn drops no infrequent value."""

    def added(column: Any) -> Any:
        if isinstance(column, list):
            return column + [value] * (len(column) + 2)
        return np.append(column, np.full(len(column) + 2, value, column.dtype))

    return columns.map(added)


def drops() -> list[Case]:
    cases = []
    for kind, value, grouping in (
        ("text", "AA", {}),
        ("text", "Zürich", {"min_frequency": 2}),
        ("integers", 2, {"max_categories": 2}),
        ("floats", 0.5, {"min_frequency": 0.1}),
    ):
        train, rows = KINDS[kind]
        cases.append(
            Case(
                f"drop {value!r} {grouping}",
                partial(t.OneHot, "x", drop={"x": value}, unknown="infrequent", **grouping),
                mostly(train, value),
                rows,
                one_hot(drop=[value], handle_unknown="infrequent_if_exist", **grouping),
                exact=True,
            )
        )
    for drop in ("first", "if_binary"):
        cases.append(
            Case(
                f"drop {drop} of few",
                partial(t.OneHot, "x", drop=drop, max_categories=2),
                *KINDS["text"],
                one_hot(drop=drop, handle_unknown="ignore", max_categories=2),
                exact=True,
            )
        )
    return cases


def key_of(value: Any) -> Any:
    return None if value is None or value != value else value


def frequency(*, share: bool) -> Callable[[Any, Any], Array]:
    def reference(train: Any, rows: Any) -> Array:
        counts = Counter(map(key_of, train))
        return np.array([[counts[key_of(v)] / (len(train) if share else 1)] for v in rows], np.float64)

    return reference


TABLE = {text: [index, index / 3, -1e300] for index, text in enumerate(AWKWARD_TEXTS)}
NARROW = {2: [1.5, 2.0], -3: [0.0, -0.25], 2**62: [7.0, 8.0]}


def looked_up(table: dict[Any, list[float]], other: list[float]) -> Callable[[Any, Any], Array]:
    def reference(train: Any, rows: Any) -> Array:
        return np.array([table.get(key_of(value), other) for value in rows])

    return reference


def hashed(buckets: int, *, signed: bool = True, keyed: bool = False) -> Callable[[Any, Any], Array]:
    """Of one column or of several that add up."""

    def reference(train: Any, rows: Any) -> Array:
        columns = rows if isinstance(rows, dict) else {"x": rows}
        given = [
            {name: str(value) for name, value in zip(columns, row, strict=True) if value is not None}
            for row in zip(*columns.values(), strict=True)
        ]
        samples = given if keyed else [row.values() for row in given]
        hasher = FeatureHasher(
            buckets, input_type="dict" if keyed else "string", alternate_sign=signed, dtype=np.float64
        )
        return np.asarray(hasher.transform(samples).toarray())

    return reference


def index_of(text: str, buckets: int) -> int:
    return abs(int(murmurhash3_32(text.encode(), seed=0))) % buckets


def bucket_index(train: Any, rows: Any) -> Array:
    return np.array([[np.nan if value is None else index_of(str(value), 2**31 - 1)] for value in rows])


def written(value: Any) -> str:
    if value is None or value != value:
        return "\\missing"
    text = value if isinstance(value, str) else repr(value.item() + 0)
    return text.replace("\\", "\\\\").replace("|", "\\|")


def combinations(rows: dict[str, Any]) -> list[str]:
    return ["|".join(map(written, row)) for row in zip(*rows.values(), strict=True)]


def crossed(train: Any, rows: Any) -> Array:
    return one_hot(handle_unknown="ignore")(combinations(train), combinations(rows))


def crossed_index(train: Any, rows: Any) -> Array:
    return np.array([[index_of(text, 1000)] for text in combinations(rows)])


PARTS = [*AWKWARD_TEXTS, "a|b", "|", "\\", "a\\", "\\missing", "b", "", None]


def several(*, numbers: bool) -> Columns:
    """Columns a, b and c of few values, so that combinations come again."""

    def made(rng: np.random.Generator, rows: int) -> dict[str, Any]:
        least = int(rng.integers(0, len(PARTS) - 3))
        columns: dict[str, Any] = {
            name: [PARTS[index] for index in rng.integers(least, len(PARTS), rows)] for name in "ab"
        }
        for column in columns.values():
            column[0] = "AA"  # text, though all others may be missing
        columns["c"] = rng.choice([2, -7, 2**62, -(2**63)], rows)
        if numbers:
            columns["d"] = rng.choice([0.5, -0.0, 0.0, np.nan, np.inf, 1e300], rows)
        return columns

    return bulk(made)


def with_target(column: Callable[[np.random.Generator, int], Any], kind: str) -> Columns:
    def made(rng: np.random.Generator, rows: int) -> dict[str, Any]:
        if kind == "continuous":
            target: Any = rng.normal(rng.normal(0, 100), 10.0 ** rng.integers(-3, 4), rows)
        elif kind == "binary":
            target = rng.permutation(np.append([True, False], rng.random(rows - 2) < rng.random()))
        else:
            codes = rng.permutation(np.append(np.arange(4), rng.integers(0, 4, rows - 4)))
            target = [("late", "early", "Zürich", "on time")[code] for code in codes]
        return {"x": column(rng, rows), "target": target}

    return bulk(made, least=20)


def some_text(rng: np.random.Generator, rows: int) -> list[str | None]:
    return ["AA", *bulk_text(rng, rows - 1, missing=True)]


def some_floats(rng: np.random.Generator, rows: int) -> Array:
    return rng.choice([0.0, -0.0, 0.5, np.nan, 1e300, *range(10)], rows)


def some_integers(rng: np.random.Generator, rows: int) -> Array:
    return rng.integers(-3, 9, rows)


def target_encoded(**parameters: Any) -> Callable[[Any, Any], Array]:
    def reference(train: Any, rows: Any) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a target with as many classes as a quantity has
            encoder = TargetEncoder(**parameters).fit(as_nan(train["x"]), train["target"])
        return np.asarray(encoder.transform(as_nan(rows)))

    return reference


def target_encodes() -> list[Case]:
    columns: dict[str, tuple[Any, Columns]] = {
        "text": (some_text, texts(missing=True)),
        "floats": (some_floats, few_floats(missing=True)),
        "integers": (some_integers, few_integers()),
    }
    cases: list[tuple[str, str, Any]] = [
        ("continuous", "text", "auto"),
        ("continuous", "text", 0.0),
        ("continuous", "floats", 0.3),
        ("continuous", "integers", "auto"),
        ("binary", "text", "auto"),
        ("binary", "integers", 20.0),
        ("multiclass", "text", "auto"),
        ("multiclass", "floats", 0.3),
    ]
    return [
        Case(
            f"{target} of {name}, smooth {smooth}",
            partial(t.TargetEncode, "x", smooth=smooth, cv=2),
            with_target(columns[name][0], target),
            columns[name][1],
            target_encoded(smooth=smooth),
            exact=True,
        )
        for target, name, smooth in cases
    ]


PARITY: dict[str, list[Case]] = {
    "one_hot": [
        *grouped_cases(t.OneHot, partial(one_hot, handle_unknown="ignore"), "ignore"),
        *grouped_cases(
            partial(t.OneHot, unknown="infrequent"),
            partial(one_hot, handle_unknown="infrequent_if_exist"),
            "infrequent",
        ),
        *drops(),
    ],
    "ordinal": grouped_cases(
        partial(t.Ordinal, unknown="value", unknown_value=-1, missing_value=-2), ordinal, "ordinal"
    ),
    "frequency_encode": [
        Case(f"{unit} {kind}", partial(t.FrequencyEncode, "x", unit=unit), *columns, reference, exact=True)
        for unit, reference in (("share", frequency(share=True)), ("count", frequency(share=False)))
        for kind, columns in KINDS.items()
    ],
    "target_encode": target_encodes(),
    "embedding_lookup": [
        Case(
            "double precision, zeros",
            lambda: t.EmbeddingLookup("x", TABLE),
            *KINDS["text, missing later"],
            looked_up(TABLE, [0.0, 0.0, 0.0]),
            exact=True,
        ),
        Case(
            "missing has a vector, and so have unknown values",
            lambda: t.EmbeddingLookup("x", {**TABLE, None: [4.0, 5.0, 6.0]}, unknown=[0.1, 0.2, 0.3]),
            *KINDS["text"],
            looked_up({**TABLE, None: [4.0, 5.0, 6.0]}, [0.1, 0.2, 0.3]),
            exact=True,
        ),
        Case(
            "integers, single precision",
            lambda: t.EmbeddingLookup("x", NARROW, unknown=[-1.0, 0.5]),
            *KINDS["integers"],
            looked_up(NARROW, [-1.0, 0.5]),
            exact=True,
        ),
        Case(
            "floats, single precision but for the unknown",
            lambda: t.EmbeddingLookup("x", {0.0: [1.0], 0.5: [2.0], None: [3.0]}, unknown=[0.1]),
            *KINDS["floats"],
            looked_up({0.0: [1.0], 0.5: [2.0], None: [3.0]}, [0.1]),
            exact=True,
        ),
    ],
    "hash": [
        *(
            Case(
                f"{buckets} buckets, signed {signed}, keyed {keyed}",
                partial(t.Hash, "x", buckets, signed=signed, keyed=keyed),
                *KINDS["text"],
                hashed(buckets, signed=signed, keyed=keyed),
                exact=True,
            )
            for buckets, signed, keyed in (
                (1, True, False),
                (7, True, True),
                (64, False, False),
                (100, False, True),
            )
        ),
        Case("integers", lambda: t.Hash("x", 16), integers(), integers(), hashed(16), exact=True),
        Case(
            "small integers",
            lambda: t.Hash("x", 9),
            integers(np.int8),
            integers(np.int8),
            hashed(9),
            exact=True,
        ),
        Case(
            "unsigned",
            lambda: t.Hash("x", 9),
            integers(np.uint64),
            integers(np.uint64),
            hashed(9),
            exact=True,
        ),
        Case(
            "sum of columns",
            lambda: t.Hash(["a", "b", "c"], 12, combine="sum", keyed=True),
            several(numbers=False),
            several(numbers=False),
            hashed(12, keyed=True),
            exact=True,
        ),
        Case(
            "index",
            lambda: t.Hash("x", 2**31 - 1, output="index"),
            *KINDS["text"],
            bucket_index,
            exact=True,
        ),
        Case(
            "index of a combination",
            lambda: t.Hash(["a", "b", "c"], 1000, output="index", combine="cross"),
            several(numbers=False),
            several(numbers=False),
            crossed_index,
            exact=True,
        ),
    ],
    "cross": [
        Case(
            "text, integers and floats",
            lambda: t.Cross(["a", "b", "c", "d"], name="all"),
            several(numbers=True),
            several(numbers=True),
            crossed,
            exact=True,
            then=lambda: [t.OneHot("all")],
        ),
        Case(
            "hashed behind",
            lambda: t.Cross(["a", "b", "c"]),
            rows := several(numbers=False),
            rows,
            lambda train, rows: np.where(
                np.isin(combinations(rows), combinations(train))[:, None],
                crossed_index(train, rows),
                index_of("\\unseen", 1000),
            ),
            exact=True,
            then=lambda: [t.Hash("a|b|c", 1000, output="index")],
        ),
    ],
}
