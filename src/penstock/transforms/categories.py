"""The categories of a column, and the hash table by which kernels find them (ext/kernels/category.pxd)."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from penstock.frames import DATATYPES, Column
from penstock.transforms.base import FLOATING, INTEGER, Transform
from penstock.transforms.saved import Saved, text_arrays

Array = np.ndarray[Any, Any]

# Datatypes whose values can be categories.
CATEGORICAL = ("BYTES", *INTEGER, "FP16", *FLOATING)

Values = tuple[bytes, ...] | tuple[int, ...] | tuple[float, ...]
Given = Sequence[Any] | Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Categories:
    """The known values of one column, in order: UTF-8, integers or floats, as its datatype has it."""

    values: Values
    missing: bool  # a missing value is a category too, behind all others

    @property
    def count(self) -> int:
        """How many there are, the missing one among them."""
        return len(self.values) + self.missing

    @property
    def labels(self) -> list[str]:
        """The values as they show in names of outputs; the missing category is not among them."""
        return [v.decode() if isinstance(v, bytes) else repr(v) for v in self.values]


def check_given(transform: Transform, given: Given | None) -> dict[str, list[Any]] | None:
    """The parameter `categories` by column. TransformError where it is not one list for each column."""
    if given is None:
        return None
    if isinstance(given, (str, bytes)):
        raise transform.error(f"categories is {given!r}; expected a list of values", transform.columns[0])
    if isinstance(given, Mapping):
        by_column = dict(given)
    elif len(transform.columns) == 1:
        by_column = {transform.columns[0]: given}
    else:
        raise transform.error(
            "categories is one list for several columns; give a dict of column to list", transform.columns[0]
        )
    for column in by_column:
        if column not in transform.columns:
            raise transform.error("categories are given for it, but columns does not name it", column)
    found = {}
    for column in transform.columns:
        values = by_column.get(column)
        if not isinstance(values, (list, tuple, np.ndarray)):
            raise transform.error(f"its categories are {values!r}; expected a list of values", column)
        found[column] = [plain(value) for value in values]
        for value in found[column]:
            if value is not None and not isinstance(value, (str, int, float)):
                raise transform.error(f"{value!r} is no category; expected text or a number", column)
    return found


def plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's, which a saved document can hold."""
    return value.item() if isinstance(value, np.generic) else value


def learn_categories(
    transform: Transform, column: str, values: Column, datatype: str, given: Sequence[Any] | None
) -> Categories:
    """The categories of a column: those given, in their order, or the distinct values, in ascending order.

    Text is in the order of its code points. TransformError for given ones that do not fit the datatype.
    """
    if given is not None:
        return _given_categories(transform, column, datatype, given)
    if isinstance(values, list):
        distinct = set(values)
        texts = {_utf8(transform, column, value) for value in distinct if value is not None}
        return Categories(tuple(sorted(texts)), None in distinct)
    gone = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    present = np.unique(values[~gone])
    if values.dtype.kind == "f":
        # Adding zero makes one of the two zeros.
        return Categories(tuple(np.unique(present.astype(np.float64) + 0.0).tolist()), bool(gone.any()))
    integers = [int(value) for value in present.tolist()]
    _check_range(transform, column, integers)
    return Categories(tuple(integers), False)


def category_indices(values: Column, categories: Categories) -> Array:
    """Which category each row has, INT64: missing is the last one, where it is one; -1 for unknown values."""
    if isinstance(values, list):
        known: dict[str | bytes | None, int] = {}
        for index, text in enumerate(cast(tuple[bytes, ...], categories.values)):
            known[text] = known[text.decode()] = index
        if categories.missing:
            known[None] = len(categories.values)
        return np.fromiter((known.get(value, -1) for value in values), np.int64, len(values))
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    keys = np.array(categories.values, kind)
    order = np.argsort(keys)
    given = values.astype(kind)
    places = np.searchsorted(keys, given, sorter=order)
    found = np.append(order, -1)[places]
    found[np.append(keys, 0)[found] != given] = -1
    if values.dtype == np.uint64:
        found[values > np.uint64(2**63 - 1)] = -1
    if categories.missing:
        found[np.isnan(given)] = len(categories.values)
    return cast(Array, found)


def call_groups(
    columns: Sequence[str], datatypes: Mapping[str, str], *, each_alone: bool
) -> Iterator[tuple[str, ...]]:
    """The columns that one kernel call can take: all text, or all numbers.

    `each_alone` where the kernel may refuse a value, because a refusal shows the value of the first column.
    """
    for text in (True, False):
        group = tuple(column for column in columns if (datatypes[column] == "BYTES") == text)
        if each_alone:
            yield from ((column,) for column in group)
        elif group:
            yield group


