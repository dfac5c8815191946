"""What a user holds (a frame, columns, tensors, a matrix) made to fit a model's inputs.

The client and the runner both take data through here, so that they accept the same and refuse the rest in
the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar, cast, overload

import numpy as np

from penstock import bfloat16, frames
from penstock.arrow_text import ArrowText
from penstock.errors import InputError, RowError

FEATURES = "features"  # the one tensor that may stand for all columns of a bundle, where all are numeric

Array = np.ndarray[Any, Any]
# An array in the dtype of its datatype (BF16: its bits as uint16), or the elements of a BYTES column. A
# missing string is None; an object array holds bytes and None as well.
Values = Array | list[bytes | None]
V_co = TypeVar("V_co", bound=Values | ArrowText, covariant=True)


class Spec(Protocol):
    """An input of a model. A dimension of -1 takes any size."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def datatype(self) -> str: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class FittedTensor(Generic[V_co]):
    """The values of one tensor to hand to the model. `batched`: its first dimension is rows."""

    name: str
    datatype: str
    values: V_co
    batched: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of `values`."""
        return (len(self.values),) if isinstance(self.values, list) else self.values.shape


Fitted = FittedTensor[Values]
InPlace = FittedTensor[Values | ArrowText]  # text may stay where Arrow holds it


@overload
def fit(data: object, inputs: Sequence[Spec], *, matrix: bool = False) -> list[Fitted]: ...
@overload
def fit(
    data: object, inputs: Sequence[Spec], *, matrix: bool = False, arrow: Literal[True]
) -> list[InPlace]: ...
def fit(
    data: object, inputs: Sequence[Spec], *, matrix: bool = False, arrow: bool = False
) -> Sequence[InPlace]:
    """`data` as the model's inputs, in their order, datatypes and shapes.

    A mapping or a frame gives each input what has its name; the rest is left out. A NumPy array is the
    model's only input. Where all inputs are numeric columns, an array [rows, columns] is all of them, and so
    is a mapping's `features`; it stays one tensor of that name where `matrix` says that the model takes it
    and no value is changed by that. The columns of a frame, in their order, are the one [rows, columns] of a
    model that has no other input.

    Where `arrow` says so, text that Arrow holds stays there.

    InputError names the input that is missing or does not fit, what came and what was expected. That inputs
    agree in their rows is left to the model.
    """
    if isinstance(data, np.ndarray):
        if len(inputs) == 1:
            return [_fitted(inputs[0], data)]
        return _columns_of_matrix(data, inputs, matrix)
    columns: Mapping[str, Any]
    if isinstance(data, Mapping) and not isinstance(data, frames.Columns):
        columns = {str(name): column for name, column in data.items()}
    else:
        columns = frames.columns_of(data)
    missing = [spec.name for spec in inputs if spec.name not in columns]
    if not missing:
        return [_fitted(spec, _column(columns, spec, arrow)) for spec in inputs]
    if FEATURES in columns and _all_numeric_columns(inputs):
        return _columns_of_matrix(_tensor(columns[FEATURES], FEATURES), inputs, matrix)
    if len(inputs) == 1 and _is_matrix_of(inputs[0], len(columns)):
        return [_fitted(inputs[0], _stacked(columns, inputs[0]))]
    raise InputError(_missing(missing, list(columns), inputs))


def split(
    fitted: Sequence[FittedTensor[V_co]], max_rows: int | None
) -> Iterator[tuple[int, Sequence[FittedTensor[V_co]]]]:
    """Parts of at most `max_rows` rows, in order, each behind the number of its first row; the whole, even if
    it is empty, when that is enough.

    InputError when the rows cannot be told apart.
    """
    if max_rows is not None and max_rows < 1:
        raise InputError(f"max_rows is {max_rows}; at least 1 was expected")
    rows = {tensor.name: len(tensor.values) for tensor in fitted if tensor.batched}
    total = max(rows.values(), default=0)
    if max_rows is None or total <= max_rows:
        yield 0, fitted
        return
    first = next(iter(rows))
    for name, count in rows.items():
        if count != rows[first]:  # in the model's own words
            raise InputError(
                f"input '{name}' has {count} rows, input '{first}' has {rows[first]}; "
                "all inputs of a request have the same number"
            )
    for start in range(0, total, max_rows):
        yield start, [_rows(tensor, start, start + max_rows) for tensor in fitted]


def _rows(tensor: FittedTensor[V_co], start: int, stop: int) -> FittedTensor[V_co]:
    if not tensor.batched:
        return tensor
    return FittedTensor(tensor.name, tensor.datatype, cast(V_co, tensor.values[start:stop]), True)


def _column(columns: Mapping[str, Any], spec: Spec, arrow: bool) -> Any:
    if arrow and spec.datatype == "BYTES":
        source = columns.source(spec.name) if isinstance(columns, frames.Columns) else columns[spec.name]
        text = frames.arrow_text(source)
        if text is not None:
            return text
    return columns[spec.name]


def _missing(missing: Sequence[str], came: Sequence[str], inputs: Sequence[Spec]) -> str:
    message = f"The data has no {_listed([repr(name) for name in missing], 10)}. "
    message += f"It has: {_listed(came, 20) or 'no columns'}."
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] > 1:
        message += f" Columns without these names are taken where they are {inputs[0].shape[1]}, in order."
    return message


def _listed(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _columns_of_matrix(array: Array, inputs: Sequence[Spec], matrix: bool) -> list[InPlace]:
    width = len(inputs)
    if not _all_numeric_columns(inputs):
        named = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in inputs)
        raise InputError(
            f"The model takes {width} inputs: {named}; give a mapping of names to arrays, not one array."
        )
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(f"The array has the shape {list(array.shape)}; expected [rows, {width}].")
    datatype = _matrix_datatype(array, inputs) if matrix else None
    if datatype is not None:
        return [
            FittedTensor(FEATURES, datatype, array.astype(frames.DATATYPES[datatype], "C", copy=False), True)
        ]
    return [_fitted(spec, array[:, index]) for index, spec in enumerate(inputs)]


def _matrix_datatype(array: Array, inputs: Sequence[Spec]) -> str | None:
    """How one tensor can hold all columns without changing a value; None where it cannot."""
    if any(spec.name == FEATURES or spec.datatype not in ("FP32", "FP64") for spec in inputs):
        return None
    if array.dtype in (np.float16, np.float32):
        return "FP32"
    numbers = array.dtype.kind in "biuf" and array.dtype.itemsize <= 8
    return "FP64" if numbers and all(spec.datatype == "FP64" for spec in inputs) else None


def _stacked(columns: Mapping[str, Any], spec: Spec) -> Array:
    """The columns side by side, each in the input's datatype, or the one that it is rounded from."""
    datatype = "FP32" if spec.datatype == "BF16" else spec.datatype
    made = [_converted(column, datatype, name) for name, column in columns.items()]
    rows = {name: len(column) for name, column in zip(columns, made, strict=True)}
    if len(set(rows.values())) > 1:
        raise InputError(f"The columns have different numbers of rows: {rows}.")
    return np.column_stack(
        [frames.objects_of(column) if isinstance(column, list) else column for column in made]
    )


