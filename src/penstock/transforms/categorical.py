"""What transforms of categories have in common: how they learn, look up and save them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

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
from penstock.transforms.saved import Saved


class Categorical(Transform):
    """Reads categories; a class of its own says what becomes of them, and of unknown values.

    `_found` are the categories by column once it is fitted.
    """

    accepts = CATEGORICAL
    unknown_choices: ClassVar[tuple[str, str]]  # the words for `unknown`; 'error' is one of them

    def __init__(self, columns: str | Sequence[str], unknown: str, categories: Given | None) -> None:
        super().__init__(columns)
        if unknown not in self.unknown_choices:
            expected = " or ".join(map(repr, self.unknown_choices))
            raise self.error(f"unknown is {unknown!r}, expected {expected}", self.columns[0])
        self.unknown = unknown
        self.categories = check_given(self, categories)
        self._found: dict[str, Categories] = {}
        self._saved: dict[str, Array] = {}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the categories."""
        found = {}
        for column in self.columns:
            given = None if self.categories is None else self.categories[column]
            found[column] = learn_categories(self, column, columns[column], datatypes[column], given)
        self._take(found, datatypes)

    def given_texts(self, column: str) -> Collection[str | None]:
        """The parameter `categories`, where it is given."""
        given = () if self.categories is None else self.categories[column]
        return [value if isinstance(value, str) else None for value in given]

    def check_categories(self, column: str, categories: Categories) -> None:
        """TransformError where a parameter does not go with the categories that were found."""

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call for all text and one for all numbers; one a column where unknown values are errors."""
        steps = []
        for columns in call_groups(self.columns, datatypes, each_alone=self.unknown == "error"):
            text = datatypes[columns[0]] == "BYTES"
            found = [self._found[column] for column in columns]
            state = (*lookup_arrays(found, text=text), *self.codes(columns, found))
            outputs = tuple(made for column in columns for made in self.outputs(column, datatypes[column]))
            kernel = f"{self.kind}_{'text' if text else 'number'}"
            steps.append(Step(self.step_name(columns), kernel, state, columns, outputs))
        return steps

    @abstractmethod
    def codes(self, columns: Sequence[str], found: Sequence[Categories]) -> tuple[Array, ...]:
        """The arrays of a call's state behind the lookup: what the kernel makes of each category, in the
        order of lookup_arrays(), and of unknown and missing values, by column.
        """

    def learned(self) -> dict[str, Any]:
        """In which columns missing is a category."""
        return {"missing": [self._found[column].missing for column in self.columns]}

    def arrays(self) -> dict[str, Array]:
        """The categories of each column."""
        return self._saved

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Distinct categories of the columns' kinds."""
        self._take(restore_categories(saved, self.columns, datatypes), datatypes)

    def _take(self, found: dict[str, Categories], datatypes: Mapping[str, str]) -> None:
        for column, categories in found.items():
            self.check_categories(column, categories)
        self._found = found
        self._saved = save_categories(found, datatypes)
