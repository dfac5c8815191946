"""Log1p: log(1 + x)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.frames import Column
from penstock.transforms.base import NUMERIC, Step, Transform
from penstock.transforms.registry import register


@register
class Log1p(Transform):
    """log(1 + x), exact near zero: numbers [rows] to FP64 [rows], as numpy.log1p.

    -1 gives -infinity and less gives NaN; missing stays missing.
    """

    kind = "log1p"
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
        return [Step(f"{self.kind}({', '.join(self.columns)})", "log1p", (), self.columns, outputs)]
