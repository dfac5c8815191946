"""Columns out of any frame: pandas, polars, Arrow tables, dicts of arrays or lists, NumPy matrices.

Everything that takes a frame reads it through here, so that a value means the same wherever it came from.
In a text column None, NaN and NA are None; in a column of numbers None and NA are NaN. As a datatype, dates
and times are INT64 microseconds since 1970-01-01T00:00:00, or FP64 where one is missing: of UTC where they
have a time zone, and of their own clock where they have none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

import numpy as np

from penstock import instants
from penstock.arrow_text import ArrowText
from penstock.errors import InputError, RowError
from penstock.instants import Times

Array = np.ndarray[Any, Any]
Text = list[str | bytes | None]
# Numbers and booleans as an array [rows], text as a list. What is neither (dates, say, or mixed objects)
# stays an array of its own type, which has no datatype.
Column = Array | Text

# The protocol's names of NumPy's types. BF16 has none, and BYTES is no array here.
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)


class Columns(Mapping[str, Column]):
    """A frame's columns by name, in order, all of `rows` rows. Each is read when it is first asked for."""

    def __init__(self, sources: Sequence[tuple[str, Any]]) -> None:
        self._sources: dict[str, Any] = {}
        self._read: dict[str, Column] = {}
        self.rows = 0
        for name, source in sources:
            rows = _length(source, name)
            if name in self._sources:
                raise InputError(f"the frame has two columns named {name!r}")
            if self._sources and rows != self.rows:
                first = next(iter(self._sources))
                raise InputError(f"column {name!r} has {rows} rows, column {first!r} has {self.rows}")
            self._sources[name] = source
            self.rows = rows

    def __getitem__(self, name: str) -> Column:
        if name not in self._read:
            self._read[name] = _column(self._sources[name], name)
        return self._read[name]

    def source(self, name: str) -> Any:
        """The column as it came, unread."""
        return self._sources[name]

    def times(self, name: str) -> Times | None:
        """Of a column of dates and times, whether they have a time zone; None for any other column."""
        source = self._sources[name]
        if not isinstance(source, (np.ndarray, list, tuple)):
            series = source.series() if isinstance(source, _FrameColumn) else _series(source, name)
            if _time_zone(series) is not None:
                return "aware"
        values = self[name]
        if isinstance(values, list):
            return None
        if values.dtype.kind == "M":
            return "naive"
        dates = _dates(values)
        return None if dates is None else _one_kind(dates, name)

    def between(self, start: int, stop: int) -> Columns:
        """The rows from `start` to just before `stop`, as columns of their own."""
        return Columns([(name, rows_of(source, start, stop, name)) for name, source in self._sources.items()])

    def __contains__(self, name: object) -> bool:
        return name in self._sources  # Mapping's own would read the column

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


@dataclass(frozen=True)
class _FrameColumn:
    """A frame's column that nobody has asked for yet: to take a wide frame apart costs more than a call."""

    frame: Any  # a narwhals DataFrame
    name: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def series(self) -> Any:
        whole = self.frame.get_column(self.name)
        return whole if len(self) == len(whole) else whole[self.start : self.stop]


def columns_of(frame: Any, names: Sequence[str] | None = None) -> Columns:
    """The columns of `frame` by name, in order, all of the same length.

    `names` are the column names of a two-dimensional array, which has none of its own. InputError for a
    frame of another kind, without names, with columns of different lengths, or with two columns of one name.
    """
    if isinstance(frame, Columns):
        return frame
    if isinstance(frame, np.ndarray):
        return Columns(_array_columns(frame, names))
    if isinstance(frame, Mapping):
        return Columns([(str(name), source) for name, source in frame.items()])
    return Columns(_frame_columns(frame))


