"""Record batches of Arrow out of what may not fit into memory: Parquet files and folders, datasets, readers.

Needs pyarrow, which Penstock itself can do without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from penstock.errors import InputError, NotFoundError, PenstockError

TAKEN = "give the path of a file, a folder of Parquet files or, in Python, a pyarrow Dataset"
# How much of a column is read at a time. Left to itself Arrow reads the whole of a row group, which may be
# all of the file, before it gives the first row.
READING: dict[str, Any] = {"buffer_size": 1 << 20, "pre_buffer": False}


@dataclass(frozen=True, slots=True)
class Batches:
    """A source of record batches.

    `read(rows, names, threads)` gives them in order, of at most `rows` rows where the source can be asked for
    that, with those of the columns `names` that there are: with all columns where there is none of these.
    Each file's columns keep the types that they have there.

    `files(names)` gives each file's name, and a table without rows of the columns that it would be read with,
    in the types of their values.
    """

    rows: int | None  # of all batches, where that is known beforehand
    read: Callable[[int, Sequence[str], bool], Iterator[Any]]
    files: Callable[[Sequence[str]], Iterator[tuple[str, Any]]]


def pyarrow(doing: str) -> tuple[ModuleType, ModuleType]:
    """pyarrow and pyarrow.parquet. PenstockError says what to install where they are missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PenstockError(
            f"{doing} Parquet needs pyarrow: pip install pyarrow (or penstock[demo], which has it)"
        ) from error
    return pyarrow, pyarrow.parquet


def opened(path: str | os.PathLike[str]) -> Batches:
    """A Parquet file, or a folder of them as one table. It is closed when it has been read.

    NotFoundError when it is not there, InputError when it cannot be read as Parquet.
    """
    pyarrow("reading")
    if "://" in str(path):
        raise InputError(f"{path} is no path; {TAKEN} (pyarrow.dataset.dataset opens s3:// and others)")
    place = Path(path)
    if place.is_dir():
        from pyarrow import dataset

        with _errors(f"{path} is no folder of Parquet files"):
            reading = dataset.ParquetFragmentScanOptions(use_buffered_stream=True, **READING)
            kind = dataset.ParquetFileFormat(default_fragment_scan_options=reading)
            folder = dataset.dataset(place, format=kind)
            if not folder.files:
                raise NotFoundError(f"the folder {path} has no Parquet files")
            return _dataset(folder, str(path), folder.count_rows())
    try:
        with place.open("rb"):
            pass
    except FileNotFoundError as error:
        raise no_file(path) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return parquet_file(str(path), place)


def no_file(path: str | os.PathLike[str]) -> NotFoundError:
    """For a path that leads nowhere. What looks like a pattern is told what would be taken."""
    pattern = any(mark in str(path) for mark in "*?[")
    return NotFoundError(f"there is no file {path}" + (f"; patterns are not expanded: {TAKEN}" * pattern))


def parquet_file(name: str, source: Any) -> Batches:
    """A Parquet file by its path, or by a stream that stays open. `name` is for messages."""
    _, parquet = pyarrow("reading")
    with _errors(f"{name} is not a Parquet file"):
        return _file(parquet.ParquetFile(source, **READING), name)


def arrow_source(data: object) -> Batches | None:
    """An open ParquetFile, a Dataset or a RecordBatchReader of pyarrow's; None for anything else."""
    if "pyarrow" not in sys.modules:
        return None
    import pyarrow as pa

    if isinstance(data, pa.RecordBatchReader):
        return _reader(data)
    # Whoever holds one of these has imported its module.
    parquet, dataset = sys.modules.get("pyarrow.parquet"), sys.modules.get("pyarrow.dataset")
    if parquet is not None and isinstance(data, parquet.ParquetFile):
        return _file(data, "the Parquet file")
    if dataset is not None and isinstance(data, dataset.Dataset):
        return _dataset(data, "the dataset", None)
    return None


