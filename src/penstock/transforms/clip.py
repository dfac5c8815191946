"""Clip: values kept between two limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from penstock.transforms import parameters
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.registry import register
from penstock.transforms.steps import Op, op


@register
class Clip(Elementwise):
    """`lower` in place of less, `upper` in place of more: numbers [rows] to FP64 [rows], as numpy.clip.

    Limits are in the columns' unit, and None is no limit. Infinities become the limits; missing stays
    missing.
    """

    kind = "clip"

    def __init__(
        self, columns: str | Sequence[str], lower: float | None = None, upper: float | None = None
    ) -> None:
        super().__init__(columns)
        self.lower, self.upper = (
            None if limit is None else parameters.number(self, name, limit)
            for name, limit in (("lower", lower), ("upper", upper))
        )
        if self.lower is None and self.upper is None:
            raise self.error("neither lower nor upper is given, so nothing is clipped", self.columns[0])
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise self.error(f"lower is {self.lower!r}, above upper, {self.upper!r}", self.columns[0])

    def parameters(self) -> dict[str, Any]:
        """The columns and the limits."""
        return {"columns": self.columns, "lower": self.lower, "upper": self.upper}

    def operations(self, index: int) -> tuple[Op, ...]:
        """The clipping."""
        lower = -math.inf if self.lower is None else self.lower
        return (op("clip", lower, math.inf if self.upper is None else self.upper),)
