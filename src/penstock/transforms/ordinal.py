"""Ordinal: categories as the numbers 0, 1, 2 ..."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from penstock.transforms import parameters
from penstock.transforms.categories import Given
from penstock.transforms.grouped import Grouped
from penstock.transforms.registry import register
from penstock.transforms.steps import Array


@register
class Ordinal(Grouped):
    """Categories as their index: text, integers or floats [rows] to FP64 [rows].

    The categories of a column are its distinct values at fit, ascending, or those of `categories`: a list for
    one column, a dict of lists for several. A missing value becomes `missing_value` where fit saw one (or
    `categories` holds None); elsewhere it is unknown. Of an unknown value, `unknown` makes an error, which
    names the row, or `unknown_value`. Neither value may be the index of a category. Empty text is a value
    like any other.

    `min_frequency` (rows, or as a float the share of rows) makes rarer categories one, whose index is behind
    those of the others. So does `max_categories` with the rarest, where there would be more. Missing is never
    one of them; both `unknown_value` and `missing_value` may be the index of the infrequent ones.

    The codes are those of scikit-learn's OrdinalEncoder, with the same defaults: an unknown value is an
    error, a missing one stays NaN. Its handle_unknown='use_encoded_value' is `unknown='value'` here, and its
    encoded_missing_value is `missing_value`. It differs in that `unknown_value` may be any number, not an
    integer or NaN only, and that None and NaN are one missing value.
    """

    kind = "ordinal"
    unknown_choices = ("error", "value")
    groups_missing = False

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        unknown: Literal["error", "value"] = "error",
        unknown_value: float | None = None,
        missing_value: float = math.nan,
        min_frequency: int | float | None = None,
        max_categories: int | None = None,
        categories: Given | None = None,
    ) -> None:
        super().__init__(columns, unknown, categories, min_frequency, max_categories)
        if (unknown_value is not None) != (self.unknown == "value"):
            raise self.error("unknown_value goes with unknown='value', and only with it", self.columns[0])
        self.unknown_value = None if unknown_value is None else self._code("unknown_value", unknown_value)
        self.missing_value = self._code("missing_value", missing_value)

    def _code(self, name: str, value: float) -> float:
        return parameters.number(self, name, value, infinite=True, missing=True)

    def parameters(self) -> dict[str, Any]:
        """The columns, their categories where given, which become one, and other values."""
        return {
            "columns": self.columns,
            "unknown": self.unknown,
            "unknown_value": self.unknown_value,
            "missing_value": self.missing_value,
            "min_frequency": self.min_frequency,
            "max_categories": self.max_categories,
            "categories": self.categories,
        }

    def check_categories(self, column: str) -> None:
        """The values for unknown and missing are no index of a category."""
        codes = range(len(self._found[column].values) - self._infrequent[column].size)
        if self.unknown_value is not None and self.unknown_value in codes:
            raise self.error(f"unknown_value {self.unknown_value:g} is the index of a category", column)
        if self._found[column].missing and self.missing_value in codes:
            raise self.error(f"missing_value {self.missing_value:g} is the index of a category", column)

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column of the same name."""
        return [(column, "FP64")]

    def codes(self, columns: Sequence[str]) -> tuple[Array, ...]:
        """FP64: the code of each category, of an unknown and of a missing value of each column; UINT8: what
        is refused of each column: 1 an unknown value, 2 a missing one too.
        """
        unknown = math.nan if self.unknown_value is None else self.unknown_value
        codes = {}
        for column in columns:
            found = self._found[column]
            places = self.places(column).astype(np.float64)
            codes[column] = np.append(places, self.missing_value) if found.missing else places
        return self.value_codes(columns, codes, dict.fromkeys(columns, np.array(unknown)))