def _fitted(spec: Spec, given: Any) -> InPlace:
    values = _values(spec, given)
    shape: tuple[int, ...] = (len(values),) if isinstance(values, list) else values.shape
    if len(spec.shape) == 2 and spec.shape[1] in (1, -1) and len(shape) == 1:
        shape = (shape[0], 1)
    elif len(spec.shape) == 1 and len(shape) == 2 and shape[1] == 1:
        shape = shape[:1]
    # How many rows it takes, the model says.
    if len(shape) != len(spec.shape) or any(
        want not in (-1, got) for want, got in zip(spec.shape[1:], shape[1:], strict=True)
    ):
        raise InputError(f"'{spec.name}' has the shape {list(shape)}; expected {list(spec.shape)}.")
    if isinstance(values, list) and len(shape) > 1:
        values = frames.objects_of(values)
    if not isinstance(values, list):
        values = values.reshape(shape)
    return FittedTensor(spec.name, spec.datatype, values, spec.shape[:1] == (-1,))


def _values(spec: Spec, given: Any) -> Values | ArrowText:
    """In the input's datatype, and in the shape that they came in."""
    if isinstance(given, ArrowText):
        return given
    if isinstance(given, list | tuple) and given and isinstance(given[0], list | tuple | np.ndarray):
        given = _tensor(given, spec.name)
    if not isinstance(given, np.ndarray) or given.ndim < 2 or given.shape[1:] == (1,):
        return _converted(given, spec.datatype, spec.name)
    if spec.datatype in frames.DATATYPES and given.dtype == frames.DATATYPES[spec.datatype]:
        return given
    try:
        flat = _converted(given.ravel(), spec.datatype, spec.name)
    except InputError:
        # Told again by a column of the tensor, so that the row which is named is one of the caller's.
        for at in np.ndindex(given.shape[1:]):
            where = f"{spec.name}[:, {', '.join(map(str, at))}]"
            _converted(given[(slice(None), *at)], spec.datatype, where)
        raise
    return frames.objects_of(flat, given.shape) if isinstance(flat, list) else flat.reshape(given.shape)


def _tensor(given: Any, name: str) -> Array:
    """Nested lists as an array, in which text stays what it was."""
    try:
        array = np.asarray(given)
        return array if array.dtype.kind not in "SU" else np.asarray(given, object)
    except ValueError:
        raise InputError(f"'{name}' is a list of lists of different lengths or depths.") from None


def _converted(column: Any, datatype: str, name: str) -> Values:
    """One column in its datatype."""
    if datatype == "BF16":
        return bfloat16.bits_of(np.asarray(frames.as_datatype(column, "FP32", name)))
    values = frames.as_datatype(column, datatype, name)
    return values if isinstance(values, np.ndarray) else _encoded(values, name)


def _encoded(texts: frames.Text, name: str) -> list[bytes | None]:
    try:
        try:
            return list(map(str.encode, texts))  # type: ignore[arg-type]
        except TypeError:  # not text alone
            return [text.encode() if isinstance(text, str) else text for text in texts]
    except UnicodeEncodeError as error:
        row = texts.index(error.object)
        raise RowError(name, row, f"is {error.object!r}, which UTF-8 cannot say: {error.reason}") from None


def _is_matrix_of(spec: Spec, width: int) -> bool:
    return len(spec.shape) == 2 and spec.shape[1] == width > 1


def _all_numeric_columns(inputs: Sequence[Spec]) -> bool:
    return all(
        spec.datatype != "BYTES" and (len(spec.shape) == 1 or spec.shape[1:] == (1,)) for spec in inputs
    )
