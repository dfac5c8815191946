"""Kernels of custom transforms called as C functions, with columns made by hand."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

NUMBERS = {
    "BOOL": 1,
    "UINT8": 2,
    "UINT16": 3,
    "UINT32": 4,
    "UINT64": 5,
    "INT8": 6,
    "INT16": 7,
    "INT32": 8,
    "INT64": 9,
    "FP16": 10,
    "FP32": 11,
    "FP64": 12,
    "BYTES": 13,
    "BF16": 14,
}


class Column(ctypes.Structure):
    """penstock_column of ext/transform/column.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("dtype", ctypes.c_int32),
        ("width", ctypes.c_int32),
    )


class State(ctypes.Structure):
    """penstock_state of ext/transform/column.h."""

    _fields_ = (
        ("arrays", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
    )


def column(values: Array, datatype: str) -> Column:
    """A column of the rows of `values`; its width is what lies in one row."""
    width = 1 if values.ndim == 1 else values.shape[1]
    return Column(values.ctypes.data, values.strides[0], NUMBERS[datatype], width)


def call(address: int, inputs: Sequence[Column], outputs: Sequence[Column], rows: int) -> int:
    """What the kernel at that address returns."""
    kernel = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3, ctypes.c_int64)(address)
    state = State(None, 0, len(inputs), len(outputs))
    read = (Column * len(inputs))(*inputs)
    written = (Column * len(outputs))(*outputs)
    return int(kernel(ctypes.addressof(state), ctypes.addressof(read), ctypes.addressof(written), rows))
