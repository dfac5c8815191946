"""Whether a row's answer is the same, in every bit, whatever rows stand beside it in a batch: what requests
must have before they share a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from penstock.bundle.examples import Array, Arrays, invent, rows_of
from penstock.bundle.manifest import Manifest
from penstock.errors import BundleError, StatusError
from penstock.models import MATRIX_KINDS
from penstock.models.onnx import Options
from penstock.models.onnx_operators import ROW_BY_ROW, operators
from penstock.models.options import ModelOptions

if TYPE_CHECKING:
    from penstock._core import Version

ANY = 2**31 - 1  # rows
MOST = 64  # of a batch that is tried


def independent_rows(
    core: Version, manifest: Manifest, options: ModelOptions, model: str, examples: Arrays, seed: str
) -> int:
    """The most rows of a batch in which answers do not depend on each other; 0 where they may.

    Trees and linear models add the numbers of a row in one order: `ANY`. ONNX Runtime promises nothing of the
    kind: its kernels differ by machine and by the number of rows, though not by values. So an ONNX model of
    nothing but operators that work row by row, on the CPU, is run with 2 to `MOST` rows and compared bit by
    bit with each row alone: every size that will be run is tried here, on this machine. `model` is its file,
    `options` are those that it runs with. `examples` are the rows, or, where these are fewer than two, rows
    that are made up from `seed`.
    """
    if manifest.model.kind in MATRIX_KINDS:
        return ANY
    if not isinstance(options, Options) or any(tensor.shape[:1] != (-1,) for tensor in manifest.inputs):
        return 0
    if set(options.providers) != {"cpu"} or not operators(model) <= ROW_BY_ROW:
        return 0
    most = min(MOST, manifest.max_rows or MOST)
    try:
        rows = examples if rows_of(examples) > 1 else invent(manifest.inputs, most, seed)
        alone = [core.run(_rows(rows, i, 1)) for i in range(min(most, rows_of(rows)))]
        if all(_same(array, name, alone[:1]) for one in alone for name, array in one.items()):
            return 0  # rows with the same answers show nothing
        for count in range(2, most + 1):
            together = core.run(_rows(rows, 0, count))
            if not all(_same(array, name, alone) for name, array in together.items()):
                return 0
    except (
        StatusError,
        BundleError,
    ):  # made-up rows that are refused, or a size that the model does not take
        return 0
    return most


def _rows(arrays: Mapping[str, Array], first: int, count: int) -> Arrays:
    """So many rows, from the beginning again where there are fewer."""
    index = (first + np.arange(count)) % rows_of(arrays)
    return {name: array[index] for name, array in arrays.items()}


def _same(array: Array, name: str, alone: list[dict[str, Array]]) -> bool:
    """Whether each row has the bits that it has alone. A result without a row for each has not."""
    for i, row in enumerate(array):
        one = alone[i % len(alone)][name]
        if one.shape[:1] != (1,) or one.shape[1:] != row.shape:
            return False
        if array.dtype == object:
            if one[0].tolist() != row.tolist() if isinstance(row, np.ndarray) else one[0] != row:
                return False
        elif one[0].tobytes() != np.ascontiguousarray(row).tobytes():
            return False
    return True
