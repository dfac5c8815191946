"""Runner: a bundle in this process, through the same compiled path as in the server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np

from penstock import bfloat16, frames, scoring
from penstock.bundle.build import Bundle
from penstock.bundle.features import read_features
from penstock.bundle.loading import LoadedBundle, open_bundle
from penstock.bundle.manifest import Input, Manifest, Tensor
from penstock.bundle.verify import DEFAULT_LIMITS, Limits, Progress, verify_bundle
from penstock.errors import (
    INVALID_ARGUMENT,
    BundleError,
    InputError,
    RefusedRowError,
    RowError,
    StatusError,
)
from penstock.fitting import Array, InPlace, fit, split
from penstock.progress import bar
from penstock.transforms import Features

Told = Callable[[int, int | None], None]  # of the rows that are done, and of all rows where they are known


class Runner:
    """A loaded version. Any number of threads may call `predict` at once."""

    def __init__(self, loaded: LoadedBundle, *, allow_custom: bool = False) -> None:
        self._loaded = loaded
        self._allow_custom = allow_custom
        # Whether every input and output is one row for each row.
        self._by_row = all(spec.shape[:1] == (-1,) for spec in (*self.inputs, *self.outputs))

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self._loaded.manifest

    @property
    def digest(self) -> str:
        """The version's identity."""
        return self._loaded.digest

    @property
    def description(self) -> str:
        """What runs the model, as one line."""
        return self._loaded.description

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What `predict` takes."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What `predict` gives."""
        return self.manifest.outputs

    @property
    def optional_outputs(self) -> tuple[Tensor, ...]:
        """What `predict` gives besides to those who name it: `contributions`, of a compiled forest."""
        return tuple(
            Tensor.model_validate({"name": name, "datatype": datatype, "shape": shape})
            for name, datatype, shape in self._loaded.core.optional_outputs
        )

    @property
    def matrix_columns(self) -> tuple[str, ...]:
        """The columns of the model's matrix by name: what `contributions` are of, in that order."""
        return self._loaded.matrix_columns

    def features(self) -> Features | None:
        """The bundle's fitted transforms, read from its folder: to train the next model on the same.

        None when it has none. BundleError where the folder holds another bundle by now.
        """
        with verify_bundle(self._loaded.path, keep=True) as bundle:
            if bundle.digest != self.digest:
                raise BundleError(f"{self._loaded.path} holds another bundle than the one that was loaded.")
            return read_features(bundle, allow_custom=self._allow_custom)

    def predict(
        self,
        data: object,
        outputs: Sequence[str] = (),
        *,
        threads: int | None = None,
        progress: bool | Told | None = None,
    ) -> dict[str, Array]:
        """The outputs by name (`outputs`, or those named), one row for each row of `data`.

        `data` is what `Client.infer` takes: a frame (pandas, polars, pyarrow), a mapping of columns or
        tensors by input name, or one array (the model's only input, or [rows, columns] where every input is
        one numeric column). What is no input is left out. `data` may also be what `score` reads bit by bit.

        A large table runs in blocks of rows on `threads` threads: without a number, as many as the cores that
        this process may use. `progress` true shows a bar where stderr is a terminal; a callable is told the
        rows that are done, and all rows or None where nobody knows yet. Rows beyond the bundle's `max_rows`
        run as several batches.

        Outputs have their datatype's dtype, BF16 as float32, strings as object arrays of bytes. Raises
        InputError, in the words that a server would use, for data that does not fit and for outputs that
        there are not; a RowError where a row is at fault, which it counts from the table's first. A table
        without rows gives outputs without rows.
        """
        threads = scoring.thread_count(threads)
        table = scoring.table_of(data, self.inputs, threads=threads)
        if table.whole is not None and (table.rows or 0) <= scoring.BLOCK_ROWS:
            answered = self._answer(table.whole, outputs)
            if callable(progress) and table.rows is not None:
                progress(table.rows, table.rows)
            return answered
        answered = scoring.joined(self._scored(table, outputs, threads, progress, scoring.BLOCK_ROWS))
        return answered or self._nothing(outputs)

    def score(
        self,
        data: object,
        outputs: Sequence[str] = (),
        *,
        threads: int | None = None,
        progress: bool | Told | None = None,
        block_rows: int = scoring.BLOCK_ROWS,
    ) -> Generator[tuple[int, dict[str, Array]]]:
        """The answers of `predict` block by block: the number of the block's first row, and its outputs.

        Blocks come in order, of at most `block_rows` rows, and only a few of them are in memory at a time, so
        that a table may be larger than memory. Besides what `predict` takes in memory, `data` is the path of
        a Parquet file or of a folder of them; a ParquetFile, Dataset or RecordBatchReader of pyarrow's; or
        an iterator whose items are consecutive parts of a table. Only the model's columns are read.

        A model whose inputs or outputs are not one row for each row gets all rows at once. Each file is read
        by its own types; one that lacks an input is refused before the first block. A table without rows has
        no blocks.

        Raises what `predict` raises, of the first row that does not fit, and NotFoundError where there is no
        such file. PenstockError says what to install where Parquet comes and pyarrow is not there.
        """
        threads = scoring.thread_count(threads)
        if block_rows < 1:
            raise InputError(f"block_rows is {block_rows}; at least 1 was expected")
        table = scoring.table_of(data, self.inputs, threads=threads)
        return self._scored(table, outputs, threads, progress, block_rows)

    def _scored(
        self,
        table: scoring.Table,
        outputs: Sequence[str],
        threads: int,
        progress: bool | Told | None,
        block_rows: int,
    ) -> Generator[tuple[int, dict[str, Array]]]:
        answers = scoring.in_order(
            table.blocks(block_rows if self._by_row else scoring.ALL_ROWS),
            lambda block, start: self._answer(block, outputs, start),
            threads,
        )
        with closing(answers), _told(progress, f"scoring with {self.manifest.label}", table.rows) as tell:
            for start, answered in answers:
                rows = len(next(iter(answered.values()))) if self._by_row else table.rows
                if self._by_row and rows == 0:
                    continue
                yield start, answered
                if rows is not None:
                    tell(start + rows)

    def _answer(self, data: object, outputs: Sequence[str], first_row: int = 0) -> dict[str, Array]:
        """Of rows that are in memory, the first of which is the table's `first_row`, on this thread."""
        frames.check_times(data, self._loaded.times)
        try:
            fitted = fit(data, self.inputs, matrix=self._loaded.core.takes_matrix, arrow=True)
        except RowError as error:
            raise error.after(first_row) from None
        if self._by_row and not any(len(tensor.values) for tensor in fitted):
            return self._nothing(outputs)
        parts = [
            self._run(part, outputs, first_row + before)
            for before, part in split(fitted, self.manifest.max_rows or None)
        ]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _nothing(self, outputs: Sequence[str]) -> dict[str, Array]:
        """The outputs for a table without rows."""
        if not self._by_row:
            raise InputError("the table is empty; at least one row is expected")
        known = (*self.outputs, *self.optional_outputs) if outputs else self.outputs
        return scoring.nothing(known, outputs)

    def _run(self, part: Sequence[InPlace], outputs: Sequence[str], first_row: int) -> dict[str, Array]:
        sent = {tensor.name: tensor.values for tensor in part}
        try:
            answered = self._loaded.core.run(sent, outputs, first_row=first_row)
        except StatusError as error:
            if error.status != INVALID_ARGUMENT:
                raise
            named = RefusedRowError.named_in(str(error))
            raise (RefusedRowError if named else InputError)(str(error)) from error
        for tensor in self.outputs:
            if tensor.datatype == "BF16" and tensor.name in answered:
                answered[tensor.name] = bfloat16.values_of(answered[tensor.name])
        return answered

    def __repr__(self) -> str:
        return f"<Runner {self.manifest.label}: {self.description}>"


def load(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    limits: Limits = DEFAULT_LIMITS,
    overrides: Mapping[str, Any] | None = None,
    allow_custom: bool = False,
    progress: Progress | None = None,
) -> Runner:
    """Verifies and loads a bundle's folder, and checks its golden examples.

    `allow_custom` lets its custom transforms run: code of whoever built it, so only from those you trust.
    Without, a bundle that has any is refused. See `open_bundle` for the errors.
    """
    path = bundle.path if isinstance(bundle, Bundle) else bundle
    loaded = open_bundle(
        path, limits=limits, overrides=overrides, allow_custom=allow_custom, progress=progress
    )
    return Runner(loaded, allow_custom=allow_custom)


@contextmanager
def _told(progress: bool | Told | None, what: str, rows: int | None) -> Iterator[Callable[[int], None]]:
    """What is to be called with the rows that are done."""
    if callable(progress):
        yield lambda done: progress(done, rows)
    elif progress and sys.stderr.isatty():
        with bar(what, rows, "rows") as advance:
            yield advance
    else:
        yield lambda done: None
