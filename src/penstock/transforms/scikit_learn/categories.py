"""The categories of scikit-learn's encoders, as transforms of categories save them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock.transforms.base import INTEGER
from penstock.transforms.saved import text_arrays
from penstock.transforms.scikit_learn.draft import Draft
from penstock.transforms.steps import Array

Value = str | int | float | None


@dataclass(frozen=True)
class FittedCategories:
    """One column's categories: `values` in scikit-learn's order, None for the missing one."""

    values: tuple[Value, ...]

    @property
    def missing(self) -> int | None:
        """The index of the missing category."""
        return self.values.index(None) if None in self.values else None

    @property
    def order(self) -> list[int]:
        """The indices in the order of transforms: the missing category is the last one."""
        present = [index for index, value in enumerate(self.values) if value is not None]
        return present if self.missing is None else [*present, self.missing]


def fitted_categories(fitted: Any, columns: list[str], draft: Draft) -> list[FittedCategories]:
    """Of each column. Tells the draft the columns' datatypes and strings."""
    found = []
    draft.steps_at(columns)
    for column, categories in zip(columns, fitted.categories_, strict=True):
        draft.check_filled(column, np.asarray(categories).tolist())
        each = FittedCategories(tuple(_value(value, draft) for value in np.asarray(categories).tolist()))
        if each.values.count(None) > 1:
            raise draft.error(
                "None and NaN are two categories of one column, and callers send both as missing. Replace "
                "one in the training frame before fit"
            )
        draft.tell(column, _datatype(categories, each, draft))
        if draft.is_text(column):
            draft.tell_strings(column, missing=each.missing is not None, empty="" in each.values)
        found.append(each)
    return found


def saved_categories(
    found: list[FittedCategories], columns: list[str], draft: Draft
) -> tuple[dict[str, Any], dict[str, Array]]:
    """learned() and arrays() of a transform of these columns' categories."""
    arrays: dict[str, Array] = {}
    for index, (column, each) in enumerate(zip(columns, found, strict=True)):
        present: list[Any] = [value for value in each.values if value is not None]
        datatype = draft.datatype(column)
        if datatype == "BYTES":
            arrays |= text_arrays(str(index), [value.encode() for value in present])
        elif datatype in INTEGER:
            if any(value != int(value) for value in present):
                raise draft.error(f"column {column!r} is {datatype}, and has categories that are no integers")
            arrays[f"{index}.values"] = np.array([int(value) for value in present], np.int64)
        else:
            arrays[f"{index}.values"] = np.array(present, np.float64)
    return {"missing": [each.missing is not None for each in found]}, arrays


def _value(value: Any, draft: Draft) -> Value:
    if value is None or type(value).__name__ == "NAType" or value != value:
        return None
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, (str, bool, int, float)):
        raise draft.error(
            f"{value!r} ({type(value).__name__}) is a category; expected text or numbers. Convert the column "
            f"first"
        )
    return value


def _datatype(categories: Any, found: FittedCategories, draft: Draft) -> str:
    present = [value for value in found.values if value is not None]
    texts = sum(isinstance(value, str) for value in present)
    if 0 < texts < len(present):
        raise draft.error(
            "a column has text and numbers as categories. Make it text or numbers alone before fit"
        )
    if texts:
        return "BYTES"
    if all(isinstance(value, bool) for value in present) and None not in found.values and present:
        return "BOOL"
    if all(isinstance(value, int) for value in present) and None not in found.values and present:
        return "INT64"
    return "FP32" if categories.dtype == np.float32 else "FP64"
