"""Golden examples: a version must give, through the whole path of a request, what it gave when it was built.

Requests are encoded and replies decoded by Google's protobuf, not by the code under check.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock import _proto, frames
from penstock.bundle.examples import DTYPES, Array, Arrays, rows_of, take_rows
from penstock.bundle.manifest import Manifest, Tensor, Tolerance
from penstock.errors import GoldenError, StatusError

if TYPE_CHECKING:
    from penstock._core import Version

# Single-row runs before a version counts as warm, unless they take longer than the seconds.
WARM_UP_RUNS = 16
WARM_UP_SECONDS = 0.2


def infer(core: Version, name: str, version: str, inputs: Sequence[Tensor], arrays: Arrays) -> Arrays:
    """One request with these rows, as a caller would send it. StatusError when it is refused or fails."""
    request = _proto.ModelInferRequest(model_name=name, model_version=version)
    for tensor in inputs:
        array = arrays[tensor.name]
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=array.shape)
        request.raw_input_contents.append(_to_raw(array))
    response: Any = _proto.ModelInferResponse.FromString(core.infer(request.SerializeToString()))
    return {
        output.name: _from_raw(raw, output.datatype, tuple(output.shape))
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def batch_size(inputs: Sequence[Tensor], rows: int, max_rows: int) -> int:
    """Rows for one run of `rows` examples: all, the bundle's limit, or what the model's shape fixes."""
    fixed = [tensor.shape[0] for tensor in inputs if tensor.shape and tensor.shape[0] > 0]
    if fixed:
        return fixed[0]
    return min(rows, max_rows) if max_rows else rows


def run_batches(core: Version, manifest: Manifest, arrays: Arrays, size: int) -> Arrays:
    """The outputs of all rows, `size` at a time.

    Where that is one run, they are what the model gave, of any shape. GoldenError where it is several and an
    output has not one row for each input row, as it cannot be put together then.
    """
    total = rows_of(arrays)
    if total <= size:
        return _run(core, manifest, arrays, 0)
    parts: dict[str, list[Array]] = {}
    for start in range(0, total, size):
        batch = take_rows(arrays, start, start + size)
        rows = rows_of(batch)
        for name, array in _run(core, manifest, batch, start).items():
            if array.shape[:1] != (rows,):
                raise GoldenError(
                    f"{manifest.label}: output '{name}' has the shape {list(array.shape)} for {rows} "
                    f"row{'' if rows == 1 else 's'}; expected one row for each input row. A model whose "
                    f"outputs are not rows takes examples that fit one run, here at most {size}."
                )
            parts.setdefault(name, []).append(array)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def check_golden(core: Version, manifest: Manifest, inputs: Arrays, expected: Arrays) -> None:
    """Runs the examples one row at a time and in batches; all in one run where an output's rows are not the
    inputs' (a total, say, or boxes found). GoldenError names the first difference.
    """
    assert manifest.golden is not None
    count = manifest.golden.rows
    size = batch_size(manifest.inputs, count, manifest.max_rows)
    fixed = any(tensor.shape[:1] == (size,) for tensor in manifest.inputs)
    by_row = {
        tensor.name: expected[tensor.name].shape[:1] == (count,)
        and (tensor.shape[0] == -1 or (fixed and tensor.shape[0] == size))
        for tensor in manifest.outputs
    }
    sizes = [size] if fixed or size == 1 or not all(by_row.values()) else [1, size]
    for rows in sizes:
        got = run_batches(core, manifest, inputs, rows)
        how = "one row at a time" if rows == 1 else f"{rows} rows at a time"
        for tensor in manifest.outputs:
            if tensor.name not in got:
                raise GoldenError(
                    f"{manifest.label}: the answer to its golden examples has no '{tensor.name}'."
                )
            difference = first_difference(
                tensor,
                expected[tensor.name],
                got[tensor.name],
                manifest.golden.tolerance,
                by_row[tensor.name],
            )
            if difference is not None:
                raise GoldenError(f"{manifest.label}: golden {difference} (sent {how}).")


def warm_up(core: Version, manifest: Manifest, arrays: Arrays) -> None:
    """Runs `arrays` in batches until WARM_UP_RUNS runs or WARM_UP_SECONDS have passed, one batch at least."""
    size = batch_size(manifest.inputs, 1, manifest.max_rows)
    started = time.monotonic()
    for run in range(WARM_UP_RUNS):
        start = run * size % rows_of(arrays)
        _run(core, manifest, take_rows(arrays, start, start + size), start)
        if time.monotonic() - started > WARM_UP_SECONDS:
            break


def _run(core: Version, manifest: Manifest, arrays: Arrays, start: int) -> Arrays:
    """One request. GoldenError says which of the examples, from `start`, were refused or failed."""
    try:
        return infer(core, manifest.name, manifest.version, manifest.inputs, arrays)
    except StatusError as error:
        raise GoldenError(f"{manifest.label}: {_rows(start, rows_of(arrays))}: {error}") from error


def _rows(start: int, rows: int) -> str:
    return f"example {start}" if rows == 1 else f"examples {start} to {start + rows - 1}"


def first_difference(
    tensor: Tensor, expected: Array, got: Array, tolerance: Tolerance, by_row: bool
) -> str | None:
    """Where an output's elements first differ by more than is allowed, in words; None where they do not."""
    if expected.shape != got.shape:
        shapes = f"expected the shape {list(expected.shape)}, got {list(got.shape)}"
        return f"{'example 0' if by_row else 'examples'}, output '{tensor.name}': {shapes}"
    approximate = tensor.datatype in ("FP16", "FP32", "FP64", "BF16")
    if approximate:
        expected, got = _numbers(expected, tensor.datatype), _numbers(got, tensor.datatype)
        differs = ~tolerance.allows(expected, got)
    else:
        differs = np.asarray(expected != got, bool)
    if not differs.any():
        return None
    at = tuple(int(i) for i in np.argwhere(differs)[0])
    example, inside = (f"example {at[0]}", at[1:]) if by_row else ("examples", at)
    element = "".join(f"[{i}]" for i in inside)
    text = f"{example}, output '{tensor.name}'{element}: expected {expected[at]!s}, got {got[at]!s}"
    if approximate:
        difference = abs(float(got[at]) - float(expected[at]))
        allowed = tolerance.absolute + tolerance.relative * abs(float(expected[at]))
        text += f", a difference of {difference:.3g} where {allowed:.3g} is allowed"
    return text


def _numbers(array: Array, datatype: str) -> Array:
    if datatype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.float64)


def _to_raw(array: Array) -> bytes:
    if array.dtype.kind != "O":
        return array.tobytes()
    return b"".join(struct.pack("<I", len(element)) + element for element in array.ravel().tolist())


def _from_raw(raw: bytes, datatype: str, shape: tuple[int, ...]) -> Array:
    if datatype != "BYTES":
        return np.frombuffer(raw, DTYPES[datatype]).reshape(shape)
    elements = []
    at = 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        elements.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return frames.objects_of(elements, shape)
