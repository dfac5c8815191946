"""The columns that there are while a list of transforms goes from a frame to features."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence

from penstock.transforms.base import Transform

# What a document may ask for: names take memory before anything runs.
MOST_COLUMNS = 2**20
_MOST_CHARACTERS = 2**26


class Layout:
    """Follows names and datatypes, one transform at a time, in order of first mention.

    `available` are the frame's columns; those that a transform reads become `inputs`. `columns` are what
    there is after the transforms so far, with the outputs of a column in that column's place.
    """

    def __init__(self, available: Mapping[str, str], known: Collection[str] = ()) -> None:
        """`known`: all columns of the frame, for messages."""
        self._available = available
        self._known = known or available
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
                raise transform.error(f"there is no such column{self._nearest(column)}", column)
            self.inputs[column] = self.columns[column] = self._available[column]
        return {column: self.columns[column] for column in transform.columns}

    def _outputs(self, transform: Transform) -> dict[str, list[tuple[str, str]]]:
        """What a transform makes of each of its columns. TransformError where that is too much, or where
        something made of one column has the name of another: steps of the transform may yet read that.
        """
        made = {}
        columns, characters = len(self.columns), 0
        for column in transform.columns:
            made[column] = outputs = transform.outputs(column, self.columns[column])
            columns += len(outputs)
            characters += sum(len(name) for name, _ in outputs)
            if columns > MOST_COLUMNS or characters > _MOST_CHARACTERS:
                raise transform.error(
                    f"there are more than {MOST_COLUMNS:,} columns, or {_MOST_CHARACTERS:,} characters of "
                    f"their names; make fewer of it",
                    column,
                )
        for column, outputs in made.items():
            for name, _ in outputs:
                if name != column and made.get(name):
                    raise transform.error(
                        f"its output {name!r} has the name of another of its columns; rename that one, or "
                        f"give each a transform of its own",
                        column,
                    )
        return made

    def _nearest(self, column: str) -> str:
        there = list(dict.fromkeys([*self._known, *self.columns]))
        listed = ", ".join(map(repr, there[:20])) + (f" ... ({len(there)})" if len(there) > 20 else "")
        near = difflib.get_close_matches(column, there, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ";"
        return f"{meant} There are {listed or 'none'}" if near else f"{meant} there are {listed or 'none'}"

    def replace(self, transform: Transform) -> None:
        """Puts a fitted transform's outputs in its columns' place. TransformError where names collide."""
        if transform.only:
            made = {name: transform.outputs(name, self.columns[name]) for name in transform.columns}
            kept = dict(pair for pairs in made.values() for pair in pairs)
            gone = [name for name in self.columns if name not in kept]
            self._replaced |= {name: _listed(made.get(name, [])) for name in gone}
            self.columns = kept
            return
        made = self._outputs(transform)
        if all([name for name, _ in outputs] == [column] for column, outputs in made.items()):
            self.columns |= {column: datatype for column, ((_, datatype),) in made.items()}
            return
        columns: list[tuple[str, str]] = []
        for column, datatype in self.columns.items():
            outputs = made.get(column, [(column, datatype)])
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
