"""The transforms: signatures, docstrings, and what each makes of a small column."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from parts.api import initializer, paragraphs, signature
from parts.tables import rows
from penstock import transforms as t

# One call of each transform, and the column that it is shown on.
EXAMPLES: dict[str, tuple[str, list[Any]]] = {
    "cyclic": ('t.Cyclic("x", period=24)', [0, 6, 12, 23]),
    "impute": ('t.Impute("x", strategy="median", indicator=True)', [1.0, None, 3.0, 8.0]),
    "log1p": ('t.Log1p("x")', [0.0, 1.0, 99.0, None]),
    "one_hot": ('t.OneHot("x")', ["AA", "UA", "AA", None]),
    "ordinal": ('t.Ordinal("x", unknown="value", unknown_value=-1)', ["AA", "UA", "B6", None]),
    "select": ('t.Select("x")', [True, False, True, True]),
    "standardize": ('t.Standardize("x")', [1.0, 2.0, 3.0, None]),
}


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
        parts.append(f"Reads {reads}. Its kind in saved documents: `{kind}`.\n\n`{call}` on a column `x`:\n")
        parts.append(example(call, column) + "\n")
    return "\n".join(parts)


def example(call: str, column: list[Any]) -> str:
    """A table of the column and of what the transform makes of it, computed by the kernels."""
    features = t.Features([eval(call, {"t": t})])
    made = features.fit_transform({"x": column})
    names = [f"`{name}`" for name in features.output_names]
    lines = [
        (shown(x), *(shown(value) for value in row)) for x, row in zip(column, made.tolist(), strict=True)
    ]
    return rows(("x", *names), lines)


def shown(value: Any) -> str:
    """A value in a table."""
    if value is None or value != value:
        return "missing"
    if isinstance(value, float):
        return np.format_float_positional(round(value, 4) + 0.0, trim="-")
    return str(value)
