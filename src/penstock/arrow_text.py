"""ArrowText: a column of text that stays in Arrow's memory on its way to the model."""

from __future__ import annotations

from typing import Any


class ArrowText:
    """Text of shape [rows] or [rows, 1], handed on through the Arrow C stream interface.

    `source` is a chunked array of Arrow's or a series of polars', of text, bytes or categories of text. A
    null is a missing string. Nothing is copied, and no Python string is made.
    """

    __slots__ = ("_source", "shape")

    def __init__(self, source: Any, shape: tuple[int, ...] | None = None) -> None:
        self._source = source
        self.shape = (len(source),) if shape is None else shape

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, rows: slice) -> ArrowText:
        part = self._source[rows]
        return ArrowText(part, (len(part), *self.shape[1:]))

    def reshape(self, shape: tuple[int, ...]) -> ArrowText:
        """The same text in another shape, of as many rows."""
        return ArrowText(self._source, shape)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._source.__arrow_c_stream__(requested_schema)
