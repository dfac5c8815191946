"""Transforms that make numbers of several columns together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import NUMERIC, Transform


class Joint(Transform):
    """Outputs in the place of the first column, the others gone; with `keep` all stay, it before them."""

    accepts = NUMERIC

    def __init__(self, columns: Sequence[str], *, least: int, most: int | None, keep: bool = False) -> None:
        """TransformError unless there are from `least` to `most` columns."""
        super().__init__(columns)
        if len(self.columns) < least or (most is not None and len(self.columns) > most):
            expected = f"at least {least}" if most is None else str(least)
            raise self.error(f"it takes {expected} columns, got {len(self.columns)}", self.columns[0])
        self.keep = parameters.flag(self, "keep", keep)

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing."""

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """The column where it is kept; then, of the first one, all that is made."""
        kept = [(column, datatype)] if self.keep else []
        made = self.names() if column == self.columns[0] else ()
        return [*kept, *((name, "FP64") for name in made)]

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of what is made, FP64 all of it."""
