"""Cross: the combination of several columns as one category."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import Transform
from penstock.transforms.categories import (
    CATEGORICAL,
    Categories,
    category_indices,
    learn_categories,
    lookup_arrays,
    restore_categories,
    save_categories,
)
from penstock.transforms.combination import UNSEEN, combined
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved, text_arrays
from penstock.transforms.steps import Array, Block, Step


@register
class Cross(Transform):
    r"""The values of two or more columns as one: text, integers or floats [rows] to one text column [rows].

    The column is called `carrier|origin`, or `name`, and its values are like `AA|JFK`: a category for the
    OneHot, Ordinal, TargetEncode, FrequencyEncode, EmbeddingLookup or Hash that follows. It stands in the
    place of the first column and the others are gone; with `keep`, all columns stay, before it. In the text,
    `\` stands before a `|` or `\` that is part of a value, so that no two combinations look alike. A missing
    value is a value of its own, `AA|\missing`; empty text is one too, `AA|`.

    Known are the combinations that fit saw. Any other one becomes the text `\unseen`, which no combination
    has: an encoder that was fitted behind this one takes it for an unknown value, and a table may hold a
    vector for it. So a model sees one and the same in all that is new, also in a new combination of known
    values; `Hash(combine='cross')` needs no table, and tells such apart.

    scikit-learn has no such transform. TransformError at fit where the columns have 2^63 possible
    combinations or more.
    """

    kind = "cross"
    accepts = CATEGORICAL

    def __init__(self, columns: Sequence[str], *, name: str | None = None, keep: bool = False) -> None:
        super().__init__(columns)
        if len(self.columns) < 2:
            raise self.error("it takes at least 2 columns, got 1", self.columns[0])
        self.name = None if name is None else parameters.label(self, "name", name)
        self.keep = parameters.flag(self, "keep", keep)
        self._found: dict[str, Categories] = {}
        self._saved: dict[str, Array] = {}
        self._combinations: Array = np.empty(0, np.int64)

    def parameters(self) -> dict[str, Any]:
        """The columns, the name of what is made, and whether they stay."""
        return {"columns": self.columns, "name": self.name, "keep": self.keep}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the values of each column, and their combinations."""
        self._found = {
            column: learn_categories(self, column, columns[column], datatypes[column], None)
            for column in self.columns
        }
        if self._possible() >= 2**63:
            raise self.error("it has 2^63 possible combinations; cross fewer columns", self.columns[0])
        self._saved = save_categories(self._found, datatypes)
        numbers = np.zeros(len(columns[self.columns[0]]), np.int64)
        for column, found in self._found.items():
            numbers = numbers * (len(found.values) + 1) + category_indices(columns[column], found)
        self._combinations = np.unique(numbers)

    def _possible(self) -> int:
        """How many combinations there are if each column may be missing."""
        return math.prod(len(found.values) + 1 for found in self._found.values())

    def _parts(self) -> dict[str, Array]:
        """The category that each combination has in each column; the missing one is behind the others."""
        remaining = self._combinations
        parts = {}
        for column in reversed(self.columns):
            remaining, parts[column] = np.divmod(remaining, len(self._found[column].values) + 1)
        return {column: parts[column] for column in self.columns}

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """The column where it is kept; then, of the first one, the combinations."""
        kept = [(column, datatype)] if self.keep else []
        return [*kept, (self._name, "BYTES")] if column == self.columns[0] else kept

    @property
    def _name(self) -> str:
        return "|".join(self.columns) if self.name is None else self.name

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call."""
        labels: list[list[bytes | None]] = [
            [*(label.encode() for label in found.labels), None] for found in self._found.values()
        ]
        parts = np.stack(list(self._parts().values()), axis=1).tolist()
        texts = [combined(label[part] for label, part in zip(labels, row, strict=True)) for row in parts]
        packed = text_arrays("", [*texts, UNSEEN])
        numbers = Categories(tuple(self._combinations.tolist()), False)
        state = (*lookup_arrays([*self._found.values(), numbers]), packed[".offsets"], packed[".text"])
        return [
            Step(self.step_name(self.columns), "cross", state, self.columns, (Block((self._name,), "BYTES"),))
        ]

    def learned(self) -> dict[str, Any]:
        """In which columns missing is a value."""
        return {"missing": [self._found[column].missing for column in self.columns]}

    def arrays(self) -> dict[str, Array]:
        """The values of each column, and the combinations by number: the last column counts fastest."""
        return {**self._saved, "combinations": self._combinations}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Ascending combinations, which use each value."""
        self._found = restore_categories(saved, self.columns, datatypes)
        self._saved = save_categories(self._found, datatypes)
        found = saved.array("combinations", "INT64")
        possible = self._possible()
        saved.check_ascending("combinations", [found], strictly=True)
        if possible >= 2**63 or found.size == 0 or found[0] < 0 or int(found[-1]) >= possible:
            raise saved.error(f"the array 'combinations' is not one or more of {possible} possible ones")
        self._combinations = found
        for column, parts in self._parts().items():
            if np.unique(parts).tolist() != list(range(self._found[column].count)):
                raise saved.error(f"the array 'combinations' does not hold each value of column {column!r}")
