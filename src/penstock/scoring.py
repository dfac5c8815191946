"""Scoring: a table of any size in blocks of rows, which run on several threads and are answered in order.

A bounded number of blocks is read, run or waiting at any time, so that memory does not grow with the table.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock import frames, parquet
from penstock.errors import InputError
from penstock.fitting import FEATURES, Array, Spec, fit

# Enough rows that Python's share of a block is small, and few enough that the last blocks end together and
# that an interrupt is obeyed at once. Of the powers of two it takes the least processor time on two threads:
# the matrix of a larger block is memory that the system hands out anew each time (benchmarks/scoring.py).
BLOCK_ROWS = 4096
ALL_ROWS = sys.maxsize  # as one block
# Blocks beyond one a thread that may wait: while one takes long, the other threads go on.
AHEAD = 2

Outputs = dict[str, Array]
Block = tuple[int, Any]  # the number of its first row in the table, and the rows as fit() takes them
Run = Callable[[Any, int], Outputs]  # of a block's data and that number


@dataclass(frozen=True, slots=True)
class Table:
    """What is to be scored. `whole` is all of it, as fit() takes it, where it is in memory."""

    rows: int | None  # where they are known beforehand
    blocks: Callable[[int], Iterator[Block]]  # in order, each of at most so many rows
    whole: Any = None


def table_of(data: object, inputs: Sequence[Spec], *, threads: int) -> Table:
    """`data` as a table: anything that fit() takes, or what is read bit by bit.

    The latter is the path of a Parquet file or of a folder of such files; a ParquetFile, Dataset or
    RecordBatchReader of pyarrow's; or an iterator of consecutive parts, each of which fit() takes.
    """
    names = [spec.name for spec in inputs]
    if isinstance(data, list | tuple) and data and all(isinstance(item, str | os.PathLike) for item in data):
        raise InputError(f"a {type(data).__name__} of paths came; {parquet.TAKEN} (pyarrow.dataset.dataset)")
    source = parquet.opened(data) if isinstance(data, str | os.PathLike) else parquet.arrow_source(data)
    if source is not None:
        check_files(source, inputs)

        def read(rows: int) -> Iterator[Block]:
            batches = source.read(min(rows, BLOCK_ROWS), names, threads > 1)
            start = 0
            for table in parquet.regrouped(batches, None if rows == ALL_ROWS else rows):
                yield start, table
                start += table.num_rows

        return Table(source.rows, read)
    if isinstance(data, Iterator):
        return Table(None, lambda rows: _blocks_of_parts(data, inputs, rows))
    return _in_memory(data, inputs)


def check_files(source: parquet.Batches, inputs: Sequence[Spec]) -> None:
    """InputError, which names the file, where one of them lacks an input or has it in a type of no use."""
    for name, empty in source.files([spec.name for spec in inputs]):
        try:
            fit(empty, inputs)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        for spec in inputs:
            column = empty[spec.name] if spec.name in empty.column_names else None
            if spec.datatype != "BYTES" and column is not None and frames.arrow_text(column) is not None:
                raise InputError(f"{name}: column {spec.name!r}: expected {spec.datatype}, got text")


def nothing(outputs: Sequence[Spec], wanted: Sequence[str] = ()) -> Outputs:
    """The outputs, all or those `wanted`, for no rows at all: [0], or [0, columns].

    InputError for one that there is not.
    """
    named = {spec.name: spec for spec in outputs}
    for name in wanted:
        if name not in named:
            raise InputError(f"output '{name}' is not one of this model's; expected: {', '.join(named)}")
    return {
        name: np.empty(
            (0, *(max(size, 1) for size in named[name].shape[1:])),
            np.float32
            if named[name].datatype == "BF16"
            else frames.DATATYPES.get(named[name].datatype, object),
        )
        for name in wanted or named
    }


def thread_count(threads: int | None) -> int:
    """As many as the cores that this process may use, unless it is said. InputError for less than one."""
    if threads is None:
        from penstock._core import usable_cores

        return usable_cores()
    if threads < 1:
        raise InputError(f"threads is {threads}; at least 1 was expected")
    return threads


def in_order(blocks: Iterator[Block], run: Run, threads: int) -> Generator[tuple[int, Outputs]]:
    """What `run` makes of each block, in the order of the blocks.

    With one thread it all happens on the calling one. The first failure in that order is raised, be it of
    reading or of running; then, and when the iterator is closed, blocks that have not begun are dropped.
    """
    if threads == 1:
        for start, block in blocks:
            yield start, run(block, start)
        return
    pool = ThreadPoolExecutor(threads, "penstock-scoring")
    waiting: deque[tuple[int, Future[Outputs]]] = deque()
    try:
        for task in _submitted(pool, blocks, run):
            waiting.append(task)
            if len(waiting) >= threads + AHEAD:
                start, answer = waiting.popleft()
                yield start, answer.result()
        while waiting:
            start, answer = waiting.popleft()
            yield start, answer.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def joined(answers: Iterator[tuple[int, Outputs]]) -> Outputs:
    """All blocks' outputs as one. Empty where there was no block."""
    parts: dict[str, list[Array]] = {}
    for _, outputs in answers:
        for name, array in outputs.items():
            parts.setdefault(name, []).append(array)

    def one_of(arrays: list[Array]) -> Array:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    # Output by output, so that no more than one of them is there twice.
    return {name: one_of(parts.pop(name)) for name in list(parts)}


