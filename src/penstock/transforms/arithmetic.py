"""Arithmetic: the difference, ratio, sum or product of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.transforms import parameters
from penstock.transforms.joint import Joint
from penstock.transforms.registry import register
from penstock.transforms.steps import Step, singles

Operation = Literal["difference", "ratio", "sum", "product"]
_SIGNS = {"difference": "-", "ratio": "/", "sum": "+", "product": "*"}


@register
class Arithmetic(Joint):
    """One number of several: numbers [rows] to an FP64 column `a-b`, `a/b`, `a+b`, `a*b`, or `name`.

    A difference and a ratio are of two columns, the first minus or over the second; a sum and a product of
    two or more, from left to right, in double precision. The ratio to 0 is `zero`, in place of an infinity or
    NaN. Where one of the columns is missing the result is; infinities follow IEEE 754. The result stands in
    the place of the first column and the others are gone; with `keep` all columns stay, and it
    stands behind the first.
    """

    kind = "arithmetic"

    def __init__(
        self,
        columns: Sequence[str],
        operation: Operation,
        *,
        name: str | None = None,
        zero: float = 0.0,
        keep: bool = False,
    ) -> None:
        super().__init__(
            columns, least=2, most=2 if operation in ("difference", "ratio") else None, keep=keep
        )
        self.operation = parameters.choice(self, "operation", operation, get_args(Operation))
        self.name = None if name is None else parameters.label(self, "name", name)
        self.zero = parameters.number(self, "zero", zero, infinite=True, missing=True)
        if operation != "ratio" and self.zero != 0:
            raise self.error("zero goes with operation='ratio', and only with it", self.columns[0])

    def parameters(self) -> dict[str, Any]:
        """The columns, what is made of them, and whether they stay."""
        return {
            "columns": self.columns,
            "operation": self.operation,
            "name": self.name,
            "zero": self.zero,
            "keep": self.keep,
        }

    def names(self) -> tuple[str, ...]:
        """The one column."""
        return (_SIGNS[self.operation].join(self.columns) if self.name is None else self.name,)

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call."""
        from penstock._kernels.arithmetic import OPERATIONS

        state = (np.array([OPERATIONS[self.operation]], np.int32), np.array([self.zero]))
        return [Step(self.step_name(self.columns), "arithmetic", state, self.columns, singles(self.names()))]
