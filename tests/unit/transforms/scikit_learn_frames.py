"""Frames to fit scikit-learn's transformers on and to compare them: numbers, categories and sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
Make = Callable[[np.random.Generator, int, bool], Any]  # of a seed, rows, and whether to fit on them

WORDS = ["", " ", "AA", "UA", "aa", "Zürich", "東京", "🛫", "x" * 300, "nan", "a=b", "B6", "None", "İstanbul"]
SENTENCES = [
    "",
    "the quick brown fox",
    "The QUICK fox, the fox!",
    "Zürich is naïve: ÉTÉ été",
    "東京 タワー",
    "a b c",
    "under_score 42 4.2 x2",
    "ΌΔΟΣ Σίσυφος ς",
    "  spaces\tand\nlines  ",
    "e\u0301te\u0301 ﬁne ½",
    "long " * 200,
    "🛫 takes off",
]


def numbers(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    """Numbers of several types and magnitudes without a missing one."""
    spread = 1.0 if fit else 1.5  # beyond what was fitted on
    return pd.DataFrame(
        {
            "small": spread * rng.normal(size=rows),
            "large, positive": np.exp(spread * rng.normal(size=rows)) * 1e6 + 1.0,
            "few": rng.choice([-1.0, 0.0, 2.5, 3.0], rows),
            "count": rng.integers(-3, 40, rows),
            "Größe": rng.normal(size=rows).astype(np.float32),
        }
    )


def gaps(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    """Numbers with missing ones among them."""
    frame = numbers(rng, rows, fit).astype({"count": np.float64})
    for column in ("small", "large, positive", "few"):
        frame.loc[rng.random(rows) < 0.2, column] = np.nan
    return frame


def empty_column(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    """One column without a value among others."""
    frame = gaps(rng, rows, fit)
    return frame.assign(few=np.nan) if fit else frame


def single(make: Make) -> Make:
    """The same in single precision throughout."""
    return lambda rng, rows, fit: make(rng, rows, fit).astype(np.float32)


def matrix(make: Make, dtype: Any = np.float64) -> Make:
    """The same as a NumPy matrix."""
    return lambda rng, rows, fit: make(rng, rows, fit).to_numpy(dtype)


def marked(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    """Missing numbers are -1."""
    frame = numbers(rng, rows, fit)[["small", "count"]]
    frame.loc[rng.random(rows) < 0.2, "small"] = -1.0
    frame.loc[rng.random(rows) < 0.2, "count"] = -1
    return frame


def tenths(rng: np.random.Generator, rows: int, fit: bool) -> Array:
    """Single precision, on which a threshold lies."""
    return rng.choice([0.1, 0.2, 0.3], (rows, 2)).astype(np.float32)


def positive(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    return numbers(rng, rows, fit)[["small", "large, positive", "few"]].abs() + 0.01


def wild(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    """Any doubles, infinities and NaN among them."""
    bits = np.frombuffer(rng.bytes(16 * rows), np.float64).reshape(rows, 2)
    made = np.where(rng.random((rows, 2)) < 0.5, bits, rng.normal(size=(rows, 2)))
    made = np.where(
        rng.random((rows, 2)) < 0.1, rng.choice([np.inf, -np.inf, np.nan, 0.0, -0.0], (rows, 2)), made
    )
    return pd.DataFrame(made, columns=["x", "y"])


def words(
    rng: np.random.Generator,
    rows: int,
    fit: bool,
    *,
    missing: Any = None,
    dtype: Any = object,
    new: bool = True,
) -> pd.DataFrame:
    """Text, integers, floats and booleans as categories. Rows to compare have others too, where `new`."""
    known = [word for word in WORDS if word or missing is None]
    pool: list[Any] = [*known, *([] if fit or not new else ["never seen", "ß" * 400])]
    weights = 1.0 / np.arange(1, len(pool) + 1)
    text = pd.Series(rng.choice(np.array(pool, object), rows, p=weights / weights.sum()), dtype=dtype)
    if fit:
        text[: len(known)] = known  # each at least once
    if missing is not None:
        text[rng.random(rows) < 0.2] = missing
    high = 6 if fit or not new else 9
    rating = rng.choice([0.0, 0.5, 1.5, -2.0, *([] if fit or not new else [7.25])], rows)
    level = rng.integers(0, high, rows)
    if fit:
        level[:6] = range(6)
        rating[:4] = [0.0, 0.5, 1.5, -2.0]
    flag = rng.random(rows) < 0.3
    flag[:2] = [True, False]
    return pd.DataFrame({"carrier": text, "level": level, "rating": rating, "flag": flag})


def known_words(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    return words(rng, rows, fit, new=False)


def words_with_nan(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    frame = words(rng, rows, fit, missing=np.nan)
    frame.loc[rng.random(rows) < 0.2, "rating"] = np.nan
    return frame


def words_with_none(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    frame = words(rng, rows, fit, missing=np.nan)[["carrier", "level"]]
    return frame.assign(carrier=frame["carrier"].where(frame["carrier"].notna(), None).astype(object))


def words_of_type(dtype: str) -> Make:
    return lambda rng, rows, fit: words(rng, rows, fit, dtype=object).astype({"carrier": dtype})


def later_gaps(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    """Missing ones in the rows to compare only."""
    return words(rng, rows, fit, missing=None if fit else np.nan)


def word_matrix(rng: np.random.Generator, rows: int, fit: bool) -> Array:
    return words(rng, rows, fit)[["carrier"]].assign(other=lambda f: f["carrier"].str[:1]).to_numpy(object)


def sentences(rng: np.random.Generator, rows: int, fit: bool) -> list[str]:
    made = list(rng.choice(SENTENCES, rows))
    made += [
        " ".join(rng.choice(["fox", "jumps", "the", "x", "Über", "日本"], rng.integers(0, 6)))
        for _ in range(rows)
    ]
    return [*SENTENCES, *made][:rows] if fit else made[:rows]


def texts_and_numbers(rng: np.random.Generator, rows: int, fit: bool) -> pd.DataFrame:
    frame = words(rng, rows, fit, missing=np.nan)
    frame = pd.concat([frame, gaps(rng, rows, fit)], axis=1)
    return frame.assign(note=sentences(rng, rows, fit))
