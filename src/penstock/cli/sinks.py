"""Results as tables: one row for each row of the outputs, one column for each output or each of its columns.

CSV and JSON need nothing but the standard library; Parquet needs pyarrow and keeps the outputs' types.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from penstock.errors import PenstockError
from penstock.parquet import pyarrow

Array = np.ndarray[Any, Any]

# Of Parquet: with fewer rows in a group the file is larger and slower to read, more of them need memory here.
GROUP_ROWS = 1 << 17


class Sink:
    """A table that is being written to a stream, which stays open."""

    def __init__(self, stream: IO[bytes], kind: str) -> None:
        self._stream = stream
        self._kind = kind
        self._begun = False
        self._writer: Any = None
        self._held: list[Any] = []  # tables that do not fill a group of rows yet
        self._rows = 0

    def write(self, outputs: Mapping[str, Array]) -> None:
        """Appends a batch of outputs, all with the same number of rows."""
        columns = flattened(outputs)
        if self._kind == "parquet":
            self._write_parquet(columns)
        elif self._kind == "csv":
            self._write_csv(columns)
        else:
            self._write_json(columns)

    def _write_csv(self, columns: Mapping[str, Array]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._begun:
            writer.writerow(columns)
            self._begun = True
        values = [column.tolist() for column in columns.values()]
        writer.writerows(
            ["" if value is None or value != value else value for value in row]
            for row in zip(*values, strict=True)
        )
        self._stream.write(text.getvalue().encode())

    def _write_json(self, columns: Mapping[str, Array]) -> None:
        values = [column.tolist() for column in columns.values()]
        for row in zip(*values, strict=True):
            item = json.dumps(dict(zip(columns, map(finite, row), strict=True)), ensure_ascii=False)
            if self._kind == "jsonl":
                self._stream.write((item + "\n").encode())
            else:
                self._stream.write(((",\n" if self._begun else "[\n") + item).encode())
            self._begun = True

    def _write_parquet(self, columns: Mapping[str, Array]) -> None:
        arrow, parquet = pyarrow("writing")
        table = arrow.table(
            {
                name: arrow.array(column, arrow.string()) if column.dtype == object else arrow.array(column)
                for name, column in columns.items()
            }
        )
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._stream, table.schema)
        self._held.append(table)
        self._rows += len(table)
        if self._rows >= GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        arrow, _ = pyarrow("writing")
        held, self._held, self._rows = self._held, [], 0
        self._writer.write_table(arrow.concat_tables(held), row_group_size=GROUP_ROWS)

    def close(self) -> None:
        """Completes the table."""
        if self._writer is not None:
            if self._held:
                self._write_group()
            self._writer.close()
        elif self._kind == "json":
            self._stream.write(b"\n]\n" if self._begun else b"[]\n")

    def abandon(self) -> None:
        """Lets go of a table that stays incomplete; without effect on one that is complete."""
        if self._writer is not None and self._writer.is_open:
            # Else the writer's destructor would write to the stream when that is closed.
            try:
                self._writer.close()
            except Exception:
                self._writer.is_open = False


class Collected:
    """Results kept in memory, as columns of JSON's values."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}

    def write(self, outputs: Mapping[str, Array]) -> None:
        """Appends a batch of outputs."""
        for name, column in flattened(outputs).items():
            self.columns.setdefault(name, []).extend(map(finite, column.tolist()))


def flattened(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs as columns: [n, k] becomes k columns `name_0`, `name_1`, ...; bytes become text."""
    columns: dict[str, Array] = {}
    for name, array in outputs.items():
        width = int(np.prod(array.shape[1:]))
        matrix = array.reshape(len(array), width)
        names = [name] if width == 1 else [f"{name}_{index}" for index in range(width)]
        for index, column in enumerate(names):
            columns[column] = matrix[:, index]
            if array.dtype == object:
                columns[column] = np.array([_text(value) for value in matrix[:, index]], object)
    return columns


def _text(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


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
            try:
                yield sink
                sink.close()
            finally:
                sink.abandon()
        partial.replace(path)
    except OSError as error:
        raise PenstockError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()
