"""A caller's data made to fit a model's inputs: which column goes to which tensor, in which datatype and
shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock import frames
from penstock.client.answers import Array, ModelMetadata, TensorSpec
from penstock.client.tensors import DTYPES, Tensor, raw_bytes, to_raw
from penstock.errors import InputError

FEATURES = "features"  # the one tensor that stands for all columns of a bundle, where they are all numeric

# An array, or the elements of a BYTES column.
Values = Array | Sequence[str | bytes | None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The values for each tensor to send, in the tensors' datatypes."""

    inputs: Sequence[tuple[TensorSpec, Values]]

    def tensors(self) -> list[Tensor]:
        """The tensors in their raw form."""
        return [_tensor(spec, values) for spec, values in self.inputs]

    def split(self, max_rows: int | None) -> Iterator[Fitted]:
        """Parts of at most `max_rows` rows, in order; the whole, even if it is empty, when that is enough."""
        if max_rows is None:
            yield self
            return
        if max_rows < 1:
            raise InputError(f"max_rows is {max_rows}: at least 1 was expected")
        rows = {spec.name: len(values) for spec, values in self.inputs}
        if len(set(rows.values())) > 1:
            raise InputError(f"the inputs have different numbers of rows: {rows}")
        total = next(iter(rows.values()), 0)
        for start in range(0, max(total, 1), max_rows):
            yield Fitted([(spec, values[start : start + max_rows]) for spec, values in self.inputs])


def fit(data: Any, model: ModelMetadata) -> Fitted:
    """The data as the model's inputs. InputError names the input or column that does not fit, and what was
    expected.

    A mapping or a frame gives each input the column of its name, and columns that are no input are left out.
    A single array is the only input of the model, or `features` where all inputs are numeric columns.
    """
    inputs = model.inputs
    if isinstance(data, np.ndarray):
        return Fitted([_single(data, model)])
    columns: Mapping[str, Any] = data if isinstance(data, dict) else frames.columns_of(data)
    if all(spec.name in columns for spec in inputs):
        return Fitted([(spec, _values(spec.name, columns[spec.name], spec.datatype)) for spec in inputs])
    if FEATURES in columns and _all_numeric_columns(inputs):
        return Fitted([_features(np.asarray(columns[FEATURES]), model)])
    if len(inputs) == 1 and not _is_column(inputs[0]) and inputs[0].shape[1:] == (len(columns),):
        # A model with one matrix names no columns: they are taken in the order they come in.
        stacked = [_values(name, column, inputs[0].datatype) for name, column in columns.items()]
        return Fitted([(inputs[0], np.column_stack([np.asarray(column) for column in stacked]))])
    missing = [repr(spec.name) for spec in inputs if spec.name not in columns]
    got = ", ".join(map(str, list(columns)[:20])) + (", ..." if len(columns) > 20 else "")
    raise InputError(
        f"model '{model.name}' also needs {', '.join(missing)}; got the columns {got or '(none)'}"
    )


def _single(array: Array, model: ModelMetadata) -> tuple[TensorSpec, Values]:
    inputs = model.inputs
    if len(inputs) == 1:
        return inputs[0], _values(inputs[0].name, array, inputs[0].datatype)
    if not _all_numeric_columns(inputs):
        named = ", ".join(f"{spec.name} ({spec.datatype})" for spec in inputs)
        raise InputError(
            f"model '{model.name}' takes several inputs, {named}: give each its array, as a mapping"
        )
    return _features(array, model)


def _features(array: Array, model: ModelMetadata) -> tuple[TensorSpec, Values]:
    width = len(model.inputs)
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(
            f"model '{model.name}' got an array of shape {list(array.shape)}; "
            f"expected [rows, {width}], one column for each input"
        )
    datatype = "FP32" if array.dtype in (np.float32, np.float16) else "FP64"
    return TensorSpec(FEATURES, datatype, (-1, width)), _values(FEATURES, array, datatype)


def _values(name: str, values: Any, datatype: str) -> Values:
    """The values in the datatype's dtype (float32 for BF16), in the shape that they came in."""
    if isinstance(values, list | tuple) and values and isinstance(values[0], list | tuple):
        values = np.asarray(values)
    if isinstance(values, np.ndarray):
        if values.dtype == DTYPES.get(datatype):
            return values
        if values.ndim != 1:
            return _shaped(_values(name, values.ravel(), datatype), values.shape)
    return frames.as_datatype(values, "FP32" if datatype == "BF16" else datatype, name)


def _shaped(flat: Values, shape: tuple[int, ...]) -> Array:
    if isinstance(flat, np.ndarray):
        return flat.reshape(shape)
    elements = np.empty(len(flat), object)
    elements[:] = flat
    return elements.reshape(shape)


def _tensor(spec: TensorSpec, values: Values) -> Tensor:
    if isinstance(values, np.ndarray):
        shape = values.shape
        raw = to_raw(values, spec.datatype)
    else:
        shape = (len(values),)
        raw = raw_bytes(values)
    if len(shape) == 1 and len(spec.shape) == 2 and spec.shape[1] == 1:
        shape = (shape[0], 1)
    return Tensor(spec.name, spec.datatype, shape, raw)


def _is_column(spec: TensorSpec) -> bool:
    return len(spec.shape) == 1 or (len(spec.shape) == 2 and spec.shape[1] == 1)


def _all_numeric_columns(inputs: Sequence[TensorSpec]) -> bool:
    return all(spec.datatype != "BYTES" and _is_column(spec) for spec in inputs)
