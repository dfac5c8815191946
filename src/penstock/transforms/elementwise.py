"""Transforms that learn nothing and make one number of each number, in a column of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from penstock.frames import Column
from penstock.transforms.base import NUMERIC, Step, Transform


class Elementwise(Transform):
    """All of such a transform but its kernel, which takes any number of columns and no state."""

    accepts = NUMERIC
    kernel: ClassVar[str]

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

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call for all columns."""
        outputs = tuple((column, "FP64") for column in self.columns)
        return [Step(self.step_name(self.columns), self.kernel, (), self.columns, outputs)]