def check_times(frame: Any, times: Mapping[str, Times]) -> None:
    """InputError for a column of dates and times of the other kind than `times` says of it.

    `frame` is what columns_of() takes; an array has no such columns. Numbers may count either.
    """
    if not times or isinstance(frame, np.ndarray):
        return
    one_by_one = isinstance(frame, Mapping) and not isinstance(frame, Columns)
    columns = frame if one_by_one else columns_of(frame)
    for name, kind in times.items():
        if name not in columns:
            continue
        got = (Columns([(name, columns[name])]) if one_by_one else columns).times(name)
        if got is not None and got != kind:
            came, trained = ("have a", "had none") if got == "aware" else ("have no", "had one")
            advice = "take it away, and keep the clock" if got == "aware" else "say which it is"
            zone = "None" if got == "aware" else "..."
            raise InputError(
                f"column {name!r}: its times {came} time zone, those of training {trained}; {advice}, as "
                f"pandas does with .dt.tz_localize({zone})"
            )


def rows_of(column: Any, start: int, stop: int, name: str) -> Any:
    """The rows from `start` to just before `stop` of what a column came as: an array, a list or a series."""
    if isinstance(column, _FrameColumn):
        stop = min(column.start + stop, column.stop)
        return _FrameColumn(column.frame, column.name, min(column.start + start, stop), stop)
    if isinstance(column, (np.ndarray, list, tuple)):
        return column[start:stop]
    return _series(column, name)[start:stop]


def row_count(frame: Any) -> int:
    """The rows of anything that columns_of() reads, except a NumPy matrix; 0 when it has no columns."""
    return columns_of(frame).rows


def datatype_of(column: Any, name: str = "") -> str:
    """The protocol's datatype of a column as it is: BYTES for text, FP64 where every value is missing.

    InputError, which names `name`, where the column is neither numbers nor text.
    """
    values = _usable(column, name)
    return "BYTES" if isinstance(values, list) else _NAMES[values.dtype]


def as_datatype(column: Any, datatype: str, name: str) -> Column:
    """The column's values as `datatype`: a contiguous array [rows]; for BYTES a list, None where missing.

    `column` is one of columns_of(), or an array, a list or a series. Into a floating-point type a number is
    rounded to its precision, but never becomes infinite. Into an integer or a boolean it goes only where
    nothing is lost. InputError names `name`, the first value that does not fit and what was expected.
    """
    values = _usable(column, name)
    if datatype == "BYTES":
        return _as_text(values, name)
    if datatype not in DATATYPES:
        raise InputError(f"column {name!r}: NumPy has no {datatype}; expected one of {', '.join(DATATYPES)}")
    if isinstance(values, list):
        example = next((value for value in values if value is not None), None)
        raise InputError(
            f"column {name!r}: expected {datatype}, got text such as {example!r}{instants.advice(example)}"
        )
    dtype = DATATYPES[datatype]
    if values.dtype == dtype:
        return np.ascontiguousarray(values)
    with np.errstate(all="ignore"):
        converted = values.astype(dtype)
    lost = _lost(values, converted)
    if lost.any():
        row = int(np.argmax(lost))
        value = values[row].item()
        raise RowError(name, row, f"is {value!r}, which {datatype} does not hold")
    return np.ascontiguousarray(converted)


def _lost(values: Array, converted: Array) -> Array:
    """Where a conversion changed the value by more than rounding to a floating-point type's precision."""
    if converted.dtype.kind == "f":
        finite = np.isfinite(values) if values.dtype.kind == "f" else np.True_
        return cast(Array, ~np.isfinite(converted) & finite)
    if values.dtype.kind == "f":
        # Whole numbers from `low` to just under `high`, which doubles hold exactly even for 64 bits.
        bits = 1 if converted.dtype.kind == "b" else 8 * converted.dtype.itemsize
        signed = converted.dtype.kind == "i"
        low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1)) if signed else (0.0, 2.0**bits)
        wide = values.astype(np.float64)
        return cast(Array, ~((wide >= low) & (wide < high) & (wide == np.floor(wide))))
    if values.dtype.kind == "b":
        return np.zeros(len(values), bool)
    if converted.dtype.kind == "b":
        return cast(Array, (values != 0) & (values != 1))
    # Between integers: the same number back, and the same sign (a wrapped one comes back as it was).
    return cast(Array, (converted.astype(values.dtype) != values) | ((converted < 0) != (values < 0)))