def _submitted(
    pool: ThreadPoolExecutor, blocks: Iterator[Block], run: Run
) -> Iterator[tuple[int, Future[Outputs]]]:
    """A failure to read is the answer of the block that could not be read: those before it come first."""
    start = 0
    try:
        for start, block in blocks:
            yield start, pool.submit(run, block, start)
    except Exception as error:
        failed: Future[Outputs] = Future()
        failed.set_exception(error)
        yield start, failed


def _blocks_of_parts(parts: Iterator[object], inputs: Sequence[Spec], rows: int) -> Iterator[Block]:
    before = 0
    for part in parts:
        table = _in_memory(part, inputs)
        if table.rows == 0:
            continue
        for start, block in table.blocks(rows):
            yield before + start, block
        before += table.rows or 0


def _in_memory(data: object, inputs: Sequence[Spec]) -> Table:
    found = _rows_and_slicer(data, inputs)
    if found is None:
        return Table(None, lambda rows: iter([(0, data)]), data)
    count, whole, between = found

    def blocks(rows: int) -> Iterator[Block]:
        if count <= rows:
            yield 0, whole
            return
        for start in range(0, count, rows):
            yield start, between(start, min(start + rows, count))

    return Table(count, blocks, whole)


def _rows_and_slicer(
    data: object, inputs: Sequence[Spec]
) -> tuple[int, Any, Callable[[int, int], Any]] | None:
    """How many rows there are, all of them, and what gives some of them.

    None where it is not clear what a row is, which fit() then says in its own words.
    """
    if isinstance(data, np.ndarray):
        return (len(data), data, lambda start, stop: data[start:stop]) if data.ndim else None
    if not isinstance(data, Mapping) or isinstance(data, frames.Columns):
        columns = frames.columns_of(data)
        return columns.rows, columns, columns.between
    given = {str(name): column for name, column in data.items()}
    names = [spec.name for spec in inputs]
    if not all(name in given for name in names):
        names = [FEATURES] if FEATURES in given else list(given)
    used = {name: given[name] for name in names}
    try:
        lengths = {len(column) for column in used.values()}
    except TypeError:
        return None
    if len(lengths) != 1:
        return None

    def between(start: int, stop: int) -> Any:
        return {name: frames.rows_of(column, start, stop, name) for name, column in used.items()}

    return lengths.pop(), data, between
