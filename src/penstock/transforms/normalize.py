"""Normalize: rows of several columns, scaled to norm 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import NUMERIC, Transform
from penstock.transforms.registry import register
from penstock.transforms.steps import Block, Step

Norm = Literal["l2", "l1", "max"]


@register
class Normalize(Transform):
    """Each row of the columns over its norm, as scikit-learn's Normalizer: numbers [rows] to FP64 [rows].

    The norm is over all of `columns`: 'l2' the root of the sum of squares, 'l1' the sum of sizes, 'max' the
    greatest size. A row whose norm is no more than rounding stays as it is: one below 10 times the precision,
    2.2e-15, or 1.2e-6 where all columns are FP32. Where one column is missing the norm is not known, and the
    whole row becomes missing (scikit-learn refuses it); an infinity leaves NaN in its own column and zeros in
    the others.
    """

    kind = "normalize"
    accepts = NUMERIC

    def __init__(self, columns: str | Sequence[str], norm: Norm = "l2") -> None:
        super().__init__(columns)
        self.norm = parameters.choice(self, "norm", norm, get_args(Norm))

    def parameters(self) -> dict[str, Any]:
        """The columns and the norm."""
        return {"columns": self.columns, "norm": self.norm}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing."""

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column of the same name."""
        return [(column, "FP64")]

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call."""
        from penstock._kernels.normalize import NORMS

        single = all(datatypes[column] == "FP32" for column in self.columns)
        least = 10 * np.finfo(np.float32 if single else np.float64).eps
        state = (np.array([NORMS[self.norm]], np.int32), np.array([least], np.float64))
        block = Block(self.columns, "FP64")
        return [Step(self.step_name(self.columns), "normalize", state, self.columns, (block,))]
