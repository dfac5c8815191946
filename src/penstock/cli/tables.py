"""Tables in files, read: rows in batches of bounded size.

CSV and JSON need nothing but the standard library; Parquet needs pyarrow. A CSV field is text: `Source.typed`
makes numbers of it where the model takes numbers.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from penstock import instants, parquet, scoring
from penstock.errors import InputError

if TYPE_CHECKING:
    from penstock.client.answers import TensorSpec

FORMATS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
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

    # In parts of at most so many rows. The columns named are those that matter: a format that can leave
    # others unread does so.
    batches: Callable[[int, Sequence[str]], Iterator[Columns]]
    total: int | None
    unit: str
    position: Callable[[], int]  # how much has been read, in units
    # Where every value is text, whatever it means: the place of a row of the batch that was read last.
    place: Callable[[int], str] | None = None

    files: parquet.Batches | None = None  # where columns may differ from file to file

    def check(self, inputs: Sequence[TensorSpec]) -> None:
        """InputError names the file and the column where one cannot be what the model takes."""
        if self.files is not None:
            scoring.check_files(self.files, inputs)

    def typed(self, columns: Columns, inputs: Sequence[TensorSpec]) -> Columns:
        """Text columns with numbers where the model takes numbers; a missing one is None. InputError names
        the line and the column.
        """
        if self.place is None:
            return columns
        kinds = {spec.name: spec.datatype for spec in inputs}
        # A model with one matrix names no columns.
        other = inputs[0].datatype if len(inputs) == 1 and inputs[0].name not in columns else "BYTES"
        return {
            name: _typed(name, texts, kinds.get(name, other), self.place) for name, texts in columns.items()
        }


def format_of(path: str, given: str | None = None, remedy: str = "") -> str:
    """The format of a file: the given one, or what the name's ending says."""
    if given is not None:
        return given
    found = FORMATS.get(Path(path).suffix.lower())
    if found is None:
        endings = ", ".join(sorted(FORMATS))
        raise InputError(f"the format of '{path}' is not known: expected a name ending in {endings}{remedy}")
    return found


@contextmanager
def opened(path: str, kind: str | None) -> Iterator[Source]:
    """Opens a table for reading: a file, or a folder of Parquet files. "-" is stdin, CSV or JSON.

    NotFoundError when there is no such file, InputError with the place when it cannot be read as what it
    should be.
    """
    with ExitStack() as stack:
        if path == "-":
            path = "standard input"
            stream = cast(io.BufferedReader, sys.stdin.buffer)
            kind = kind or _recognized(stream.peek(64))
            if kind == "parquet":
                raise InputError("Parquet cannot be read from standard input: name a file")
        elif Path(path).is_dir():
            if kind not in (None, "parquet"):
                raise InputError(f"{path} is a folder; as such only Parquet files are taken")
            yield _parquet(parquet.opened(path))
            return
        else:
            stream = stack.enter_context(_open(path))
            kind = format_of(path, kind, "; --format says it where the name does not")
        if kind == "parquet":
            yield _parquet(parquet.parquet_file(path, stream))
        elif kind in ("json", "jsonl"):
            yield _json(path, stream)
        else:
            yield _csv(path, stream)


def _open(path: str) -> io.BufferedReader:
    if "://" in path:
        raise InputError(f"{path} is no path; {parquet.TAKEN}")
    try:
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise parquet.no_file(path) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _recognized(beginning: bytes) -> str:
    """The format of what begins like that."""
    if beginning.startswith(b"PAR1"):
        return "parquet"
    return "json" if beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{") else "csv"


def _csv(path: str, stream: io.BufferedReader) -> Source:
    status = os.fstat(stream.fileno())
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    counted = _Counted(stream)
    text = io.TextIOWrapper(io.BufferedReader(counted), encoding="utf-8-sig", newline="")
    reader = csv.reader(text)
    lines: list[int] = []  # of the batch that was read last
    with _csv_errors(path, reader):
        header = next(reader, None)
    if not header:
        raise InputError(f"{path} is empty: expected a line of column names")
    if len(header) == 1 and (found := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise InputError(f"{path}: its columns seem to be separated by {found!r}; expected commas")
    if len(set(header)) != len(header):
        doubled = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path} names the column '{doubled}' twice")

    def batches(rows: int, wanted: Sequence[str]) -> Iterator[Columns]:
        with _csv_errors(path, reader):
            records = _records(path, reader, len(header))
            while batch := list(islice(records, rows)):
                lines[:] = [line for line, _ in batch]
                fields = zip(*(record for _, record in batch), strict=True)
                yield dict(zip(header, map(list, fields), strict=True))

    return Source(batches, size, "bytes", lambda: counted.count, lambda row: f"{path}, line {lines[row]}")


@contextmanager
def _csv_errors(path: str, reader: Any) -> Iterator[None]:
    try:
        yield
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}, near line {reader.line_num + 1}: not CSV in UTF-8: {error}") from error


