"""Log1p: log(1 + x)."""

from __future__ import annotations

from penstock.transforms.elementwise import Elementwise
from penstock.transforms.registry import register
from penstock.transforms.steps import Op, op


@register
class Log1p(Elementwise):
    """log(1 + x), exact near zero: numbers [rows] to FP64 [rows], as numpy.log1p.

    -1 gives -infinity and less gives NaN; missing stays missing.
    """

    kind = "log1p"

    def operations(self, index: int) -> tuple[Op, ...]:
        """The logarithm."""
        return (op("log1p"),)
