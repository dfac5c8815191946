"""Examples: rows of a model's inputs and the outputs that they gave, as arrays by name and as one file.

In memory a number's array has its datatype's dtype (BF16: its bits as UINT16), and a BYTES array is an
object array of bytes; the first dimension is rows, but for outputs of models that give none. The file is
safetensors: `input/<name>` and `output/<name>` hold numbers. A BYTES tensor is two: `input.text/<name>`,
all its bytes one after another as U8, and `input.ends/<name>`, where each element ends in them as I64, in
the tensor's shape (the same with `output`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from penstock import frames
from penstock.bundle.manifest import Tensor
from penstock.errors import BundleError

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

_INVENTED_LIMIT = 1 << 26  # elements

# On the wire and in files: little-endian, which is what every machine that this builds on is.
DTYPES: Mapping[str, np.dtype[Any]] = {
    **frames.DATATYPES,
    "BF16": np.dtype(np.uint16),
    "BYTES": np.dtype(object),
}


def rows_of(arrays: Mapping[str, Array]) -> int:
    """Rows of examples whose arrays agree on them."""
    return int(next(iter(arrays.values())).shape[0])


def take_rows(arrays: Mapping[str, Array], start: int, stop: int) -> Arrays:
    """Rows `start` to `stop` of each array."""
    return {name: array[start:stop] for name, array in arrays.items()}


def cycle_rows(inputs: Sequence[Tensor], arrays: Mapping[str, Array], first: int, count: int) -> Arrays:
    """`count` rows from `first` on, and from the beginning again where there are fewer. Of an input whose
    first dimension is fixed, as many as it takes.
    """
    total = rows_of(arrays)
    batch: Arrays = {}
    for tensor in inputs:
        rows = tensor.shape[0] if tensor.shape and tensor.shape[0] >= 0 else count
        batch[tensor.name] = arrays[tensor.name][(first + np.arange(rows)) % total]
    return batch


def open_dimension(inputs: Sequence[Tensor]) -> str:
    """The name of an input that takes any size in a dimension other than rows, "" where none does. What its
    examples have there says nothing of what requests will have.
    """
    return next((tensor.name for tensor in inputs if -1 in tensor.shape[1:]), "")


def invent(inputs: Sequence[Tensor], rows: int, seed: str) -> Arrays:
    """Rows to warm up with where a bundle has no examples; the same for the same inputs and seed (a digest).

    Floating-point values come from a standard normal distribution. Integers are 0 and strings empty,
    because models use them as indices and categories and refuse invented ones. Dimensions of any size
    are 1. BundleError for a shape that is too large to warm up with.
    """
    random = np.random.default_rng(int(seed[:16], 16))
    arrays: Arrays = {}
    for tensor in inputs:
        shape = (rows, *(1 if size < 0 else size for size in tensor.shape[1:]))
        if math.prod(shape) > _INVENTED_LIMIT:
            raise BundleError(f"'{tensor.name}' is too large to invent values for: build with examples=")
        dtype = DTYPES[tensor.datatype]
        if dtype.kind == "f":
            arrays[tensor.name] = random.standard_normal(shape).astype(dtype)
        elif dtype.kind == "O":
            arrays[tensor.name] = np.full(shape, b"", object)
        else:
            arrays[tensor.name] = np.zeros(shape, dtype)
    return arrays


def load_arrays(data: bytes) -> Arrays:
    """The arrays of a safetensors file by name.

    BundleError for what is none, or of a type that NumPy has not.
    """
    try:
        return safetensors.numpy.load(data)
    except SafetensorError as error:
        raise BundleError(f"is no safetensors file: {error}") from error
    except KeyError as error:
        raise BundleError(f"holds an array of the type {error.args[0]}, which NumPy has not") from error


def write_examples(inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> bytes:
    """The file's bytes; the same for the same arrays."""
    tensors: Arrays = {}
    for side, arrays in (("input", inputs), ("output", outputs)):
        for name, array in arrays.items():
            if array.dtype.kind != "O":
                tensors[f"{side}/{name}"] = np.asarray(array, order="C")
                continue
            elements = array.ravel().tolist()
            ends = np.cumsum([len(element) for element in elements], dtype="<i8").reshape(array.shape)
            tensors[f"{side}.text/{name}"] = np.frombuffer(b"".join(elements), np.uint8)
            tensors[f"{side}.ends/{name}"] = ends
    return safetensors.numpy.save(tensors)


def read_examples(
    data: bytes, inputs: Sequence[Tensor], outputs: Sequence[Tensor], rows: int
) -> tuple[Arrays, Arrays]:
    """Inputs and outputs of the file.

    BundleError when a tensor is missing, surplus, or not what the manifest says.
    """
    tensors = load_arrays(data)
    found = (
        {tensor.name: _read_tensor(tensors, "input", tensor, rows) for tensor in inputs},
        {tensor.name: _read_tensor(tensors, "output", tensor, rows) for tensor in outputs},
    )
    if tensors:
        raise BundleError(f"holds {min(tensors)!r}, which the manifest does not name")
    return found


def _read_tensor(tensors: Arrays, side: str, tensor: Tensor, rows: int) -> Array:
    keys = (
        [f"{side}.text/{tensor.name}", f"{side}.ends/{tensor.name}"]
        if tensor.datatype == "BYTES"
        else [f"{side}/{tensor.name}"]
    )
    missing = [key for key in keys if key not in tensors]
    if missing:
        raise BundleError(f"holds no {missing[0]!r}")
    array = tensors.pop(keys[0])
    if tensor.datatype == "BYTES":
        array = _split(keys[0], array, tensors.pop(keys[1]))
    expected = DTYPES[tensor.datatype]
    shapes = [(rows, *tensor.shape[1:])] if tensor.shape else []
    if side == "output":  # of a model without rows, its own
        shapes.append(tensor.shape)
    if array.dtype != expected or not any(_fits(array.shape, shape) for shape in shapes):
        raise BundleError(
            f"{keys[0]!r} has the type {array.dtype} and shape {list(array.shape)}; the manifest says "
            f"{tensor.datatype} {[rows, *tensor.shape[1:]] if tensor.shape else []}"
        )
    return array


def _fits(shape: tuple[int, ...], stated: tuple[int, ...]) -> bool:
    return len(shape) == len(stated) and all(
        want in (-1, got) for want, got in zip(stated, shape, strict=True)
    )


def _split(key: str, text: Array, ends: Array) -> Array:
    flat = ends.ravel()
    bounds = np.concatenate([[0], flat]) if flat.dtype == np.dtype("<i8") else np.array([1, 0])
    if text.dtype != np.uint8 or text.ndim != 1 or np.any(np.diff(bounds) < 0) or bounds[-1] != text.size:
        raise BundleError(f"{key!r} and its ends do not fit together")
    data = text.tobytes()
    return frames.objects_of([data[start:stop] for start, stop in pairwise(bounds)], ends.shape)
