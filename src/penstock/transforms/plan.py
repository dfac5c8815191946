"""The plan: from what the transforms ask for to the kernel calls of a program.

What nothing needs is left out. Maps that follow one another become one chain, and all chains that can run at
the same point one call. A block of columns goes straight into the tensor that it is part of; what lies
between calls is scratch memory, whose places are fixed when the program is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock.errors import TransformError
from penstock.transforms.base import FLOATING
from penstock.transforms.kernels import kernel_address, operation
from penstock.transforms.steps import Array, Kernel, Op

if TYPE_CHECKING:
    from penstock._core import Program


@dataclass(frozen=True)
class Output:
    """A tensor that a program makes: columns by name, side by side. `flat`: one column, of shape [rows]."""

    name: str
    datatype: str
    columns: tuple[str, ...]
    flat: bool = False


@dataclass(frozen=True)
class Slot:
    """Columns side by side: an input, a part of an output, or scratch memory where both are -1."""

    names: tuple[str, ...]
    datatype: str
    input: int = -1
    output: int = -1
    column: int = 0  # the first one, in the output


@dataclass(frozen=True)
class Call:
    """A kernel call: what it reads (slots, and which column of each) and writes (slots).

    `chains` are the operations on each column where the kernel is the one of chains.
    """

    name: str
    kernel: Kernel
    state: tuple[Array, ...]
    reads: tuple[tuple[int, int], ...]
    writes: tuple[int, ...]
    scratch_bytes: int = 0
    chains: tuple[tuple[Op, ...], ...] = ()


@dataclass(frozen=True)
class Plan:
    """A program before it is one. `inputs` (names and datatypes) are those that an output depends on."""

    inputs: tuple[tuple[str, str], ...]
    slots: tuple[Slot, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Output, ...]
    dropped: tuple[str, ...] = ()  # calls, maps and inputs that nothing needs, by name

    def program(self) -> Program:
        """The compiled program."""
        from penstock._core import Program

        return Program(
            inputs=list(self.inputs),
            slots=[
                (slot.names[0], slot.datatype, slot.input, slot.output, slot.column, len(slot.names))
                for slot in self.slots
            ],
            steps=[
                (
                    call.name,
                    kernel_address(call.kernel) if isinstance(call.kernel, str) else call.kernel(),
                    list(call.state),
                    list(call.reads),
                    list(call.writes),
                    call.scratch_bytes,
                )
                for call in self.calls
            ],
            outputs=[
                (output.name, output.datatype, len(output.columns), output.flat) for output in self.outputs
            ],
        )


def chain_state(chains: Sequence[Sequence[Op]]) -> tuple[Array, ...]:
    """The state of the kernel of chains (ext/kernels/chain.pyx): the operations of each column."""
    ops = [op for chain in chains for op in chain]
    return (
        np.cumsum([0, *(len(chain) for chain in chains)], dtype=np.int64),
        np.array([operation(op.code) for op in ops], np.int32),
        np.cumsum([0, *(op.constants.size for op in ops)], dtype=np.int64),
        np.concatenate([np.empty(0), *(op.constants for op in ops)]),
    )


def check_matrix(dtype: str) -> None:
    """TransformError for a datatype that no matrix of features has."""
    if dtype not in FLOATING:
        raise TransformError(f"a matrix of features is {' or '.join(FLOATING)}, not {dtype}")
