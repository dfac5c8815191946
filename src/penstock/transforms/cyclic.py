"""Cyclic: hours, weekdays and angles as points on a circle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import NUMERIC, Transform
from penstock.transforms.registry import register
from penstock.transforms.steps import Map, op


@register
class Cyclic(Transform):
    """sin and cos of 2 pi x / period: numbers [rows] to two FP64 columns, `x_sin` and `x_cos`.

    `period` is in the columns' unit and the same for all of them: 24 for hours of the day. The last hour is
    then as near to the first as any two neighbours. The remainder of x by the period is taken first, and is
    exact: values one period apart give equal results. Infinity gives NaN; missing stays missing.
    """

    kind = "cyclic"
    accepts = NUMERIC

    def __init__(self, columns: str | Sequence[str], period: float) -> None:
        super().__init__(columns)
        self.period = parameters.number(self, "period", period)
        if self.period <= 0:
            raise self.error(f"period is {period!r}, expected more than 0", self.columns[0])

    def parameters(self) -> dict[str, Any]:
        """The columns and their period."""
        return {"columns": self.columns, "period": self.period}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing."""

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """The sine and the cosine."""
        return [(f"{column}_sin", "FP64"), (f"{column}_cos", "FP64")]

    def steps(self, datatypes: Mapping[str, str]) -> list[Map]:
        """Two maps of each column."""
        return [
            Map(column, name, (op(code, self.period),))
            for column in self.columns
            for code, (name, _) in zip(
                ("sine", "cosine"), self.outputs(column, datatypes[column]), strict=True
            )
        ]
