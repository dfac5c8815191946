"""Runner: a bundle in this process, through the same compiled path as in the server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock import bfloat16
from penstock.bundle.build import Bundle
from penstock.bundle.loading import LoadedBundle, open_bundle
from penstock.bundle.manifest import Input, Manifest, Tensor
from penstock.bundle.verify import DEFAULT_LIMITS, Limits, Progress
from penstock.errors import INVALID_ARGUMENT, InputError, StatusError
from penstock.fitting import Array, Fitted, Values, fit, split


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

        `data` is what `Client.infer` takes: a frame (pandas, polars, pyarrow), a mapping of columns or
        tensors by input name, or one array (the model's only input, or [rows, columns] where every input is
        one numeric column). What is no input is left out. Rows beyond the bundle's `max_rows` run as several
        batches. Outputs have their datatype's dtype, BF16 as float32, strings as object arrays of bytes.
        Raises InputError, in the words that a server would use, for data that does not fit and for outputs
        that there are not.
        """
        core = self._loaded.core
        fitted = fit(data, self.inputs, matrix=core.takes_matrix)
        parts = [self._run(part, outputs) for part in split(fitted, self.manifest.max_rows or None)]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, part: Sequence[Fitted], outputs: Sequence[str]) -> dict[str, Array]:
        sent = {tensor.name: _sent(tensor.values) for tensor in part}
        try:
            answered = self._loaded.core.run(sent, outputs)
        except StatusError as error:
            if error.status == INVALID_ARGUMENT:
                raise InputError(str(error)) from error
            raise
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
    progress: Progress | None = None,
) -> Runner:
    """Verifies and loads a bundle's folder, and checks its golden examples.

    See `open_bundle` for the errors.
    """
    path = bundle.path if isinstance(bundle, Bundle) else bundle
    return Runner(open_bundle(path, limits=limits, overrides=overrides, progress=progress))


def _sent(values: Values) -> Values:
    """As the protocol carries them: it has no missing string but the empty one."""
    if isinstance(values, list):
        return [element or b"" for element in values] if None in values else values
    if values.dtype == object:
        values = np.where(values == None, b"", values)  # noqa: E711 -- element by element
    return values
