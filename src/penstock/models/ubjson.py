"""UBJSON, as far as XGBoost writes it: JSON's values in a binary form, arrays of numbers with their bits.

https://ubjson.org/type-reference, draft 12. Numbers are big-endian. A typed array of numbers becomes a NumPy
array; everything else what json.loads would give.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_NUMBERS = {
    letter: np.dtype(letter_of_numpy)
    for letter, letter_of_numpy in (
        (b"i", ">i1"),
        (b"U", ">u1"),
        (b"I", ">i2"),
        (b"l", ">i4"),
        (b"L", ">i8"),
        (b"d", ">f4"),
        (b"D", ">f8"),
    )
}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}
_DEEPEST = 64  # XGBoost's own files are nested 8 deep


def loads(content: bytes) -> Any:
    """The value that `content` holds. ValueError, with the byte's place, for what is no whole UBJSON."""
    reader = _Reader(content)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(content):
        raise ValueError(f"{len(content) - reader.at} bytes follow its end at byte {reader.at}")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.at = 0
        self._content = content

    def value(self, mark: bytes, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested too deeply at byte {self.at}")
        if mark in _NUMBERS:
            return self._numbers(mark, 1)[0].item()
        if mark in _CONSTANTS:
            return _CONSTANTS[mark]
        if mark == b"S":
            return self._text()
        if mark == b"[":
            return self._array(depth)
        if mark == b"{":
            return self._object(depth)
        raise ValueError(f"byte {self.at - 1} is {mark!r}, which begins no value")

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._content) - self.at:
            raise ValueError(f"it ends within {size} bytes that begin at byte {self.at}")
        self.at += size
        return self._content[self.at - size : self.at]

    def _peek(self) -> bytes:
        return self._content[self.at : self.at + 1]

    def _numbers(self, mark: bytes, count: int) -> np.ndarray[Any, Any]:
        dtype = _NUMBERS[mark]
        found = np.frombuffer(self.take(count * dtype.itemsize), dtype)
        return found.astype(dtype.newbyteorder("="))

    def _size(self) -> int:
        mark = self.take(1)
        size = self._numbers(mark, 1)[0].item() if mark in _NUMBERS else None
        if not isinstance(size, int) or size < 0:
            raise ValueError(f"byte {self.at} ends no size")
        return size

    def _text(self) -> str:
        return self.take(self._size()).decode()

    def _count(self) -> int | None:
        """Of an array or object that says it; each of its values is a byte at least."""
        if self._peek() != b"#":
            return None
        self.take(1)
        return self._size()

    def _array(self, depth: int) -> Any:
        if self._peek() == b"$":
            self.take(1)
            mark = self.take(1)
            count = self._count()
            if mark not in _NUMBERS or count is None:
                raise ValueError(f"the typed array before byte {self.at} is not one of numbers")
            return self._numbers(mark, count)
        count = self._count()
        values: list[Any] = []
        while self._more(count, len(values), b"]"):
            values.append(self.value(self.take(1), depth + 1))
        return values

    def _object(self, depth: int) -> dict[str, Any]:
        count = self._count()
        fields: dict[str, Any] = {}
        read = 0
        while self._more(count, read, b"}"):
            name = self._text()
            fields[name] = self.value(self.take(1), depth + 1)
            read += 1
        return fields

    def _more(self, count: int | None, read: int, end: bytes) -> bool:
        if count is not None:
            return read < count
        if self._peek() != end:
            return True
        self.take(1)
        return False
