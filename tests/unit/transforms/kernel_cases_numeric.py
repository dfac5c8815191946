"""Sound states for the kernels of numbers."""

from __future__ import annotations

import numpy as np
from kernel_cases import KernelCase

from penstock._kernels.arithmetic import OPERATIONS
from penstock._kernels.cast import DATATYPES
from penstock._kernels.normalize import NORMS
from penstock._kernels.polynomial import scratch_bytes
from penstock._kernels.spline import EXTRAPOLATIONS

INT32, UINT8 = np.int32, np.uint8

KERNELS: dict[str, KernelCase] = {
    "arithmetic": KernelCase(
        ["FP64", "INT64"], [1], [np.array([OPERATIONS["ratio"]], INT32), np.array([0.5])]
    ),
    "cast": KernelCase(["INT64"], [1], [np.array([DATATYPES["INT64"]], INT32)], ("INT64",)),
    "haversine": KernelCase(["FP64", "FP32", "FP16", "FP64"], [1], [np.array([6371.0])]),
    "missing": KernelCase(
        ["INT64"], [1], [np.frombuffer(b"UA", UINT8), np.array([1], INT32), np.array([7.0])]
    ),
    "normalize": KernelCase(
        ["FP64", "INT64", "FP32"], [3], [np.array([NORMS["max"]], INT32), np.array([1e-15])]
    ),
    "polynomial": KernelCase(
        ["FP64", "INT64"],
        [4],
        [np.array([1, 0, 1, 0, 0, 1, 0, 1, 2], INT32), np.array([0, 1, 2, 3], INT32)],
        scratch=scratch_bytes(2, 5),
    ),
    "spline": KernelCase(
        ["FP64", "FP32"],
        [4, 3],
        [
            np.array([-2.0, -1, 0, 1, 2, 3, 4, -20, -10, 0, 10, 20, 30, 40]),
            np.array([2, EXTRAPOLATIONS["linear"], 0], INT32),
        ],
    ),
}