def _as_text(values: Column, name: str) -> Text:
    if isinstance(values, list):
        return values
    if values.dtype.kind == "f" and np.isnan(values).all():
        return [None] * len(values)
    example = f" such as {values[0].item()!r}" if len(values) else ""
    raise InputError(f"column {name!r}: expected text (BYTES), got {_NAMES[values.dtype]}{example}")


def _usable(column: Any, name: str) -> Column:
    values = _column(column, name)
    if not isinstance(values, list):
        values = _ticks(values, name)
    if isinstance(values, list) or values.dtype in _NAMES:
        return values
    what = f"NumPy type {values.dtype}"
    if values.dtype == object:
        kinds = sorted({type(value).__name__ for value in values if not _is_missing(value)})
        what = f"values of type {', '.join(kinds)}"
    raise InputError(f"column {name!r}: {what} came, expected numbers or text alone; convert it first")


def _ticks(values: Array, name: str) -> Array:
    """Dates and times as numbers; any other column as it is."""
    if values.dtype.kind == "M":
        return instants.of_array(values)
    dates = _dates(values)
    if dates is None:
        return values
    _one_kind(dates, name)
    return instants.of_objects(dates)


def _dates(values: Array) -> list[date | None] | None:
    """An array of Python's dates and times, None where missing; None for any other."""
    if values.dtype != object:
        return None
    found = [None if _is_missing(value) else value for value in values]
    present = [value for value in found if value is not None]
    return found if present and all(isinstance(value, date) for value in present) else None


def _one_kind(dates: Sequence[date | None], name: str) -> Times:
    kinds = instants.kinds_of(value for value in dates if value is not None)
    if len(kinds) > 1:
        raise InputError(
            f"column {name!r}: times with a time zone came together with times without one; expected one kind"
        )
    return kinds.pop()


def _length(source: Any, name: str) -> int:
    if not isinstance(source, (str, bytes)):
        try:
            return len(source)
        except TypeError:
            pass
    raise InputError(f"column {name!r}: {type(source).__name__} came, expected one value a row")


def _array_columns(frame: Array, names: Sequence[str] | None) -> list[tuple[str, Any]]:
    if frame.ndim != 2:
        raise InputError(f"an array of shape {list(frame.shape)} came, expected [rows, columns]")
    if names is None:
        raise InputError("an array has no column names; give them, or use a frame or a dict of columns")
    if len(names) != frame.shape[1]:
        expected = f"expected {len(names)}: {', '.join(names)}"
        raise InputError(f"an array of {frame.shape[1]} columns came, {expected}")
    return [(name, frame[:, index]) for index, name in enumerate(names)]


def _frame_columns(frame: Any) -> list[tuple[str, Any]]:
    import narwhals as nw
    from narwhals.exceptions import NarwhalsError

    if type(frame).__name__ == "RecordBatch":  # of Arrow's types the one that narwhals does not take
        import pyarrow as pa

        frame = pa.Table.from_batches([frame]) if isinstance(frame, pa.RecordBatch) else frame
    try:
        native = nw.from_native(frame, eager_only=True)
        rows = native.shape[0]
        return [(str(name), _FrameColumn(native, name, 0, rows)) for name in native.columns]
    except (TypeError, ValueError, NarwhalsError) as error:
        kind = f"{type(frame).__module__}.{type(frame).__name__}"
        raise InputError(
            f"a {kind} cannot be read as a frame ({error}); expected a pandas or polars DataFrame, an Arrow "
            "table, a dict of columns or a NumPy matrix"
        ) from error


def _column(source: Any, name: str) -> Column:
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if isinstance(source, (list, tuple)):
        return _from_objects(source)
    if isinstance(source, _FrameColumn):
        return _from_narwhals(source.series())
    _length(source, name)
    return _from_narwhals(_series(source, name))


def _from_array(source: Array, name: str) -> Column:
    if source.ndim == 2 and source.shape[1] == 1:
        source = source[:, 0]
    if source.ndim != 1:
        raise InputError(f"column {name!r}: shape {list(source.shape)} came, expected [rows] or [rows, 1]")
    if source.dtype.kind in "OSTU":
        return _from_objects(source.tolist())
    native = source.dtype.newbyteorder("=")
    return source.astype(native, copy=False)


