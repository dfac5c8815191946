"""OneHot: a column of 0 and 1 for each category."""

from __future__ import annotations

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

# What a kernel does for a value that sets no output, and for one that it refuses (ext/kernels/one_hot.pyx).
_NONE, _REFUSED = -1, -2


@register
class OneHot(Transform):
    """Text, integers or floats [rows] to one FP64 column of 0 and 1 for each category, as OneHotEncoder.

    The outputs are named `carrier=AA`, in the order of the categories: the distinct values at fit,
    ascending, or those of `categories` (a list for one column, a dict of lists for several). Where fit saw
    a missing value (or `categories` holds None), missing is a category too, the last one,
    `carrier_missing`; elsewhere it is unknown. An unknown value sets none of the outputs, or with
    `unknown='error'` is an error that names the row. `drop='first'` leaves out the first category,
    `drop='if_binary'` the first of two.
    """

    kind = "one_hot"
    accepts = CATEGORICAL

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        unknown: Literal["ignore", "error"] = "ignore",
        drop: Literal["first", "if_binary"] | None = None,
        categories: Given | None = None,
    ) -> None:
        super().__init__(columns)
        if unknown not in ("ignore", "error"):
            raise self.error(f"unknown is {unknown!r}, expected 'ignore' or 'error'", self.columns[0])
        if drop not in (None, "first", "if_binary"):
            raise self.error(f"drop is {drop!r}, expected None, 'first' or 'if_binary'", self.columns[0])
        self.unknown = unknown
        self.drop = drop
        self.categories = check_given(self, categories)
        self._found: dict[str, Categories] = {}
        self._saved: dict[str, Array] = {}

    def parameters(self) -> dict[str, Any]:
        """The columns, their categories where given, what is left out and what becomes of other values."""
        return {
            "columns": self.columns,
            "unknown": self.unknown,
            "drop": self.drop,
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
        self._found = found
        self._saved = save_categories(found, datatypes)

    def _dropped(self, column: str) -> int:
        """How many categories, from the first on, have no output."""
        count = len(self._found[column].values) + self._found[column].missing
        return int(self.drop == "first" or (self.drop == "if_binary" and count == 2))

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column for each category that is not dropped."""
        names = [f"{column}={label}" for label in self._found[column].labels]
        if self._found[column].missing:
            names.append(f"{column}_missing")
        return [(name, "FP64") for name in names[self._dropped(column) :]]

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call for all text and one for all numbers; one a column where unknown values are errors."""
        steps = []
        for columns in call_groups(self.columns, datatypes, each_alone=self.unknown == "error"):
            text = datatypes[columns[0]] == "BYTES"
            found = [self._found[column] for column in columns]
            outputs: list[tuple[str, str]] = []
            positions: list[int] = []
            unknown = _REFUSED if self.unknown == "error" else _NONE
            missing: list[int] = []
            for column, each in zip(columns, found, strict=True):
                dropped = self._dropped(column)
                count = len(each.values) + each.missing
                places = [_NONE if i < dropped else len(outputs) + i - dropped for i in range(count)]
                positions += places[: len(each.values)]
                missing.append(places[-1] if each.missing else unknown)
                outputs += self.outputs(column, datatypes[column])
            state = (
                *lookup_arrays(found, text=text),
                np.array(positions, np.int32),
                np.full(len(columns), unknown, np.int32),
                np.array(missing, np.int32),
            )
            kernel = "one_hot_text" if text else "one_hot_number"
            steps.append(Step(f"{self.kind}({', '.join(columns)})", kernel, state, columns, tuple(outputs)))
        return steps

    def learned(self) -> dict[str, Any]:
        """In which columns missing is a category."""
        return {"missing": [self._found[column].missing for column in self.columns]}

    def arrays(self) -> dict[str, Array]:
        """The categories of each column."""
        return self._saved

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Distinct categories of the columns' kinds."""
        self._found = restore_categories(saved, self.columns, datatypes)
        self._saved = save_categories(self._found, datatypes)
