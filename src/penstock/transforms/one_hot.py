"""OneHot: a column of 0 and 1 for each category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from penstock.transforms.base import Array
from penstock.transforms.categorical import Categorical
from penstock.transforms.categories import Categories, Given
from penstock.transforms.registry import register

# What a kernel does for a value that sets no output, and for one that it refuses (ext/kernels/one_hot.pyx).
_NONE, _REFUSED = -1, -2


@register
class OneHot(Categorical):
    """Text, integers or floats [rows] to one FP64 column of 0 and 1 for each category.

    The outputs are named `carrier=AA`, in the order of the categories: the distinct values at fit,
    ascending, or those of `categories` (a list for one column, a dict of lists for several). Where fit saw
    a missing value (or `categories` holds None), missing is a category too, the last one,
    `carrier_missing`; elsewhere it is unknown. An unknown value sets none of the outputs, or with
    `unknown='error'` is an error that names the row. `drop='first'` leaves out the first category,
    `drop='if_binary'` the first of two.

    The values are those of scikit-learn's OneHotEncoder: the same order, `drop` and place of the missing
    category. It differs in that unknown values are ignored unless told otherwise (there: an error), that the
    outputs are dense, and named `carrier_AA` and `carrier_nan` there. None and NaN are one missing value, not
    two. Categories cannot be dropped by value or grouped by frequency.
    """

    kind = "one_hot"
    unknown_choices = ("ignore", "error")

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        unknown: Literal["ignore", "error"] = "ignore",
        drop: Literal["first", "if_binary"] | None = None,
        categories: Given | None = None,
    ) -> None:
        super().__init__(columns, unknown, categories)
        if drop not in (None, "first", "if_binary"):
            raise self.error(f"drop is {drop!r}, expected None, 'first' or 'if_binary'", self.columns[0])
        self.drop = drop

    def parameters(self) -> dict[str, Any]:
        """The columns, their categories where given, what is left out and what becomes of other values."""
        return {
            "columns": self.columns,
            "unknown": self.unknown,
            "drop": self.drop,
            "categories": self.categories,
        }

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column for each category that is not dropped."""
        names = [f"{column}={label}" for label in self._found[column].labels]
        if self._found[column].missing:
            names.append(f"{column}_missing")
        return [(name, "FP64") for name in names[self._dropped(self._found[column]) :]]

    def codes(self, columns: Sequence[str], found: Sequence[Categories]) -> tuple[Array, ...]:
        """INT32: the output that each category sets, and an unknown and a missing value of each column."""
        unknown = _REFUSED if self.unknown == "error" else _NONE
        positions: list[int] = []
        missing: list[int] = []
        first = 0  # of the column's outputs
        for each in found:
            dropped = self._dropped(each)
            count = len(each.values) + each.missing
            places = [_NONE if i < dropped else first + i - dropped for i in range(count)]
            positions += places[: len(each.values)]
            missing.append(places[-1] if each.missing else unknown)
            first += count - dropped
        return (
            np.array(positions, np.int32),
            np.full(len(columns), unknown, np.int32),
            np.array(missing, np.int32),
        )

    def _dropped(self, found: Categories) -> int:
        """How many categories, from the first on, have no output."""
        count = len(found.values) + found.missing
        return int(self.drop == "first" or (self.drop == "if_binary" and count == 2))
