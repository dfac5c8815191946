"""Tables in files: rows read in batches of bounded size, and results written as they come.

CSV and JSON need nothing but the standard library; Parquet needs pyarrow. A CSV field is text: `typed` makes
numbers of it where the model takes numbers.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, cast

from penstock.errors import InputError, NotFoundError, PenstockError

if TYPE_CHECKING:
    from penstock.client.answers import TensorSpec

FORMATS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# What stands for a missing number in CSV, besides nothing at all.
MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "None"})

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A table that is open for reading. `total` is in `unit`s, None when it cannot be known before
    the end.
    """

    batches: Iterator[Columns]
    text: bool  # every value is text, whatever it means
    total: int | None
    unit: str
    position: Callable[[], int]  # how much has been read, in units


def format_of(path: str, given: str | None) -> str:
    """The format of a file: the given one, or what the name's ending says."""
    if given is not None:
        return given
    found = FORMATS.get(Path(path).suffix.lower())
    if found is None:
        raise InputError(
            f"the format of '{path}' is not known: expected a name ending in {', '.join(sorted(FORMATS))}"
        )
    return found


@contextmanager
def opened(path: str, kind: str | None, rows: int, wanted: Sequence[str]) -> Iterator[Source]:
    """Opens a table for reading in batches of at most `rows`. "-" is stdin, CSV or JSON.

    `wanted` are the columns that matter: a format that can leave others unread does so. NotFoundError when
    there is no such file, InputError with the place when it cannot be read as what it should be.
    """
    with ExitStack() as stack:
        if path == "-":
            stream = cast(io.BufferedReader, sys.stdin.buffer)
            kind = kind or ("json" if _first_byte(stream) in b"[{" else "csv")
        else:
            kind = format_of(path, kind)
            try:
                stream = stack.enter_context(Path(path).open("rb"))
            except OSError as error:
                raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
        if kind == "parquet":
            if path == "-":
                raise InputError("Parquet cannot be read from a pipe: name a file")
            yield _parquet(path, stream, rows, wanted)
        elif kind == "json":
            yield _json(path, stream, rows)
        else:
            yield _csv(path, stream, rows)


def _first_byte(stream: io.BufferedReader) -> bytes:
    ahead = stream.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    return ahead[:1] or b"\0"


def _csv(path: str, stream: io.BufferedReader, rows: int) -> Source:
    size = None if path == "-" else Path(path).stat().st_size
    counted = _Counted(stream)
    text = io.TextIOWrapper(io.BufferedReader(counted), encoding="utf-8-sig", newline="")
    return Source(_csv_batches(path, text, rows), True, size, "bytes", lambda: counted.count)