def regrouped(batches: Iterator[Any], rows: int | None) -> Iterator[Any]:
    """The same rows as tables of `rows` rows each; with None, as one table.

    Those are fewer in the last one, and in the last before columns change their types, as they may from file
    to file. InputError where one table cannot hold the types of all.
    """
    import pyarrow as pa

    held: list[Any] = []
    count = 0
    for batch in batches:
        if held and rows is not None and not batch.schema.equals(held[0].schema):
            yield pa.Table.from_batches(held)
            held, count = [], 0
        while rows is not None and count + batch.num_rows >= rows:
            held.append(batch.slice(0, rows - count))
            batch = batch.slice(rows - count)
            yield pa.Table.from_batches(held)
            held, count = [], 0
        if batch.num_rows:
            held.append(batch)
            count += batch.num_rows
    if held and rows is not None:
        yield pa.Table.from_batches(held)
    elif held:
        with _errors("the files' columns are of types that do not go together"):
            tables = [pa.Table.from_batches([batch]) for batch in held]
            yield pa.concat_tables(tables, promote_options="permissive")


def _file(file: Any, name: str) -> Batches:
    schema = file.schema_arrow

    def read(rows: int, names: Sequence[str], threads: bool) -> Iterator[Any]:
        with _errors(f"{name} cannot be read"):
            columns = _present(names, schema.names)
            yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=threads)

    return Batches(file.metadata.num_rows, read, lambda names: iter([(name, _empty(schema))]))


def _dataset(dataset: Any, name: str, count: int | None) -> Batches:
    """Read file by file: as a whole, Arrow would cast the columns of all files to the types of the first, and
    take those that a file lacks for missing values.
    """

    def columns_of(names: Sequence[str]) -> list[str] | None:
        there = list(dataset.schema.names)
        return _present(names, there) or (there if len(set(there)) == len(there) else None)

    def read(rows: int, names: Sequence[str], threads: bool) -> Iterator[Any]:
        columns = columns_of(names)
        for file, batches, _ in _fragments(dataset, name):
            with _errors(f"{file} cannot be read"):
                yield from batches(
                    columns=columns,
                    batch_size=rows,
                    batch_readahead=2,
                    fragment_readahead=1,
                    use_threads=threads,
                )

    def files(names: Sequence[str]) -> Iterator[tuple[str, Any]]:
        columns = None if _present(names, dataset.schema.names) else columns_of(names)
        for file, _, schema in _fragments(dataset, name):
            yield file, _empty(schema, columns)

    return Batches(count, read, files)


def _fragments(dataset: Any, name: str) -> Iterator[tuple[str, Callable[..., Iterator[Any]], Any]]:
    """Of each file its name, what reads it, and its schema with the columns that its folder's name says."""
    import pyarrow as pa
    from pyarrow.dataset import get_partition_keys

    try:
        fragments = dataset.get_fragments()
    except ValueError:  # of a dataset with a filter, which only reading it as a whole applies
        yield name, dataset.to_batches, dataset.schema
        return
    for fragment in fragments:
        file = getattr(fragment, "path", None) or name
        with _errors(f"{file} cannot be read"):
            there = fragment.physical_schema
        keys = get_partition_keys(fragment.partition_expression)
        named = [dataset.schema.field(key) for key in keys if key not in there.names]
        schema = pa.schema([*there, *named])
        yield file, partial(fragment.to_batches, schema=schema), schema


def _reader(reader: Any) -> Batches:
    def read(rows: int, names: Sequence[str], threads: bool) -> Iterator[Any]:
        columns = _present(names, reader.schema.names)
        with _errors("the record batch reader failed"):
            for batch in reader:
                yield batch if columns is None else batch.select(columns)

    return Batches(None, read, lambda names: iter([("the record batch reader", _empty(reader.schema))]))


def _empty(schema: Any, columns: Sequence[str] | None = None) -> Any:
    """A table without rows, of those `columns` that there are. Categories are as their values."""
    import pyarrow as pa

    fields = [field for field in schema if columns is None or field.name in columns]
    plain = [
        pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in fields
    ]
    return pa.schema(plain).empty_table()


def _present(names: Sequence[str], there: Sequence[str]) -> list[str] | None:
    """Those of `names` that are there; None for all columns.

    Without any of them, all: the model may take one matrix, or the error should name what came. Nor can one
    of two columns of the same name be asked for.
    """
    if len(set(there)) < len(there):
        return None
    present = set(there)
    return [name for name in names if name in present] or None


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """What Arrow says of a bad file, as an InputError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{what}: {error}") from error
