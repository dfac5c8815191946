"""Cast: numbers in another datatype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import FLOATING, INTEGER, NUMERIC, Transform
from penstock.transforms.registry import register
from penstock.transforms.steps import Block, Item, Map, Step, op


@register
class Cast(Transform):
    """Numbers [rows] of any type to another `datatype` [rows], as NumPy's astype where that is defined.

    To an integer type the fraction is cut off, so that a OneHot or an Ordinal behind it finds integers. A row
    with a missing value, or with one that the type does not hold, is refused with an error that names it;
    Impute or Clip the column first. To BOOL, 0 is false, every other number true, and missing is refused. To
    FP32 numbers are rounded to single precision, too large ones to infinity; the column's datatype is then
    FP64, as of all computed floating point. To FP64 integers beyond 2**53 are rounded. Missing stays missing
    in FP32 and FP64.
    """

    kind = "cast"
    accepts = NUMERIC

    def __init__(self, columns: str | Sequence[str], datatype: str) -> None:
        super().__init__(columns)
        self.datatype = parameters.choice(self, "datatype", datatype, (*FLOATING, *INTEGER))

    def parameters(self) -> dict[str, Any]:
        """The columns and their new datatype."""
        return {"columns": self.columns, "datatype": self.datatype}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing."""

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column of the same name."""
        return [(column, "FP64" if self.datatype in FLOATING else self.datatype)]

    def steps(self, datatypes: Mapping[str, str]) -> list[Item]:
        """A map of each column to floating point, else a call for each, so that errors show its value."""
        if self.datatype in FLOATING:
            rounded = (op("single"),) if self.datatype == "FP32" else ()
            return [Map(column, column, rounded) for column in self.columns]
        from penstock._kernels.cast import DATATYPES

        state = (np.array([DATATYPES[self.datatype]], np.int32),)
        return [
            Step(
                self.step_name([column]),
                "cast",
                state,
                (column,),
                (Block((column,), self.datatype),),
                refuses=True,
            )
            for column in self.columns
        ]
