"""Select: columns as they are, as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import NUMERIC, Transform
from penstock.transforms.registry import register
from penstock.transforms.steps import Alias, Item, Map


@register
class Select(Transform):
    """Passes columns on as numbers: [rows] of any numeric type to FP64 [rows]; false is 0 and true is 1.

    Integers beyond 2**53 are rounded, as NumPy's astype rounds them. A column that another transform reads
    need not be selected. With `only`, all other columns that there are at this point are dropped, and these
    stand in the order of `columns`; a transform that nothing needs any more is then not run, and an input
    that nothing needs is none. `names`, which goes with `only`, gives each the name of the same place, which
    may be that of a column that is dropped or of another that is selected.
    """

    kind = "select"
    accepts = NUMERIC

    def __init__(
        self, columns: str | Sequence[str], *, only: bool = False, names: Sequence[str] | None = None
    ) -> None:
        super().__init__(columns)
        first = self.columns[0]
        self.only = parameters.flag(self, "only", only)
        if names is not None and not self.only:
            raise self.error("names goes with only=True, and only with it", first)
        given = self.columns if names is None else tuple(names)
        if len(given) != len(self.columns) or not all(isinstance(name, str) and name for name in given):
            expected = f"one name for each of {len(self.columns)} columns"
            raise self.error(f"names is {names!r}, expected {expected}", first)
        if len(set(given)) != len(given):
            twice = next(name for index, name in enumerate(given) if name in given[:index])
            raise self.error(f"names has {twice!r} twice", first)
        self.names = None if names is None else given
        self._name_of = dict(zip(self.columns, given, strict=True))

    def parameters(self) -> dict[str, Any]:
        """The columns, whether others are dropped, and new names."""
        return {"columns": self.columns, "only": self.only, "names": self.names}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing."""

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column, of the same name or the new one."""
        return [(self._name_of[column], "FP64")]

    def steps(self, datatypes: Mapping[str, str]) -> Sequence[Item]:
        """A map of each column that is no double yet; behind second names where there are new ones."""
        if self.names is None:
            return [Map(column, column, ()) for column in self.columns if datatypes[column] != "FP64"]
        longer = "_" * (1 + max(map(len, self.columns)))  # than any column's name
        between = {column: f"{longer}{index}" for index, column in enumerate(self.columns)}
        return [
            *(Alias(column, name) for column, name in between.items()),
            *(
                Alias(between[column], name)
                if datatypes[column] == "FP64"
                else Map(between[column], name, ())
                for column, name in self._name_of.items()
            ),
        ]