def _records(path: str, reader: Any, width: int) -> Iterator[tuple[int, list[str]]]:
    """The line that each record ends on, and its fields. Empty lines are none."""
    for record in reader:
        if len(record) == width:
            yield reader.line_num, record
        elif record:
            raise InputError(f"{path}, line {reader.line_num}: {len(record)} fields; the header has {width}")


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


def _json(path: str, stream: IO[bytes]) -> Source:
    columns = _columns_of_json(path, stream.read())
    total = len(next(iter(columns.values()), []))
    read = 0

    def batches(rows: int, wanted: Sequence[str]) -> Iterator[Columns]:
        nonlocal read
        for start in range(0, total, rows):
            read = min(start + rows, total)
            yield {name: values[start : start + rows] for name, values in columns.items()}

    return Source(batches, total, "rows", lambda: read)


def _columns_of_json(path: str, data: bytes) -> dict[str, list[Any]]:
    if not data.strip():
        raise InputError(f"{path} is empty: expected JSON, if only []")
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
    if isinstance(document, dict) and document:
        if all(isinstance(values, dict) for values in document.values()):
            # pandas' DataFrame.to_json: of each column, its values by the rows' labels.
            document = {name: list(values.values()) for name, values in document.items()}
        elif not any(isinstance(values, list) for values in document.values()):
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


def _parquet(files: parquet.Batches) -> Source:
    arrow, _ = parquet.pyarrow("reading")
    read = 0

    def batches(rows: int, wanted: Sequence[str]) -> Iterator[Columns]:
        nonlocal read
        for batch in files.read(rows, wanted, True):
            read += batch.num_rows
            yield arrow.Table.from_batches([batch])

    return Source(batches, files.rows, "rows", lambda: read, files=files)


def read_all(path: Path) -> Columns:
    """The whole table. A column of a CSV file is numbers where all of its fields are numbers or missing, else
    text.
    """
    with opened(str(path), None) as source:
        columns = next(source.batches(sys.maxsize, ()), {})
    return {name: _guessed(values) for name, values in columns.items()} if source.place else columns


def _guessed(texts: Sequence[str]) -> Sequence[Any]:
    for convert in (int, float):
        try:
            return [None if text in MISSING else convert(text) for text in texts]
        except ValueError:
            continue
    return texts


def _typed(name: str, texts: Sequence[str], datatype: str, place: Callable[[int], str]) -> Sequence[Any]:
    if datatype == "BYTES":
        return texts
    if datatype == "BOOL":
        convert: Callable[[str], Any] = _boolean
    else:
        convert = float if datatype.startswith(("FP", "BF")) else _integer
    numbers: list[Any] = []
    for row, text in enumerate(texts):
        try:
            numbers.append(None if text in MISSING else convert(text))
        except ValueError:
            raise InputError(
                f"{place(row)}, column '{name}': '{text}' is no number of type {datatype}"
                f"{instants.advice(text)}"
            ) from None
        if numbers[-1] is None and convert is not float:
            raise InputError(f"{place(row)}, column '{name}' is missing, which {datatype} cannot say")
    return numbers


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = float(text)  # "3.0": integers become that wherever a column had missing values
        if not number.is_integer():
            raise
        return int(number)


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None
