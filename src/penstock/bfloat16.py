"""bfloat16, which NumPy has not: the upper half of a float32, as uint16 bits.

In Penstock a BF16 tensor is float32 where people see it and bits where it travels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def bits_of(values: Array) -> Array:
    """The bits (little-endian uint16) of the bfloat16 nearest to each float32, in the same shape.

    Ties go to the even one; what is beyond the largest bfloat16 becomes infinite. A NaN keeps its upper half,
    with a bit set so that it stays a NaN.
    """
    bits = np.ascontiguousarray(values, "<f4").view("<u4").astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    kept = np.where(np.isnan(values), bits >> 16 | 0x40, rounded).astype("<u2")
    return kept.reshape(values.shape)  # ascontiguousarray makes [1] of []


def values_of(bits: Array) -> Array:
    """The float32 that each bfloat16 is, exactly, in the same shape."""
    return (np.ascontiguousarray(bits, "<u2").astype("<u4") << 16).view("<f4").reshape(bits.shape)
