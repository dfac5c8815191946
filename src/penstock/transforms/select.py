"""Select: columns as they are, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.frames import Column
from penstock.transforms.base import NUMERIC, Step, Transform
from penstock.transforms.registry import register


@register
class Select(Transform):
    """Passes columns on as numbers: [rows] of any numeric type to FP64 [rows]; false is 0 and true is 1.

    Integers beyond 2**53 are rounded, as NumPy's astype rounds them. A column that another transform reads
    need not be selected.
    """

    kind = "select"
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

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call for all columns."""
        outputs = tuple((column, "FP64") for column in self.columns)
        return [Step(f"{self.kind}({', '.join(self.columns)})", "cast", (), self.columns, outputs)]
