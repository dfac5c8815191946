"""Runner: a bundle in this process, through the same compiled path as in the server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.bundle.arrays import arrays_of
from penstock.bundle.build import Bundle
from penstock.bundle.examples import Array, rows_of, take_rows
from penstock.bundle.loading import LoadedBundle, open_bundle
from penstock.bundle.manifest import Input, Manifest, Tensor
from penstock.bundle.verify import DEFAULT_LIMITS, Limits, Progress
from penstock.errors import INVALID_ARGUMENT, InputError, StatusError


class Runner:
    """A loaded version. Any number of threads may call `predict` at once."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._loaded = loaded

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

    def predict(self, data: object, outputs: Sequence[str] = ()) -> dict[str, Array]:
        """The outputs by name (all of them, or those named), one row for each row of `data`.

        `data` is a frame (pandas, polars, pyarrow) or a mapping of columns or tensors by input name;
        where every input is one numeric column, or there is one input, a NumPy array of that shape
        serves too. Surplus columns of a frame are ignored. Rows beyond the bundle's `max_rows` run as
        several batches. Strings come back as object arrays of bytes. Raises InputError, naming the
        column, for data that does not fit.
        """
        known = [tensor.name for tensor in self.outputs]
        unknown = [name for name in outputs if name not in known]
        if unknown:
            raise InputError(
                f"{self.manifest.label} has no output '{unknown[0]}'. It has: {', '.join(known)}."
            )
        arrays = arrays_of(data, self.inputs)
        rows = rows_of(arrays)
        size = self.manifest.max_rows or max(rows, 1)
        parts = [
            self._run(take_rows(arrays, start, start + size), outputs)
            for start in range(0, max(rows, 1), size)
        ]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, arrays: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        try:
            return self._loaded.core.run(arrays, outputs)
        except StatusError as error:
            if error.status == INVALID_ARGUMENT:
                raise InputError(f"{self.manifest.label}: {error}") from error
            raise

    def __repr__(self) -> str:
        return f"<Runner {self.manifest.label}: {self.description}>"


def load(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    limits: Limits = DEFAULT_LIMITS,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Runner:
    """Verifies and loads a bundle's folder, and checks its golden examples.

    See `open_bundle` for the errors.
    """
    path = bundle.path if isinstance(bundle, Bundle) else bundle
    return Runner(open_bundle(path, limits=limits, overrides=overrides, progress=progress))
