"""From what users hold (frames, columns, arrays) to the arrays of a bundle's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock import frames
from penstock.bundle.examples import Array, Arrays
from penstock.bundle.manifest import Input
from penstock.errors import InputError


def arrays_of(data: object, inputs: Sequence[Input]) -> Arrays:
    """The array of each input, in its datatype and with as many dimensions; missing strings are None.

    `data` is a frame, or a mapping by input name to columns or tensors; surplus ones are left out. A
    NumPy array is the only input, or the matrix of all columns where they are numeric. InputError names
    what is missing or does not fit.
    """
    given = _by_name(data, inputs) if isinstance(data, np.ndarray) else data
    columns = frames.columns_of(given)
    names = list(columns)  # asking `in columns` would read the column
    missing = [tensor.name for tensor in inputs if tensor.name not in names]
    if missing:
        shown = ", ".join(repr(name) for name in missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise InputError(f"The data has no {shown}. It has: {', '.join(names[:20]) or 'no columns'}.")
    tensors = given if isinstance(given, Mapping) else {}
    return {tensor.name: _array(columns, tensors.get(tensor.name), tensor) for tensor in inputs}


def to_wire(arrays: Arrays, inputs: Sequence[Input]) -> Arrays:
    """The same as callers send them: a missing string is an empty one.

    InputError where that means something else.
    """
    sent = dict(arrays)
    for tensor in inputs:
        if tensor.datatype != "BYTES":
            continue
        elements = arrays[tensor.name].ravel().tolist()
        if None in elements and not tensor.empty_is_missing:
            raise InputError(f"'{tensor.name}' has missing strings, which this model's input cannot say.")
        sent[tensor.name] = _objects([e or b"" for e in elements], arrays[tensor.name].shape)
    return sent


def infer_datatypes(frame: object, names: Sequence[str]) -> dict[str, str]:
    """The datatype of each named column of a frame. InputError for one that is missing or text."""
    columns = frames.columns_of(frame)
    found = {}
    for name in names:
        if name not in columns:
            raise InputError(f"reference= has no column '{name}', which the model was trained on.")
        found[name] = frames.datatype_of(columns[name], name)
        if found[name] == "BYTES":
            raise InputError(
                f"reference= holds text in '{name}'; a LightGBM model takes text through features=."
            )
    return found


def _by_name(array: Array, inputs: Sequence[Input]) -> Mapping[str, Array]:
    if len(inputs) == 1 and array.ndim == max(len(inputs[0].shape), 1):
        return {inputs[0].name: array}
    if any(tensor.datatype == "BYTES" or len(tensor.shape) != 1 for tensor in inputs):
        raise InputError(
            f"The model takes {len(inputs)} inputs: give a mapping of names to arrays, not one array."
        )
    if array.ndim != 2 or array.shape[1] != len(inputs):
        raise InputError(f"The array has the shape {list(array.shape)}; expected [rows, {len(inputs)}].")
    return {tensor.name: array[:, i] for i, tensor in enumerate(inputs)}


def _array(columns: frames.Columns, tensor_given: Any, tensor: Input) -> Array:
    """The column, or where a tensor of more dimensions was given that, in the input's datatype and shape."""
    rank = len(tensor.shape)
    given: Array | None = (
        np.asarray(tensor_given) if isinstance(tensor_given, (np.ndarray, list, tuple)) else None
    )
    array: Array
    if given is not None and given.ndim > 1:
        array = _converted(given.ravel(), tensor).reshape(given.shape)
    else:
        array = _converted(columns[tensor.name], tensor)
    if rank == 2 and array.ndim == 1 and tensor.shape[1] in (1, -1):
        array = array.reshape(-1, 1)
    if rank == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    fits = array.ndim == rank and all(
        want in (-1, got) for want, got in zip(tensor.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise InputError(f"'{tensor.name}' has the shape {list(array.shape)}; expected {list(tensor.shape)}.")
    return array


def _converted(values: Any, tensor: Input) -> Array:
    if tensor.datatype == "BF16":
        return _bfloat16(np.asarray(frames.as_datatype(values, "FP32", tensor.name)))
    found = frames.as_datatype(values, tensor.datatype, tensor.name)
    if isinstance(found, np.ndarray):
        return found
    return _objects([value.encode() if isinstance(value, str) else value for value in found], (len(found),))


def _bfloat16(array: Array) -> Array:
    """Bits of the nearest bfloat16, ties to even; a NaN stays one."""
    bits = array.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    return np.where(np.isnan(array), 0x7FC0, rounded).astype(np.uint16)


def _objects(elements: Sequence[bytes | None], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)
