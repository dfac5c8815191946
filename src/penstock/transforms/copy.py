"""Copy: columns under second names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.frames import Column
from penstock.transforms.base import NUMERIC, Transform
from penstock.transforms.registry import register
from penstock.transforms.steps import Alias


@register
class Copy(Transform):
    """Each column once more, under the name of the same place in `names`: for two transforms that read one
    column.

    The copy stands behind its column and has its datatype. It costs nothing: both names mean the same values.
    """

    kind = "copy"
    accepts = (*NUMERIC, "BYTES")

    def __init__(self, columns: str | Sequence[str], names: str | Sequence[str]) -> None:
        super().__init__(columns)
        given = (names,) if isinstance(names, str) else tuple(names)
        if len(given) != len(self.columns) or not all(isinstance(name, str) and name for name in given):
            raise self.error(
                f"names is {names!r}; expected one new name for each of {len(self.columns)} columns"
            )
        for index, name in enumerate(given):
            if name in given[:index] or name in self.columns:
                raise self.error(f"the name {name!r} is there already", self.columns[index])
        self.names = given

    def parameters(self) -> dict[str, Any]:
        """The columns and their second names."""
        return {"columns": self.columns, "names": self.names}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing."""

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """The column and its copy."""
        return [(column, datatype), (self.names[self.columns.index(column)], datatype)]

    def steps(self, datatypes: Mapping[str, str]) -> list[Alias]:
        """No call."""
        return [Alias(column, name) for column, name in zip(self.columns, self.names, strict=True)]
