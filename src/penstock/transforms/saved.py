"""The saved form of a transform: JSON for parameters, arrays for tables, and the checks on the way back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from penstock.errors import TransformError
from penstock.frames import DATATYPES

Array = np.ndarray[Any, Any]


class Saved:
    """What one transform had learned, as a bundle holds it; every read checks.

    Made by Features.from_saved from a file that anybody may have written: nothing in it is trusted. All
    errors are TransformErrors that name the transform and the entry.
    """

    def __init__(self, transform: str, learned: Any, arrays: Mapping[str, Array]) -> None:
        self._transform = transform
        self._arrays = dict(arrays)
        if not isinstance(learned, dict):
            raise self.error(f"'learned' is {learned!r}, expected an object")
        self._learned = dict(learned)

    def error(self, message: str) -> TransformError:
        """A TransformError to raise."""
        return TransformError(f"saved {self._transform}: {message}")

    def array(
        self,
        name: str,
        datatype: str,
        size: int | None = None,
        *,
        nan: bool = False,
        finite: bool = False,
        positive: bool = False,
        fixed: float | None = None,
    ) -> Array:
        """The one-dimensional array of that name, of exactly that datatype and, where given, size.

        `nan`: NaN is allowed. `finite`: neither NaN nor infinity is. `positive`: all elements are above 0.
        `fixed`: all are this number.
        """
        if name not in self._arrays:
            raise self.error(f"the array {name!r} is missing")
        array = self._arrays.pop(name)
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != DATATYPES[datatype]:
            got = (
                f"{array.dtype} {list(array.shape)}"
                if isinstance(array, np.ndarray)
                else type(array).__name__
            )
            raise self.error(f"the array {name!r} is {got}, expected {datatype} of one dimension")
        if size is not None and array.size != size:
            raise self.error(f"the array {name!r} has {array.size} elements, expected {size}")
        if finite and not np.isfinite(array).all():
            raise self.error(f"the array {name!r} holds NaN or infinity")
        if not nan and array.dtype.kind == "f" and np.isnan(array).any():
            raise self.error(f"the array {name!r} holds NaN")
        if positive and not (array > 0).all():
            raise self.error(f"the array {name!r} holds a number that is not above 0")
        if fixed is not None and (array != fixed).any():
            raise self.error(f"the array {name!r} holds another number than {fixed:g}")
        return np.ascontiguousarray(array)

    def check_ascending(self, name: str, parts: Iterable[Array], *, strictly: bool = False) -> None:
        """TransformError unless each of the parts of the array of that name is in ascending order."""
        for part in parts:
            behind, before = part[1:], part[:-1]
            if not (behind > before if strictly else behind >= before).all():
                raise self.error(f"the array {name!r} is not in ascending order")

    def texts(self, name: str, size: int | None = None) -> list[bytes]:
        """Texts that text_arrays() made: UTF-8, one after the other, beside where each starts and ends."""
        offsets = self.array(f"{name}.offsets", "INT64", None if size is None else size + 1)
        text = self.array(f"{name}.text", "UINT8").tobytes()
        ascends = bool((offsets[1:] >= offsets[:-1]).all())
        if offsets.size < 1 or offsets[0] != 0 or offsets[-1] != len(text) or not ascends:
            raise self.error(
                f"the array '{name}.offsets' does not divide the {len(text)} bytes of '{name}.text'"
            )
        found = [
            text[start:end] for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        ]
        try:
            for item in found:
                item.decode()
        except UnicodeDecodeError as error:
            raise self.error(f"the array '{name}.text' is not UTF-8: {error}") from None
        return found

    def flags(self, name: str, size: int) -> list[bool]:
        """A list of `size` booleans."""
        value = self._learned.pop(name, None)
        if (
            not isinstance(value, list)
            or len(value) != size
            or not all(isinstance(item, bool) for item in value)
        ):
            raise self.error(f"{name!r} is {value!r}, expected {size} booleans")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of some words."""
        value = self._learned.pop(name, None)
        if not isinstance(value, str) or value not in choices:
            raise self.error(f"{name!r} is {value!r}, expected {', '.join(choices)}")
        return value

    def names(self, name: str) -> list[str]:
        """A list of distinct texts."""
        value = self._learned.pop(name, None)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(f"{name!r} is {value!r}, expected a list of texts")
        if len(set(value)) != len(value):
            raise self.error(f"{name!r} is {value!r}, which names something twice")
        return value

    def finish(self) -> None:
        """TransformError when something is left that nobody read."""
        for name in [*self._learned, *self._arrays]:
            raise self.error(f"{name!r} is no part of it")


def text_arrays(name: str, texts: list[bytes]) -> dict[str, Array]:
    """Texts as two arrays: the bytes of all, and INT64 offsets, one more than there are texts."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return {f"{name}.text": np.frombuffer(b"".join(texts), np.uint8), f"{name}.offsets": offsets}


def to_json(value: Any) -> Any:
    """A parameter as JSON, whose numbers know no NaN and whose objects would lose the keys' order."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        return {"mapping": [[key, to_json(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def from_json(value: Any) -> Any:
    """What to_json() was given. TransformError when `value` is not of its making."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"float"} and value["float"] in ("nan", "inf", "-inf"):
        return float(value["float"])
    if value.keys() == {"mapping"} and isinstance(value["mapping"], list):
        pairs = [from_json(pair) for pair in value["mapping"]]
        if all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
            return dict(pairs)
    raise TransformError(f"saved transforms: {value!r} is no parameter")
