"""From kernel calls on named columns to a Program, whose columns are slots by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import TransformError
from penstock.transforms.base import FLOATING, NUMERIC, Step
from penstock.transforms.kernels import kernel_address

if TYPE_CHECKING:
    from penstock._core import Program


@dataclass(frozen=True)
class Output:
    """A tensor that a program makes: columns by name, side by side. `flat`: one column, of shape [rows]."""

    name: str
    datatype: str
    columns: tuple[str, ...]
    flat: bool = False


def compile_program(
    inputs: Sequence[tuple[str, str]], steps: Sequence[Step], outputs: Sequence[Output]
) -> Program:
    """Gives each column that a step writes a slot of its own; a name means what was last written to it.

    The columns of an output are written in place, in its datatype, by the step that makes them. Each must be
    written by one; KeyError otherwise. `inputs` are names and datatypes.
    """
    from penstock._core import Program

    slots = [(name, datatype, index, -1, 0) for index, (name, datatype) in enumerate(inputs)]
    current = {name: index for index, (name, _) in enumerate(inputs)}
    calls = []
    for step in steps:
        reads = [current[name] for name in step.inputs]
        writes = list(range(len(slots), len(slots) + len(step.outputs)))
        slots += [(name, datatype, -1, -1, 0) for name, datatype in step.outputs]
        current |= {name: slot for (name, _), slot in zip(step.outputs, writes, strict=True)}
        calls.append(
            (step.name, kernel_address(step.kernel), list(step.state), reads, writes, step.scratch_bytes)
        )
    for tensor, output in enumerate(outputs):
        for column, name in enumerate(output.columns):
            slots[current[name]] = (name, output.datatype, -1, tensor, column)
    return Program(
        inputs=list(inputs),
        slots=slots,
        steps=calls,
        outputs=[(output.name, output.datatype, len(output.columns), output.flat) for output in outputs],
    )


def cast_program(
    inputs: Sequence[tuple[str, str]], *, output: str = "features", dtype: str = "FP64"
) -> Program:
    """The program of a model without transforms: numeric columns, in order, to a matrix [rows, columns].

    `inputs` are names and datatypes, `dtype` is FP32 or FP64. TransformError names a column that is no
    number.
    """
    check_matrix(dtype)
    for name, datatype in inputs:
        if datatype not in NUMERIC:
            raise TransformError(
                f"column {name!r} is {datatype}; without transforms a column must be numeric"
            )
    names = tuple(name for name, _ in inputs)
    if not names:
        raise TransformError("no column is named; a matrix needs at least one")
    step = Step("cast", "cast", (), names, tuple((name, dtype) for name in names))
    return compile_program(inputs, [step], [Output(output, dtype, names)])


def check_matrix(dtype: str) -> None:
    """TransformError for a datatype that no matrix of features has."""
    if dtype not in FLOATING:
        raise TransformError(f"a matrix of features is {' or '.join(FLOATING)}, not {dtype}")
