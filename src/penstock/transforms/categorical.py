"""What transforms of categories have in common: how they learn, look up and save them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import Transform
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
from penstock.transforms.steps import Array, Block, Step


class Categorical(Transform):
    """Reads categories; a class of its own says what becomes of them, and of unknown values.

    `_found` are the categories by column once it is fitted.
    """

    accepts = CATEGORICAL
    unknown_choices: ClassVar[tuple[str, ...]]  # the words for `unknown`; 'error' is one of them

    def __init__(self, columns: str | Sequence[str], unknown: str, categories: Given | None = None) -> None:
        super().__init__(columns)
        self.unknown = parameters.choice(self, "unknown", unknown, self.unknown_choices)
        self.categories = check_given(self, categories)
        self._found: dict[str, Categories] = {}
        self._saved: dict[str, Array] = {}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the categories, and what becomes of them."""
        self._found = {}
        for column in self.columns:
            given = None if self.categories is None else self.categories[column]
            self._found[column] = learn_categories(self, column, columns[column], datatypes[column], given)
        self._saved = save_categories(self._found, datatypes)
        self.learn_codes(columns, target)
        for column in self.columns:
            self.check_categories(column)

    def given_texts(self, column: str) -> Collection[str | None]:
        """The parameter `categories`, where it is given."""
        given = () if self.categories is None else self.categories[column]
        return [value if isinstance(value, str) else None for value in given]

    def learn_codes(self, columns: Mapping[str, Column], target: Column | None) -> None:
        """The rest of learn(), with the categories in `_found`."""

    def check_categories(self, column: str) -> None:
        """TransformError where a parameter does not go with the categories that were found."""

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call for all text and one for all numbers; one a column where unknown values are errors.

        A column without an output is looked up only for its errors.
        """
        steps = []
        refuses = self.unknown == "error"
        made = {column: self.outputs(column, datatypes[column]) for column in self.columns}
        needed = [column for column in self.columns if refuses or made[column]]
        for columns in call_groups(needed, datatypes, each_alone=refuses):
            state = (*lookup_arrays([self._found[column] for column in columns]), *self.codes(columns))
            outputs = tuple(
                Block(tuple(name for name, _ in made[column]), "FP64") for column in columns if made[column]
            )
            kernel = f"{self.kernel()}_{'text' if datatypes[columns[0]] == 'BYTES' else 'number'}"
            steps.append(Step(self.step_name(columns), kernel, state, columns, outputs, refuses=refuses))
        return steps

    def kernel(self) -> str:
        """The kernel of steps(), with _text or _number behind it."""
        return "ordinal"

    @abstractmethod
    def codes(self, columns: Sequence[str]) -> tuple[Array, ...]:
        """The arrays of a call's state behind the lookup: what the kernel makes of each category, in the
        order of lookup_arrays(), and of unknown and missing values, by column.
        """

    def learned(self) -> dict[str, Any]:
        """In which columns missing is a category."""
        return {"missing": [self._found[column].missing for column in self.columns]}

    def arrays(self) -> dict[str, Array]:
        """The categories of each column."""
        return dict(self._saved)

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Distinct categories of the columns' kinds, and what goes with them."""
        self._found = restore_categories(saved, self.columns, datatypes)
        self._saved = save_categories(self._found, datatypes)
        self.restore_codes(saved)
        for column in self.columns:
            self.check_categories(column)

    def restore_codes(self, saved: Saved) -> None:
        """What learn_codes() found, from the saved form."""

    def value_codes(
        self, columns: Sequence[str], values: Mapping[str, Array], unknown: Mapping[str, Array]
    ) -> tuple[Array, ...]:
        """codes() for the kernels `ordinal` and `category_vector`: a number or a vector for each category.

        `values` [categories] or [categories, width], the missing one among them, `unknown` [] or [width]; all
        of one floating-point type. A missing value that is no category is an unknown one.
        """
        sizes = {column: len(self._found[column].values) for column in columns}
        missing = [
            values[column][-1] if self._found[column].missing else unknown[column] for column in columns
        ]
        refused = int(self.unknown == "error")
        return (
            np.concatenate([values[column][: sizes[column]].ravel() for column in columns]),
            np.concatenate([np.ravel(unknown[column]) for column in columns]),
            np.concatenate([np.ravel(each) for each in missing]),
            np.array(
                [refused if self._found[column].missing else 2 * refused for column in columns], np.uint8
            ),
        )
