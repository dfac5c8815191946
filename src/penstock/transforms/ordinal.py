"""Ordinal: categories as the numbers 0, 1, 2 ..."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from penstock.frames import Column
from penstock.transforms.base import Array, Step, Transform
from penstock.transforms.categories import (
    CATEGORICAL,
    Categories,
    Given,
    call_groups,
    check_given,
    learn_categories,
    lookup_arrays,
    restore_categories,
    save_categories,
)
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved


@register
class Ordinal(Transform):
    """Categories as their index: text, integers or floats [rows] to FP64 [rows], as OrdinalEncoder.

    The categories of a column are its distinct values at fit, ascending, or those of `categories`: a list
    for one column, a dict of lists for several. A missing value becomes `missing_value` where fit saw one
    (or `categories` holds None); elsewhere it is unknown. Of an unknown value, `unknown` makes an error,
    which names the row, or `unknown_value`. Neither value may be the index of a category.
    """

    kind = "ordinal"
    accepts = CATEGORICAL

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        unknown: Literal["error", "value"] = "error",
        unknown_value: float | None = None,
        missing_value: float = math.nan,
        categories: Given | None = None,
    ) -> None:
        super().__init__(columns)
        first = self.columns[0]
        if unknown not in ("error", "value"):
            raise self.error(f"unknown is {unknown!r}, expected 'error' or 'value'", first)
        if (unknown_value is not None) != (unknown == "value"):
            raise self.error("unknown_value goes with unknown='value', and only with it", first)
        for name, value in (("unknown_value", unknown_value), ("missing_value", missing_value)):
            if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
                raise self.error(f"{name} is {value!r}, expected a number", first)
        if missing_value is None:
            raise self.error("missing_value is None, expected a number or NaN", first)
        self.unknown = unknown
        self.unknown_value = None if unknown_value is None else float(unknown_value)
        self.missing_value = float(missing_value)
        self.categories = check_given(self, categories)
        self._found: dict[str, Categories] = {}
        self._saved: dict[str, Array] = {}

    def parameters(self) -> dict[str, Any]:
        """The columns, their categories where given, and what becomes of other values."""
        return {
            "columns": self.columns,
            "unknown": self.unknown,
            "unknown_value": self.unknown_value,
            "missing_value": self.missing_value,
            "categories": self.categories,
        }

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the categories."""
        found = {}
        for column in self.columns:
            given = None if self.categories is None else self.categories[column]
            found[column] = learn_categories(self, column, columns[column], datatypes[column], given)
        self._take(found, datatypes)

    def _take(self, found: dict[str, Categories], datatypes: Mapping[str, str]) -> None:
        for column, categories in found.items():
            codes = range(len(categories.values))
            if self.unknown_value is not None and self.unknown_value in codes:
                raise self.error(f"unknown_value {self.unknown_value:g} is the index of a category", column)
            if categories.missing and self.missing_value in codes:
                raise self.error(f"missing_value {self.missing_value:g} is the index of a category", column)
        self._found = found
        self._saved = save_categories(found, datatypes)

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column of the same name."""
        return [(column, "FP64")]

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call for all text and one for all numbers; one a column where unknown values are errors."""
        steps = []
        for columns in call_groups(self.columns, datatypes, each_alone=self.unknown == "error"):
            found = [self._found[column] for column in columns]
            text = datatypes[columns[0]] == "BYTES"
            unknown = math.nan if self.unknown_value is None else self.unknown_value
            refused = int(self.unknown == "error")
            state = (
                *lookup_arrays(found, text=text),
                np.concatenate([np.arange(len(each.values), dtype=np.float64) for each in found]),
                np.full(len(columns), unknown),
                np.array([self.missing_value if each.missing else unknown for each in found]),
                np.array([refused if each.missing else 2 * refused for each in found], np.uint8),
            )
            kernel = "ordinal_text" if text else "ordinal_number"
            outputs = tuple((column, "FP64") for column in columns)
            steps.append(Step(f"{self.kind}({', '.join(columns)})", kernel, state, columns, outputs))
        return steps

    def learned(self) -> dict[str, Any]:
        """In which columns missing is a category."""
        return {"missing": [self._found[column].missing for column in self.columns]}

    def arrays(self) -> dict[str, Array]:
        """The categories of each column."""
        return self._saved

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Distinct categories of the columns' kinds."""
        self._take(restore_categories(saved, self.columns, datatypes), datatypes)
