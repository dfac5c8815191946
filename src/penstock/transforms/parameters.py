"""Checks of a transform's parameters; each raises the transform's own error, which names its first column."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TypeVar

from penstock.errors import TransformError
from penstock.transforms.base import Transform

Word = TypeVar("Word", bound=str | None)


def flag(transform: Transform, name: str, value: object) -> bool:
    """True or False, and nothing that is merely like it."""
    if not isinstance(value, bool):
        raise _error(transform, name, value, "True or False")
    return value


def choice(transform: Transform, name: str, value: object, choices: Collection[Word]) -> Word:
    """One of some words; None may be among them."""
    if value is None or isinstance(value, str):
        for each in choices:
            if each == value:
                return each
    raise _error(transform, name, value, ", ".join(map(str, choices)))


def label(transform: Transform, name: str, value: object) -> str:
    """A name for an output."""
    if not isinstance(value, str) or not value:
        raise _error(transform, name, value, "a name")
    return value


def number(
    transform: Transform,
    name: str,
    value: object,
    *,
    infinite: bool = False,
    missing: bool = False,
    column: str | None = None,
) -> float:
    """A number as a double: finite unless `infinite` is allowed, and not NaN unless `missing` is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _error(transform, name, value, "a number", column)
    try:
        found = float(value)
    except OverflowError:  # of an integer, which may have more digits than a message should
        raise transform.error(
            f"{name} is beyond double precision, expected a finite number", column or transform.columns[0]
        ) from None
    if (math.isnan(found) and not missing) or (math.isinf(found) and not infinite):
        raise _error(transform, name, value, "a number" if infinite else "a finite number", column)
    return found


def count(transform: Transform, name: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise _error(transform, name, value, "a whole number")
    found = int(value)
    if found < least or (most is not None and found > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise _error(transform, name, value, bounds)
    return found


def pair(transform: Transform, name: str, value: object) -> tuple[float, float]:
    """Two finite numbers, the first not above the second."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or len(value) != 2:
        raise _error(transform, name, value, "two numbers")
    low, high = (number(transform, name, item) for item in value)
    if low > high:
        raise _error(transform, name, value, "the smaller number first")
    return low, high


def ascending(
    transform: Transform, name: str, given: object, *, strictly: bool = False
) -> dict[str, tuple[float, ...]]:
    """Finite numbers in ascending order for each column: one list for all of them, or a mapping of lists."""
    if isinstance(given, Mapping):
        for column in given:
            if column not in transform.columns:
                raise transform.error(f"{name} are given for it, which is none of the columns", str(column))
        lists = {column: given.get(column) for column in transform.columns}
    else:
        lists = dict.fromkeys(transform.columns, given)
    found = {}
    for column, values in lists.items():
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise _error(transform, name, values, "a list of numbers", column)
        numbers = tuple(number(transform, name, item, column=column) for item in values)
        if list(numbers) != sorted(set(numbers) if strictly else numbers):
            expected = "each number above the one before it" if strictly else "numbers in ascending order"
            raise _error(transform, name, values, expected, column)
        found[column] = numbers
    return found


def _error(
    transform: Transform, name: str, value: object, expected: str, column: str | None = None
) -> TransformError:
    return transform.error(f"{name} is {value!r}, expected {expected}", column or transform.columns[0])