class _Counted(io.RawIOBase):
    """Counts the bytes read through it: a text layer above a file cannot tell its position while it is
    iterated.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self.count = 0
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto1(buffer)
        self.count += count
        return count


def _csv_batches(path: str, text: IO[str], rows: int) -> Iterator[Columns]:
    reader = csv.reader(text)
    try:
        header = next(reader, None)
        if not header:
            raise InputError(f"{path} is empty: expected a line of column names")
        if len(set(header)) != len(header):
            doubled = next(name for name in header if header.count(name) > 1)
            raise InputError(f"{path} names the column '{doubled}' twice")
        lines = (line for line in _whole_lines(path, reader, len(header)))
        while batch := list(islice(lines, rows)):
            yield dict(zip(header, map(list, zip(*batch, strict=True)), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}, near line {reader.line_num + 1}: not CSV in UTF-8: {error}") from error


def _whole_lines(path: str, reader: Any, width: int) -> Iterator[list[str]]:
    for line in reader:
        if len(line) == width:
            yield line
        elif line:
            raise InputError(f"{path}, line {reader.line_num}: {len(line)} fields; the header has {width}")


def _json(path: str, stream: IO[bytes], rows: int) -> Source:
    columns = _columns_of_json(path, stream.read())
    total = len(next(iter(columns.values()), []))
    read = 0

    def batches() -> Iterator[Columns]:
        nonlocal read
        for start in range(0, total, rows):
            read = min(start + rows, total)
            yield {name: values[start : start + rows] for name, values in columns.items()}

    return Source(batches(), False, total, "rows", lambda: read)


def _columns_of_json(path: str, data: bytes) -> dict[str, list[Any]]:
    try:
        text = data.decode("utf-8-sig")
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Extra data"):
                raise
            document = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if isinstance(document, dict) and document and not any(isinstance(v, list) for v in document.values()):
        document = [document]
    if isinstance(document, dict):
        lengths = {
            name: len(values) if isinstance(values, list) else None for name, values in document.items()
        }
        if len(set(lengths.values())) > 1:
            raise InputError(f"{path}: its columns are not lists of one length: {lengths}")
        return document
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise InputError(
            f"{path}: expected a list of row objects, one row object a line, or an object of column lists"
        )
    names = dict.fromkeys(name for row in document for name in row)
    return {name: [row.get(name) for row in document] for name in names}


def _parquet(path: str, stream: IO[bytes], rows: int, wanted: Sequence[str]) -> Source:
    arrow, parquet = _pyarrow("reading")
    try:
        file = parquet.ParquetFile(stream)
    except arrow.ArrowException as error:
        raise InputError(f"{path} is not a Parquet file: {error}") from error
    present = set(file.schema_arrow.names)
    columns = [name for name in wanted if name in present]
    read = 0

    def batches() -> Iterator[Columns]:
        nonlocal read
        # Without any wanted column, all of them: the model may take one matrix, or the error should name what
        # came.
        for batch in file.iter_batches(batch_size=rows, columns=columns or None):
            read += batch.num_rows
            yield arrow.Table.from_batches([batch])

    return Source(batches(), False, file.metadata.num_rows, "rows", lambda: read)


def _pyarrow(doing: str) -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PenstockError(
            f"{doing} Parquet needs pyarrow: pip install pyarrow (or penstock[demo], which has it)"
        ) from error
    return pyarrow, pyarrow.parquet


def read_all(path: Path) -> Columns:
    """The whole table. A column of a CSV file is numbers where all of its fields are numbers or missing, else
    text.
    """
    with opened(str(path), None, sys.maxsize, ()) as source:
        columns = next(source.batches, {})
    return {name: _guessed(values) for name, values in columns.items()} if source.text else columns


def _guessed(texts: Sequence[str]) -> Sequence[Any]:
    for convert in (int, float):
        try:
            return [None if text in MISSING else convert(text) for text in texts]
        except ValueError:
            continue
    return texts


def typed(columns: Columns, inputs: Iterable[TensorSpec], first_row: int) -> Columns:
    """Text columns with numbers where the model takes numbers; a missing one is None. InputError names row
    and column.
    """
    kinds = {spec.name: spec.datatype for spec in inputs}
    only = next(iter(kinds.values())) if len(kinds) == 1 and not set(kinds) & set(columns) else "BYTES"
    return {
        name: values
        if kinds.get(name, only) == "BYTES"
        else _numbers(name, values, kinds.get(name, only), first_row)
        for name, values in columns.items()
    }


def _numbers(name: str, texts: Sequence[str], datatype: str, first_row: int) -> list[Any]:
    if datatype == "BOOL":
        convert: Callable[[str], Any] = _boolean
    else:
        convert = float if datatype.startswith(("FP", "BF")) else int
    numbers: list[Any] = []
    for text in texts:
        try:
            numbers.append(None if text in MISSING else convert(text))
        except ValueError:
            raise InputError(
                f"row {first_row + len(numbers)}, column '{name}': '{text}' is no number of type {datatype}"
            ) from None
    return numbers


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


class Sink:
    """Results as a table: one row for each row of the outputs, one column for each output or each of its
    columns.
    """

    def __init__(self, stream: IO[bytes], kind: str) -> None:
        self._stream = stream
        self._kind = kind
        self._begun = False
        self._writer: Any = None

    def write(self, outputs: Mapping[str, Any]) -> None:
        """Appends a batch of outputs, all with the same number of rows."""
        columns = flattened(outputs)
        if self._kind == "parquet":
            self._write_parquet(columns)
            return
        rows = zip(*columns.values(), strict=True)
        if self._kind == "csv":
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if not self._begun:
                writer.writerow(columns)
                self._begun = True
            writer.writerows(
                ["" if value is None or value != value else value for value in row] for row in rows
            )
            self._stream.write(text.getvalue().encode())
        else:
            for row in rows:
                item = json.dumps(dict(zip(columns, map(finite, row), strict=True)), ensure_ascii=False)
                self._stream.write(((",\n" if self._begun else "[\n") + item).encode())
                self._begun = True

    def _write_parquet(self, columns: Mapping[str, list[Any]]) -> None:
        arrow, parquet = _pyarrow("writing")
        table = arrow.table(dict(columns))
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._stream, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Completes the table; the stream stays open."""
        if self._writer is not None:
            self._writer.close()
        elif self._kind == "json":
            self._stream.write(b"\n]\n" if self._begun else b"[]\n")


def flattened(outputs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Outputs as columns of plain values: [n, k] becomes k columns `name_0`, `name_1`, ...; bytes become
    text.
    """
    columns: dict[str, list[Any]] = {}
    for name, array in outputs.items():
        matrix = array.reshape(len(array), -1)
        names = [name] if matrix.shape[1] == 1 else [f"{name}_{index}" for index in range(matrix.shape[1])]
        for index, column in enumerate(names):
            columns[column] = [
                value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
                for value in matrix[:, index].tolist()
            ]
    return columns


class Collected:
    """Results kept in memory, as columns of JSON's values."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}

    def write(self, outputs: Mapping[str, Any]) -> None:
        """Appends a batch of outputs."""
        for name, values in flattened(outputs).items():
            self.columns.setdefault(name, []).extend(map(finite, values))


def finite(value: Any) -> Any:
    """JSON knows no NaN and no infinities: null stands for them."""
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value


@contextmanager
def written(path: Path | None, kind: str) -> Iterator[Sink]:
    """A sink on a file, which appears only when all of it is written, or on stdout."""
    if path is None:
        sink = Sink(sys.stdout.buffer, kind)
        yield sink
        sink.close()
        sys.stdout.buffer.flush()
        return
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            sink = Sink(stream, kind)
            yield sink
            sink.close()
        partial.replace(path)
    except OSError as error:
        raise PenstockError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
