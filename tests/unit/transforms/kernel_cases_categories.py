"""Sound states for the kernels of categories."""

from __future__ import annotations

import numpy as np
from kernel_cases import NUMBERS, TEXT, KernelCase

from penstock.transforms.categories import Categories, lookup_arrays

UINT8 = np.uint8
CROSSED = lookup_arrays(
    [Categories((b"AA", b"UA"), True), Categories((3, -1), False), Categories((0, 4, 8), False)]
)

KERNELS: dict[str, KernelCase] = {
    "category_vector_text": KernelCase(
        ["BYTES", "BYTES"],
        [2, 3],
        [*TEXT, np.arange(12.0), np.arange(5.0), np.arange(5.0), np.array([0, 0], UINT8)],
    ),
    "category_vector_number": KernelCase(
        ["INT64", "FP64"],
        [1, 2],
        [
            *NUMBERS,
            np.arange(4, dtype=np.float32),
            np.arange(3, dtype=np.float32),
            np.arange(3, dtype=np.float32),
            np.array([0, 0], UINT8),
        ],
    ),
    "cross": KernelCase(
        ["BYTES", "INT64"],
        [1],
        [*CROSSED, np.array([0, 4, 9, 17, 24]), np.frombuffer(b"AA|3UA|-1missing|unseen.", UINT8)],
        ("BYTES",),
    ),
    "hash": KernelCase(
        ["BYTES", "INT64"],
        [5, 5],
        [np.array([5, 1, 0, 0]), np.array([0, 2, 4]), np.frombuffer(b"a=b=", UINT8)],
    ),
}
