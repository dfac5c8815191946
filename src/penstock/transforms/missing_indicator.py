"""MissingIndicator: where a value is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import NUMERIC, Transform
from penstock.transforms.missing import (
    MissingValue,
    check_kind,
    check_missing_value,
    missing_ops,
    missing_rows,
    missing_word,
)
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Item, Map, Step, op, singles

Which = Literal["missing_only", "all"]
New = Literal["ignore", "error"]


@register
class MissingIndicator(Transform):
    """1 where x is missing, else 0: numbers or text [rows] to an FP64 column `x_missing` [rows].

    It stands in the place of x; with `keep`, behind it. `features` are the columns that it is made of: 'all',
    or those that have missing values at fit. Of the others `new='error'` refuses a row where they are
    missing, with an error that names it; 'ignore' does not look. Besides NaN and None, `missing_value` (a
    number or a text, of the columns' kind) is missing too.

    As scikit-learn's MissingIndicator: its features and error_on_new are `features` and `new`. It differs in
    that a new missing value is no error unless asked for, and in that NaN counts as missing beside another
    `missing_value`, where scikit-learn refuses it.
    """

    kind = "missing_indicator"
    fills_gaps = True
    accepts = (*NUMERIC, "BYTES")

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        missing_value: MissingValue = None,
        features: Which = "missing_only",
        new: New = "ignore",
        keep: bool = False,
    ) -> None:
        super().__init__(columns)
        self.missing_value = check_missing_value(self, missing_value)
        self.features = parameters.choice(self, "features", features, get_args(Which))
        self.new = parameters.choice(self, "new", new, get_args(New))
        self.keep = parameters.flag(self, "keep", keep)
        self._flagged: dict[str, bool] = {}

    def parameters(self) -> dict[str, Any]:
        """The columns, what is missing, what is made of which, and whether the columns stay."""
        return {
            "columns": self.columns,
            "missing_value": self.missing_value,
            "features": self.features,
            "new": self.new,
            "keep": self.keep,
        }

    def given_texts(self, column: str) -> Collection[str | None]:
        """The text that means missing."""
        return [self.missing_value] if isinstance(self.missing_value, str) else []

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the columns that have missing values."""
        for column in self.columns:
            check_kind(self, self.missing_value, column, text=datatypes[column] == "BYTES")
        self._flagged = {
            column: self.features == "all" or bool(missing_rows(columns[column], self.missing_value).any())
            for column in self.columns
        }

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """The column where it is kept, and where it is flagged `x_missing`."""
        kept = [(column, datatype)] if self.keep else []
        return [*kept, (f"{column}_missing", "FP64")] if self._flagged[column] else kept

    def steps(self, datatypes: Mapping[str, str]) -> list[Item]:
        """Of each column a map, a call for text, or a call that refuses rows."""
        items: list[Item] = []
        number = np.array([self.missing_value] if isinstance(self.missing_value, float) else [], np.float64)
        state = (*missing_word(self.missing_value), number)
        for column in self.columns:
            name, output = self.step_name([column]), f"{column}_missing"
            if not self._flagged[column]:
                if self.new == "error":
                    items.append(Step(name, "missing", state, (column,), (), refuses=True))
            elif datatypes[column] == "BYTES":
                items.append(Step(name, "missing", state, (column,), singles([output])))
            else:
                items.append(Map(column, output, (*missing_ops(self.missing_value), op("is_missing"))))
        return items

    def learned(self) -> dict[str, Any]:
        """Which columns are flagged."""
        return {"flagged": [self._flagged[column] for column in self.columns]}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """A flag for each column, all of them where all are to be."""
        for column in self.columns:
            check_kind(self, self.missing_value, column, text=datatypes[column] == "BYTES")
        self._flagged = dict(zip(self.columns, saved.flags("flagged", len(self.columns)), strict=True))
        if self.features == "all" and not all(self._flagged.values()):
            raise saved.error("not all columns are flagged, but features is 'all'")
