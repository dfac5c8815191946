"""What a custom transform costs: until it runs, with and without the code of an earlier process, and a row.

Prints the median time from an imported penstock to a kernel's address, with an empty cache (Numba is
imported and compiles) and with a filled one; the memory of the process then; and the least nanoseconds a
row of three functions, with bounds checked and not.

    python benchmarks/custom_transforms.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROWS = 4096
CALLS = 200
START = """
import resource, time
from penstock import transforms
from penstock.transforms.compiled import kernel_of
from penstock.transforms.scalar_function import Definition, ScalarFunction
source = "def speed(distance, minutes):\\n    return distance / minutes * 60.0\\n"
began = time.perf_counter()
kernel_of(ScalarFunction(Definition("speed", source), (), {}, {}), ["FP64", "FP64"], 1)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def arithmetic(x: float) -> float:
    return (x - 3.0) / 7.0 * 60.0


def angle(x: float) -> float:
    return math.sin(x) * math.cos(x)


def array(x: float) -> float:
    counts = np.zeros(8)
    for i in range(64):
        counts[(int(x) + 3 * i) % 8] += 1.0
    return counts[int(x) % 8]


def starts(rounds: int) -> None:
    """Each in a process of its own."""
    cold, warm = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "PENSTOCK_CACHE_DIR": cache}
            for found in (cold, warm):
                out = subprocess.check_output([sys.executable, "-c", START], env=environment, text=True)
                found.append(tuple(map(float, out.split())))
    for name, found in (("compiled", cold), ("from the cache", warm)):
        seconds, megabytes = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name}: {seconds * 1e3:.0f} ms, peak memory {megabytes:.0f} MiB")


def rows(rounds: int) -> None:
    """The kernels themselves, called as C functions."""
    from penstock.transforms import machine_code, numba_kernel
    from penstock.transforms.captured import scalar_function_of

    for function in (arithmetic, angle, array):
        line = []
        for checked in (True, False):
            numba_kernel._SEMANTICS["boundscheck"] = checked
            made = numba_kernel.compile_kernel(scalar_function_of(function), ["FP64"], 1)
            address = machine_code.load(made.content)
            assert address is not None
            took = min(nanoseconds(address) for _ in range(rounds))
            line.append(f"{took:.2f} ns a row {'with' if checked else 'without'} bounds checked")
        print(f"{function.__name__}: {', '.join(line)}")


def nanoseconds(address: int) -> float:
    """Of one row."""
    values, out = np.random.default_rng(1).uniform(0, 60, ROWS), np.empty(ROWS)
    column = np.dtype([("data", "i8"), ("stride", "i8"), ("dtype", "i4"), ("width", "i4")])
    given = np.array([(values.ctypes.data, 8, 12, 1)], column)
    made = np.array([(out.ctypes.data, 8, 12, 1)], column)
    state = np.array([0, 0, 1, 1], np.int64)
    kernel = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3, ctypes.c_int64)(address)
    arguments = (state.ctypes.data, given.ctypes.data, made.ctypes.data)
    assert kernel(*arguments, ROWS) == 0
    began = time.perf_counter()
    for _ in range(CALLS):
        kernel(*arguments, ROWS)
    return (time.perf_counter() - began) / CALLS / ROWS * 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    starts(chosen.rounds)
    rows(chosen.rounds)
