"""The transforms: signatures, docstrings, and what each makes of a small column."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from parts.api import initializer, paragraphs, signature
from parts.tables import rows
from penstock import transforms as t

# One call of each transform, with another behind it where it makes text, and the column `x` that it is shown
# on, or a dict of columns; `target` is none.
EXAMPLES: dict[str, tuple[str, list[Any] | dict[str, list[Any]]]] = {
    "apply": ('t.Apply("x", "sqrt")', [0.0, 2.0, 9.0, None]),
    "arithmetic": (
        't.Arithmetic(["x", "y"], "ratio", keep=True)',
        {"x": [10.0, 3.0, None], "y": [4.0, 0.0, 2.0]},
    ),
    "binarize": ('t.Binarize("x", threshold=0.5)', [0.2, 0.5, 0.7, None]),
    "bucketize": ('t.Bucketize("x", edges=[0, 10])', [-3.0, 0.0, 9.5, 10.0, None]),
    "cast": ('t.Cast("x", "INT32")', [-1.5, 0.5, 7.0]),
    "clip": ('t.Clip("x", lower=0, upper=1)', [-2.0, 0.3, 8.0, None]),
    "copy": ('t.Copy("x", "y")', [1.0, 2.0]),
    "cross": (
        't.Cross(["x", "y"]), t.OneHot("x|y")',
        {"x": ["AA", "AA", "UA", None], "y": ["JFK", "LGA", "JFK", "JFK"]},
    ),
    "custom": ('t.Custom(["x", "y"], speed, keep=True)', {"x": [10.0, 3.0, None], "y": [30, 0, 12]}),
    "cyclic": ('t.Cyclic("x", period=24)', [0, 6, 12, 23]),
    "date_parts": (
        't.DateParts("x", ["month", "weekday", "hour"], time_zone="Europe/Zurich")',
        ["2024-02-29T23:30:00Z", "2024-07-01T08:00", "2024-12-24", None],
    ),
    "embedding_lookup": (
        't.EmbeddingLookup("x", {"JFK": [0.5, -1.25], "LGA": [0.75, 2.0]})',
        ["LGA", "JFK", "SFO", None],
    ),
    "frequency_encode": ('t.FrequencyEncode("x")', ["AA", "UA", "AA", None]),
    "hash": ('t.Hash("x", buckets=4)', ["AA", "UA", "B6", None]),
    "haversine": (
        't.Haversine(["lat", "lon", "to_lat", "to_lon"])',
        {"lat": [40.64, 52.52], "lon": [-73.78, 13.4], "to_lat": [33.94, 48.86], "to_lon": [-118.41, 2.35]},
    ),
    "impute": ('t.Impute("x", strategy="median", indicator=True)', [1.0, None, 3.0, 8.0]),
    "log1p": ('t.Log1p("x")', [0.0, 1.0, 99.0, None]),
    "max_abs": ('t.MaxAbs("x")', [-4.0, 0.0, 2.0, None]),
    "min_max": ('t.MinMax("x")', [1.0, 3.0, 5.0, None]),
    "missing_indicator": ('t.MissingIndicator("x", missing_value=-999, keep=True)', [1.0, -999.0, 3.0, None]),
    "normalize": ('t.Normalize(["x", "y"])', {"x": [3.0, 0.0, 1.0], "y": [4.0, 0.0, None]}),
    "one_hot": ('t.OneHot("x")', ["AA", "UA", "AA", None]),
    "ordinal": ('t.Ordinal("x", unknown="value", unknown_value=-1)', ["AA", "UA", "B6", None]),
    "polynomial": ('t.Polynomial(["x", "y"], degree=2)', {"x": [2.0, 3.0, None], "y": [5.0, -1.0, 1.0]}),
    "power": ('t.Power("x")', [0.1, 0.4, 1.5, 9.0, None]),
    "quantile": ('t.Quantile("x")', [3.0, 1.0, 40.0, 7.0, None]),
    "robust": ('t.Robust("x")', [1.0, 2.0, 3.0, 1000.0, None]),
    "select": ('t.Select("x")', [True, False, True, True]),
    "spline": ('t.Spline("x", knots=3, degree=2)', [0.0, 2.5, 5.0, 10.0, None]),
    "standardize": ('t.Standardize("x")', [1.0, 2.0, 3.0, None]),
    "target_encode": (
        't.TargetEncode("x", smooth=1, cv=2)',
        {"x": ["AA", "AA", "UA", "UA", None], "target": [1, 0, 1, 1, 0]},
    ),
    "text_hash": (
        't.TextHash("x", 4, ngram_range=(1, 2), norm=None)',
        ["late departure", "late, late departure", None],
    ),
    "tf_idf": ('t.TfIdf("x", norm=None)', ["late departure", "late arrival, late again", None]),
}


def speed(x: float, y: float) -> float:
    """For Custom: kilometres and minutes."""
    return x / y * 60


def transforms() -> str:
    """Each transform: its signature, what it says of itself, and what it makes of a small column."""
    if set(EXAMPLES) != set(t.REGISTRY):
        sys.exit(f"docs/generate.py: EXAMPLES and the registry differ by {set(EXAMPLES) ^ set(t.REGISTRY)}")
    parts = []
    for kind, made in sorted(t.REGISTRY.items()):
        call, column = EXAMPLES[kind]
        reads = "numbers and text" if "BYTES" in made.accepts else "numbers"
        made_by = signature(made.__name__, initializer(made))
        parts.append(f"## {made.__name__}\n\n```python\n{made_by}\n```\n\n{paragraphs(made)}\n")
        parts.append(f"Reads {reads}. Its kind in saved documents: `{kind}`.\n\n`{call}`:\n")
        columns = column if isinstance(column, dict) else {"x": column}
        parts.append(example(call, columns) + "\n")
    return "\n".join(parts)


def example(call: str, columns: dict[str, list[Any]]) -> str:
    """A table of the columns and of what the transform makes of them, computed by the kernels."""
    called = eval(call, {"t": t, "speed": speed})
    features = t.Features(called if isinstance(called, tuple) else [called])
    frame = {name: column for name, column in columns.items() if name != "target"}
    features.fit(frame, columns.get("target"))
    made = features.transform(frame)
    names = [f"`{name}`" for name in features.output_names]
    given = zip(*columns.values(), strict=True)
    lines = [
        tuple(shown(value) for value in (*row, *outputs))
        for row, outputs in zip(given, made.tolist(), strict=True)
    ]
    return rows((*columns, *names), lines)


def shown(value: Any) -> str:
    """A value in a table."""
    if value is None or value != value:
        return "missing"
    if isinstance(value, float):
        return np.format_float_positional(round(value, 4) + 0.0, trim="-")
    return str(value)
