"""Combinations of the values of several columns, as text."""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = b"|"
# No value shows like these: a backslash in a value is two.
MISSING_PART = rb"\missing"
UNSEEN = rb"\unseen"


def combined(parts: Iterable[bytes | None]) -> bytes:
    r"""`AA|JFK` of its parts; `|` and `\` in them have a `\` before them, and None is `\missing`.

    Two combinations never look alike. ext/kernels/hash.pyx hashes the same without writing it.
    """
    return SEPARATOR.join(MISSING_PART if part is None else _escaped(part) for part in parts)


def _escaped(part: bytes) -> bytes:
    return part.replace(b"\\", rb"\\").replace(b"|", rb"\|")
