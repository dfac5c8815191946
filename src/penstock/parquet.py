"""Record batches of Arrow out of what may not fit into memory: Parquet files and folders, datasets, readers.

Needs pyarrow, which Penstock itself can do without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from penstock.errors import InputError, NotFoundError, PenstockError

# How much of a column is read at a time. Left to itself Arrow reads the whole of a row group, which may be
# all of the file, before it gives the first row.
READING: dict[str, Any] = {"buffer_size": 1 << 20, "pre_buffer": False}


@dataclass(frozen=True, slots=True)
class Batches:
    """A source of record batches.

    `read(rows, names, threads)` gives them in order, of at most `rows` rows where the source can be asked for
    that, with those of the columns `names` that there are: with all columns where there is none of these.
    """

    rows: int | None  # of all batches, where that is known beforehand
    read: Callable[[int, Sequence[str], bool], Iterator[Any]]


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
    place = Path(path)
    if place.is_dir():
        from pyarrow import dataset

        with _errors(f"{path} is no folder of Parquet files"):
            reading = dataset.ParquetFragmentScanOptions(use_buffered_stream=True, **READING)
            kind = dataset.ParquetFileFormat(default_fragment_scan_options=reading)
            folder = dataset.dataset(place, format=kind)
            return _dataset(folder, str(path), folder.count_rows())
    try:
        with place.open("rb"):
            pass
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return parquet_file(str(path), place)


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


def regrouped(batches: Iterator[Any], rows: int) -> Iterator[Any]:
    """The same rows as tables of `rows` rows each, but for the last."""
    import pyarrow as pa

    held: list[Any] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= rows:
            held.append(batch.slice(0, rows - count))
            batch = batch.slice(rows - count)
            yield pa.Table.from_batches(held)
            held, count = [], 0
        if batch.num_rows:
            held.append(batch)
            count += batch.num_rows
    if held:
        yield pa.Table.from_batches(held)


def _file(file: Any, name: str) -> Batches:
    def read(rows: int, names: Sequence[str], threads: bool) -> Iterator[Any]:
        columns = _present(names, file.schema_arrow.names)
        with _errors(f"{name} cannot be read"):
            yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=threads)

    return Batches(file.metadata.num_rows, read)


def _dataset(dataset: Any, name: str, count: int | None) -> Batches:
    def read(rows: int, names: Sequence[str], threads: bool) -> Iterator[Any]:
        columns = _present(names, dataset.schema.names)
        with _errors(f"{name} cannot be read"):
            yield from dataset.to_batches(
                columns=columns, batch_size=rows, batch_readahead=2, fragment_readahead=1, use_threads=threads
            )

    return Batches(count, read)


def _reader(reader: Any) -> Batches:
    def read(rows: int, names: Sequence[str], threads: bool) -> Iterator[Any]:
        columns = _present(names, reader.schema.names)
        with _errors("the record batch reader failed"):
            for batch in reader:
                yield batch if columns is None else batch.select(columns)

    return Batches(None, read)


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
