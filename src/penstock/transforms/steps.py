"""What transforms hand to the plan: kernel calls, chains of operations on one number, and second names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
# A built-in kernel's name, or what gives the address of another when the program is made, not before.
Kernel = str | Callable[[], int]


MOST_WIDTH = 65_536  # columns that may come of one: rows are dense


@dataclass(frozen=True)
class Block:
    """Columns that a kernel writes side by side: one penstock_column whose width is the number of names.

    Text stands alone. An FP64 block may be stored as FP32 where it goes straight to a model that takes FP32;
    kernels write either.
    """

    names: tuple[str, ...]
    datatype: str


@dataclass(frozen=True)
class Step:
    """One kernel call on named columns: what it reads, its fitted state, what it writes.

    `refuses`: it may refuse a row. It then stays in the plan even where nothing needs what it writes.
    `doubles`: it reads FP64 alone, so that numbers of other datatypes are to be mapped before.
    `narrow` gives the same step for fewer columns: it is asked with those of each block that something needs.
    """

    name: str  # for messages, as in "one_hot(carrier)"
    kernel: Kernel
    state: tuple[Array, ...]
    inputs: tuple[str, ...]
    outputs: tuple[Block, ...]
    scratch_bytes: int = 0
    refuses: bool = False
    doubles: bool = False
    narrow: Callable[[Sequence[Sequence[int]]], Step] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Op:
    """One operation on one number in double precision: a code of ext/kernels/chain.pyx and its constants."""

    code: str
    constants: Array  # FP64 [any]


@dataclass(frozen=True)
class Map:
    """A number of a number: the numeric column `source` through `ops`, in order, to the FP64 column `target`.

    Maps cost no call of their own: the plan joins those that follow one another, and runs what is left, over
    all columns, in one kernel. No operations: the number as it is.
    """

    source: str
    target: str
    ops: tuple[Op, ...]


@dataclass(frozen=True)
class Alias:
    """A second name for a column of any datatype."""

    source: str
    target: str


Item = Step | Map | Alias


def op(code: str, *constants: float) -> Op:
    """An operation with these constants."""
    return Op(code, np.array(constants, np.float64))


def singles(names: tuple[str, ...] | list[str], datatype: str = "FP64") -> tuple[Block, ...]:
    """A block of its own for each column."""
    return tuple(Block((name,), datatype) for name in names)
