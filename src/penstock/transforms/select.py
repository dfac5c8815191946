"""Select: columns as they are, as numbers."""

from __future__ import annotations

from penstock.transforms.elementwise import Elementwise
from penstock.transforms.registry import register


@register
class Select(Elementwise):
    """Passes columns on as numbers: [rows] of any numeric type to FP64 [rows]; false is 0 and true is 1.

    Integers beyond 2**53 are rounded, as NumPy's astype rounds them. A column that another transform reads
    need not be selected.
    """

    kind = "select"
    kernel = "cast"
