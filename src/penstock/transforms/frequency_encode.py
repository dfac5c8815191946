"""FrequencyEncode: how often a category was seen in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms.categorical import Categorical
from penstock.transforms.categories import category_indices
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array

Unit = Literal["share", "count"]


@register
class FrequencyEncode(Categorical):
    """Categories as how often fit saw them: text, integers or floats [rows] to FP64 [rows].

    `unit` is 'share' (of all rows, from 0 to 1) or 'count' (rows). Missing values, where fit saw some, are
    counted like a category of their own, and empty text is a value like any other. A value that fit did not
    see becomes 0, or with `unknown='error'` is an error that names the row.

    scikit-learn has no such transform. The values are those of
    `column.map(column.value_counts(normalize=True, dropna=False))` in pandas, with 0 for unknown values where
    that has NaN.
    """

    kind = "frequency_encode"
    unknown_choices = ("zero", "error")

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        unit: Unit = "share",
        unknown: Literal["zero", "error"] = "zero",
    ) -> None:
        super().__init__(columns, unknown)
        if unit not in get_args(Unit):
            raise self.error(f"unit is {unit!r}, expected 'share' or 'count'", self.columns[0])
        self.unit = unit
        self._counts: dict[str, Array] = {}  # by category, the missing one among them

    def parameters(self) -> dict[str, Any]:
        """The columns, the unit and what becomes of unknown values."""
        return {"columns": self.columns, "unit": self.unit, "unknown": self.unknown}

    def learn_codes(self, columns: Mapping[str, Column], target: Column | None) -> None:
        """Counts the rows of each category."""
        self._counts = {
            column: np.bincount(category_indices(columns[column], found), minlength=found.count)
            for column, found in self._found.items()
        }

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column of the same name."""
        return [(column, "FP64")]

    def codes(self, columns: Sequence[str]) -> tuple[Array, ...]:
        """A number for each category, for unknown and for missing values."""
        codes = {}
        for column in columns:
            counts = self._counts[column].astype(np.float64)
            codes[column] = counts / counts.sum() if self.unit == "share" else counts
        return self.value_codes(columns, codes, dict.fromkeys(columns, np.array(0.0)))

    def arrays(self) -> dict[str, Array]:
        """The categories of each column and their rows."""
        counts = {f"{i}.counts": self._counts[column] for i, column in enumerate(self.columns)}
        return super().arrays() | counts

    def restore_codes(self, saved: Saved) -> None:
        """At least one row for each category, and as many rows in each column."""
        self._counts = {}
        for index, column in enumerate(self.columns):
            counts = saved.array(f"{index}.counts", "INT64", self._found[column].count)
            if not counts.size or counts.min() < 1 or counts.max() > 2**53:
                raise saved.error(f"the array '{index}.counts' holds what is no number of rows")
            self._counts[column] = counts
        rows = {sum(counts.tolist()) for counts in self._counts.values()}
        if len(rows) != 1:
            raise saved.error("the columns' counts are of different numbers of rows")