def lookup_arrays(categories: Sequence[Categories]) -> tuple[Array, Array, Array, Array]:
    """The first four state arrays of a kernel that looks up categories, for its columns in order.

    A table is at most half full.
    """
    from penstock._kernels.category_table import LONGEST_IN_ENTRY, fill_table

    tables = []
    long_texts: list[bytes] = []
    text_size = 0
    for each in categories:
        capacity = 1 << max(1, (2 * len(each.values) - 1).bit_length())
        table = np.zeros(4 * capacity, np.uint64)
        keys = [_bits(value) if isinstance(value, float) else value for value in each.values]
        fill_table(table, cast(list[bytes], keys), text_size)
        tables.append(table)
        texts = [key for key in keys if isinstance(key, bytes) and len(key) > LONGEST_IN_ENTRY]
        text_size += sum(map(len, texts))
        long_texts += texts
    return (
        np.concatenate(tables),
        np.cumsum([0, *(len(table) // 4 for table in tables)], dtype=np.int64),
        np.cumsum([0, *(len(each.values) for each in categories)], dtype=np.int64),
        np.frombuffer(b"".join(long_texts), np.uint8),
    )


def save_categories(categories: Mapping[str, Categories], datatypes: Mapping[str, str]) -> dict[str, Array]:
    """Arrays by the index of the column."""
    arrays: dict[str, Array] = {}
    for index, (column, each) in enumerate(categories.items()):
        if datatypes[column] == "BYTES":
            arrays |= text_arrays(str(index), cast(list[bytes], list(each.values)))
        else:
            dtype = np.int64 if datatypes[column] in INTEGER else np.float64
            arrays[f"{index}.values"] = np.array(each.values, dtype)
    return arrays


def restore_categories(
    saved: Saved, columns: Sequence[str], datatypes: Mapping[str, str]
) -> dict[str, Categories]:
    """What save_categories() gave, with the flags `missing`. TransformError when that is malformed."""
    flags = saved.flags("missing", len(columns))
    found = {}
    for index, column in enumerate(columns):
        values: Values
        if datatypes[column] == "BYTES":
            values = tuple(saved.texts(str(index)))
        elif datatypes[column] in INTEGER:
            values = tuple(saved.array(f"{index}.values", "INT64").tolist())
        else:
            values = tuple((saved.array(f"{index}.values", "FP64") + 0.0).tolist())
        if len(set(values)) != len(values):
            raise saved.error(f"a category of column {column!r} occurs twice")
        if flags[index] and datatypes[column] in INTEGER:
            raise saved.error(f"column {column!r} is {datatypes[column]}, which knows no missing value")
        found[column] = Categories(values, flags[index])
    return found


def _given_categories(transform: Transform, column: str, datatype: str, given: Sequence[Any]) -> Categories:
    present = [value for value in given if value is not None and not _is_nan(value)]
    missing = len(present) < len(given)
    values: Values
    if datatype == "BYTES":
        for value in present:
            if not isinstance(value, str):
                raise transform.error(f"the category {value!r} is no text, and the column is", column)
        values = tuple(_utf8(transform, column, value) for value in present)
    else:
        for value in present:
            is_integer = isinstance(value, (int, float)) and value % 1 == 0
            fits = datatype not in INTEGER or (is_integer and (value >= 0 or datatype.startswith("INT")))
            if isinstance(value, str) or not fits:
                raise transform.error(f"the category {value!r} does not occur in {datatype}", column)
        if datatype in INTEGER:
            values = tuple(int(value) for value in present)
            _check_range(transform, column, values)
            if missing:
                raise transform.error(f"missing is a category, but {datatype} knows no missing value", column)
        else:
            for value in present:
                if isinstance(value, int) and abs(value) > sys.float_info.max:
                    raise transform.error(f"the category {value} does not fit {datatype}", column)
            # As the column holds them: 0.1 is another number in single precision.
            with np.errstate(over="ignore"):
                values = tuple((np.array(present, DATATYPES[datatype]).astype(np.float64) + 0.0).tolist())
    if len(set(values)) != len(values) or len(given) - len(present) > 1:
        raise transform.error("a category is given twice", column)
    return Categories(values, missing)


def _utf8(transform: Transform, column: str, value: str | bytes) -> bytes:
    try:
        text = value if isinstance(value, bytes) else value.encode()
        text.decode()
    except UnicodeError as error:
        raise transform.error(f"{value!r} is not valid UTF-8 ({error})", column) from None
    return text


def _check_range(transform: Transform, column: str, values: Sequence[int]) -> None:
    for value in values:
        if not -(2**63) <= value < 2**63:
            raise transform.error(f"the category {value} does not fit INT64", column)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))
