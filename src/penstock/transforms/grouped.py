"""Transforms of categories that make infrequent ones one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import ClassVar

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.categorical import Categorical
from penstock.transforms.categories import Given, category_indices
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array


class Grouped(Categorical):
    """Groups by the rule of scikit-learn's OneHotEncoder and OrdinalEncoder (1.1 and later).

    Categories with fewer than `min_frequency` rows (a float: that share of all rows) are infrequent. Where
    the others and the infrequent one are more than `max_categories`, so are the rarest of them, of equally
    rare ones the first.
    """

    groups_missing: ClassVar[bool]  # whether the missing category may be infrequent

    def __init__(
        self,
        columns: str | Sequence[str],
        unknown: str,
        categories: Given | None,
        min_frequency: int | float | None,
        max_categories: int | None,
    ) -> None:
        super().__init__(columns, unknown, categories)
        if isinstance(min_frequency, Integral):
            min_frequency = parameters.count(self, "min_frequency", min_frequency, 1)
        elif min_frequency is not None:
            min_frequency = parameters.number(self, "min_frequency", min_frequency)
            if not 0 < min_frequency < 1:
                raise self.error(
                    f"min_frequency is {min_frequency}, expected a share from 0 to 1, or a number of rows",
                    self.columns[0],
                )
        if max_categories is not None:
            max_categories = parameters.count(self, "max_categories", max_categories, 1)
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self._infrequent: dict[str, Array] = {}

    def learn_codes(self, columns: Mapping[str, Column], target: Column | None) -> None:
        """Finds the infrequent categories."""
        self._infrequent = {column: self._rare(column, columns[column]) for column in self.columns}

    def _rare(self, column: str, values: Column) -> Array:
        count = self._groupable(column)
        if not self._groups:
            return np.empty(0, np.int64)
        rows = category_indices(values, self._found[column])
        counts = np.bincount(rows[(rows >= 0) & (rows < count)], minlength=count)
        least = self.min_frequency or 0
        rare = counts < (least * len(rows) if isinstance(least, float) else least)
        # Without an infrequent category so far there is one more output to come, as scikit-learn counts.
        if self.max_categories is not None and count - int(rare.sum()) + 1 > self.max_categories:
            by_count = np.argsort(counts, kind="stable")
            rare[by_count[: max(0, count - self.max_categories + 1)]] = True
        return np.flatnonzero(rare).astype(np.int64)

    def places(self, column: str) -> Array:
        """INT64: the frequent categories counted in order, and behind them the infrequent ones as one."""
        count = self._groupable(column)
        rare = np.zeros(count, bool)
        rare[self._infrequent[column]] = True
        return np.where(rare, count - int(rare.sum()), np.cumsum(~rare) - 1)

    def arrays(self) -> dict[str, Array]:
        """The categories of each column and, where parameters group them, which are infrequent."""
        if not self._groups:
            return super().arrays()
        rare = {f"{i}.infrequent": self._infrequent[column] for i, column in enumerate(self.columns)}
        return super().arrays() | rare

    def restore_codes(self, saved: Saved) -> None:
        """Ascending categories, as many as the parameters say."""
        self._infrequent = {}
        for index, column in enumerate(self.columns):
            count = self._groupable(column)
            found = saved.array(f"{index}.infrequent", "INT64") if self._groups else np.empty(0, np.int64)
            saved.check_ascending(f"{index}.infrequent", [found], strictly=True)
            if found.size and (found[0] < 0 or found[-1] >= count):
                raise saved.error(
                    f"the array '{index}.infrequent' holds what is no index of {count} categories"
                )
            if self.max_categories is not None and count - found.size + 1 > self.max_categories:
                raise saved.error(f"the array '{index}.infrequent' leaves more than {self.max_categories}")
            self._infrequent[column] = found

    @property
    def _groups(self) -> bool:
        return self.min_frequency is not None or self.max_categories is not None

    def _groupable(self, column: str) -> int:
        found = self._found[column]
        return found.count if self.groups_missing else len(found.values)
