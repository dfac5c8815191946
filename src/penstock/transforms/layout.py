"""The columns that there are while a list of transforms goes from a frame to features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.transforms.base import Transform


class Layout:
    """Follows names and datatypes, one transform at a time, in order of first mention.

    `available` are the frame's columns; those that a transform reads become `inputs`. `columns` are what
    there is after the transforms so far, with the outputs of a column in that column's place.
    """

    def __init__(self, available: Mapping[str, str]) -> None:
        self._available = available
        self._replaced: dict[str, str] = {}  # columns that are gone, and what they became
        self.inputs: dict[str, str] = {}
        self.columns: dict[str, str] = {}

    def read(self, transform: Transform) -> dict[str, str]:
        """The datatypes of a transform's columns. TransformError names a column that is not there."""
        for column in transform.columns:
            if column in self.columns:
                continue
            if column in self._replaced:
                raise transform.error(f"an earlier transform made {self._replaced[column]} of it", column)
            if column not in self._available:
                known = ", ".join(map(repr, {**self._available, **self.columns}))
                raise transform.error(f"there is no such column; there are {known or 'none'}", column)
            self.inputs[column] = self.columns[column] = self._available[column]
        return {column: self.columns[column] for column in transform.columns}

    def replace(self, transform: Transform) -> None:
        """Puts a fitted transform's outputs in its columns' place. TransformError where names collide."""
        if transform.only:
            made = {name: transform.outputs(name, self.columns[name]) for name in transform.columns}
            kept = dict(pair for pairs in made.values() for pair in pairs)
            gone = [name for name in self.columns if name not in kept]
            self._replaced |= {name: _listed(made.get(name, [])) for name in gone}
            self.columns = kept
            return
        columns: list[tuple[str, str]] = []
        own = set(transform.columns)
        for column, datatype in self.columns.items():
            if column not in own:
                columns.append((column, datatype))
                continue
            outputs = transform.outputs(column, datatype)
            columns += outputs
            if column not in dict(outputs):
                self._replaced[column] = _listed(outputs)
        found: dict[str, str] = {}
        for name, datatype in columns:
            is_new = name not in self.columns
            if name in found or (is_new and (name in self._available or name in self._replaced)):
                raise transform.error(f"its output {name!r} has the name of another column; rename that one")
            found[name] = datatype
        self.columns = found


def _listed(outputs: Sequence[tuple[str, str]]) -> str:
    return ", ".join(name for name, _ in outputs[:3]) or "nothing"
