"""Transforms that make one number of each number, in a column of the same name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from penstock.frames import Column
from penstock.transforms.base import NUMERIC, Transform
from penstock.transforms.steps import Map, Op


class Elementwise(Transform):
    """All of such a transform but its parameters, what it learns, and the operations on a number."""

    accepts = NUMERIC

    def parameters(self) -> dict[str, Any]:
        """The columns."""
        return {"columns": self.columns}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing."""

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column of the same name."""
        return [(column, "FP64")]

    def steps(self, datatypes: Mapping[str, str]) -> list[Map]:
        """A map of each column."""
        return [Map(column, column, self.operations(index)) for index, column in enumerate(self.columns)]

    @abstractmethod
    def operations(self, index: int) -> tuple[Op, ...]:
        """The operations (ext/kernels/chain.pyx) on the column of that index."""