def _series(source: Any, name: str) -> Any:
    """As narwhals has it."""
    import narwhals as nw

    try:
        return nw.from_native(source, series_only=True)
    except TypeError:
        kind = type(source).__name__
        raise InputError(f"column {name!r}: {kind} came, expected an array, a list or a series") from None


def _is_text(series: Any) -> bool:
    """Whether its type is that of text or categories, whose values may be numbers."""
    import narwhals as nw

    return isinstance(series.dtype, (nw.String, nw.Binary, nw.Categorical, nw.Enum))


def _time_zone(series: Any) -> str | None:
    """Of a series of times in one time zone."""
    return getattr(series.dtype, "time_zone", None)


def _from_narwhals(series: Any) -> Column:
    if _time_zone(series) is not None:
        return cast(Array, series.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy())
    text = _is_text(series)
    if not text:
        array: Array = series.to_numpy()  # a missing integer makes the whole column floating point
        if array.dtype != object:
            return array
    values = series.to_list()
    if series.null_count():
        gone = series.is_null().to_list()
        values = [None if missing else value for value, missing in zip(values, gone, strict=True)]
    # Text by its type stays text where nothing is left of it; categories may be numbers.
    nothing = all(value is None for value in values)
    return values if text and nothing else _from_objects(values)


def arrow_text(column: Any) -> ArrowText | None:
    """A column as text where Arrow holds it: in its own tables, in polars, in pandas on Arrow. Else None.

    `column` is a source of Columns, a series, or anything else. Its elements are then those that
    as_datatype(column, "BYTES", ...) gives.
    """
    if isinstance(column, (np.ndarray, list, tuple)):
        return None
    import narwhals as nw

    series = (
        column.series()
        if isinstance(column, _FrameColumn)
        else nw.from_native(column, series_only=True, pass_through=True)
    )
    if not isinstance(series, nw.Series) or not _is_text(series):
        return None
    native = series.to_native()
    if series.implementation.is_polars():
        return ArrowText(native)
    if series.implementation.is_pandas():
        native = _arrow_of_pandas(native)
    return ArrowText(native) if native is not None and _holds_text(native.type) else None


def _arrow_of_pandas(series: Any) -> Any:
    """As Arrow has it, where pandas keeps it there or as categories; else None."""
    try:
        import pyarrow as pa
    except ImportError:
        return None
    kept_by_arrow = getattr(series.dtype, "storage", None) == "pyarrow" or hasattr(
        series.dtype, "pyarrow_dtype"
    )
    if not kept_by_arrow and str(series.dtype) != "category":
        return None
    try:
        held = pa.array(series.array)
    except (pa.ArrowException, TypeError, ValueError):  # categories of several types, or not UTF-8
        return None
    return held if isinstance(held, pa.ChunkedArray) else pa.chunked_array([held])


def _holds_text(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
    )
    return any(test(kind) for test in tests)


def _is_missing(value: object) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def objects_of(elements: Sequence[Any], shape: Sequence[int] | None = None) -> np.ndarray[Any, Any]:
    """An object array of the elements, whatever they are, in `shape`; [len(elements)] where None."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array if shape is None else array.reshape(shape)


def _from_objects(values: Sequence[Any]) -> Column:
    kinds = set(map(type, values))
    if str in kinds and kinds <= {str, bytes, type(None)}:
        return values if isinstance(values, list) else list(values)
    present = [value for value in values if not _is_missing(value)]
    if present and all(isinstance(value, (str, bytes)) for value in present):
        return [None if _is_missing(value) else value for value in values]
    if all(isinstance(value, _NUMBERS) for value in present):
        try:
            if present and len(present) == len(values):
                return np.asarray(values)  # of objects, where an integer does not fit 64 bits
            return np.asarray(
                [math.nan if _is_missing(value) else float(value) for value in values], np.float64
            )
        except OverflowError:
            pass
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array
