"""Which values count as missing: NaN and None and, where a transform's parameter names one, another value."""

from __future__ import annotations

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import Transform
from penstock.transforms.steps import Array, Op, op

MissingValue = float | str | None


def check_missing_value(transform: Transform, value: object) -> MissingValue:
    """The parameter `missing_value`: a text, a number (NaN is None, for it is missing anyway) or None."""
    if value is None or isinstance(value, str):
        return value
    found = parameters.number(transform, "missing_value", value, infinite=True, missing=True)
    return None if found != found else found


def check_kind(transform: Transform, value: MissingValue, column: str, *, text: bool) -> None:
    """TransformError where the value that means missing cannot occur in a column."""
    if value is not None and isinstance(value, str) != text:
        kind = "text" if text else "numbers"
        raise transform.error(f"it is {kind}, and missing_value is {value!r}", column)


def missing_rows(values: Column, missing: MissingValue) -> Array:
    """True where a value is missing: BOOL [rows]."""
    if isinstance(values, list):
        word = missing.encode() if isinstance(missing, str) else None
        texts = (value.encode() if isinstance(value, str) else value for value in values)
        return np.array([text is None or text == word for text in texts], np.bool_)
    numbers = np.asarray(values, np.float64)
    return np.isnan(numbers) if missing is None else np.isnan(numbers) | (numbers == missing)


def missing_ops(missing: MissingValue) -> tuple[Op, ...]:
    """What makes NaN of every missing number."""
    return () if missing is None or isinstance(missing, str) else (op("missing", missing),)


def missing_word(missing: MissingValue) -> tuple[Array, Array]:
    """The text that means missing, UINT8, and whether there is one, INT32 [1], for the kernels of text."""
    word = missing.encode() if isinstance(missing, str) else b""
    return np.frombuffer(word, np.uint8), np.array([isinstance(missing, str)], np.int32)
