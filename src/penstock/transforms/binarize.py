"""Binarize: 0 and 1, by a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.transforms import parameters
from penstock.transforms.elementwise import Elementwise
from penstock.transforms.registry import register
from penstock.transforms.steps import Op, op


@register
class Binarize(Elementwise):
    """1 where x is above `threshold`, else 0: numbers [rows] to FP64 [rows], as scikit-learn's Binarizer.

    The threshold itself gives 0. Missing stays missing, where scikit-learn refuses it.
    """

    kind = "binarize"

    def __init__(self, columns: str | Sequence[str], threshold: float = 0.0) -> None:
        super().__init__(columns)
        self.threshold = parameters.number(self, "threshold", threshold)

    def parameters(self) -> dict[str, Any]:
        """The columns and the threshold."""
        return {"columns": self.columns, "threshold": self.threshold}

    def operations(self, index: int) -> tuple[Op, ...]:
        """The comparison."""
        return (op("binarize", self.threshold),)
