"""Whether a row's answer is the same, in every bit, whatever rows stand beside it in a batch: what requests
must have before they share a run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock.bundle.examples import Array, Arrays, cycle_rows, invent, open_dimension, rows_of
from penstock.bundle.manifest import Manifest, Tensor
from penstock.errors import BundleError, ModelError, StatusError
from penstock.models import MATRIX_KINDS
from penstock.models.onnx import Options
from penstock.models.onnx_operators import across_rows
from penstock.models.options import ModelOptions

if TYPE_CHECKING:
    from penstock._core import Version

ANY = 2**31 - 1  # rows
MOST = 64  # of a batch that is tried
# What trying may take: the runs for one size more are not begun after it.
LIMIT_NS = 300_000_000


@dataclass(frozen=True)
class Independence:
    """In batches of up to `rows` no answer depends on another; below 2 there is none. `reason`: what keeps it
    from being more, "" where nothing does.
    """

    rows: int
    reason: str


def independent_rows(
    core: Version, manifest: Manifest, options: ModelOptions, model: str, examples: Arrays, seed: str
) -> Independence:
    """Of a version whose tensors all have rows.

    Trees and linear models add the numbers of a row in one order: `ANY`. ONNX Runtime promises nothing of the
    kind: its kernels differ by machine and by the number of rows, though not by values. So an ONNX model of
    nothing but operators that work row by row, on the CPU, is run with 2 to `MOST` rows and compared bit by
    bit with each row alone: every size that will be run is tried here, on this machine. `model` is its file,
    `options` are those that it runs with. `examples` are the rows, or, where these are fewer than two, rows
    that are made up from `seed`.
    """
    if manifest.model.kind in MATRIX_KINDS:
        return Independence(ANY, "")
    assert isinstance(options, Options)
    if others := set(options.providers) - {"cpu"}:
        return Independence(0, f"it may run on {min(others)}, and only the CPU is tried")
    if name := open_dimension(manifest.inputs):
        return Independence(0, f"a dimension of '{name}' other than rows is open")
    try:
        found = across_rows(model)
    except ModelError:  # ONNX Runtime loaded it: it is served, whatever this reader makes of it
        return Independence(0, "its operators cannot be read")
    if found:
        return Independence(0, f"the operator {min(found)} may not work row by row")
    most = min(MOST, manifest.max_rows or MOST)
    try:
        rows = examples if rows_of(examples) > 1 else invent(manifest.inputs, most, seed)
    except BundleError:
        return Independence(0, "there are no examples to try it with")
    return try_batches(core, manifest.inputs, rows, most)


def try_batches(core: Version, inputs: Sequence[Tensor], rows: Arrays, most: int) -> Independence:
    """Runs batches of 2 to `most` of the rows, until one gives another bit than its rows do alone."""
    ends = time.monotonic_ns() + LIMIT_NS
    alone: list[Arrays] = []
    passed, reason = 1, ""
    try:
        for count in range(2, most + 1):
            while len(alone) < min(count, rows_of(rows)):
                alone.append(core.run(cycle_rows(inputs, rows, len(alone), 1)))
            if time.monotonic_ns() > ends:
                reason = f"trying {count} rows took too long"
                break
            together = core.run(cycle_rows(inputs, rows, 0, count))
            if not all(_same(array, name, count, alone) for name, array in together.items()):
                reason = f"a row among {count} has other bits than alone"
                break
            passed = count
    except StatusError:  # rows that are refused, or a size that the model does not take
        reason = f"a run of {passed + 1} of the rows to try it with fails"
    if passed > 1 and all(_same(array, name, 1, alone) for one in alone for name, array in one.items()):
        return Independence(0, "the rows to try it with all have the same answers")
    return Independence(passed, reason)


def _same(array: Array, name: str, rows: int, alone: list[Arrays]) -> bool:
    """Whether each of the rows has the bits that it has alone. A result without a row for each has not."""
    if array.shape[:1] != (rows,):
        return False
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
