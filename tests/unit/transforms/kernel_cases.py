"""Sound states for each kernel, and a way to run one by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock._core import Program
from penstock.transforms.categories import Categories, lookup_arrays
from penstock.transforms.kernels import kernel_address
from penstock.transforms.plan import chain_state
from penstock.transforms.steps import op

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class KernelCase:
    """Datatypes of the inputs, widths of the outputs, and a sound state.

    `made` are the datatypes of the outputs where they are not all FP64, `scratch` the bytes of scratch memory
    that it asks for.
    """

    inputs: list[str]
    widths: list[int]
    state: list[Array]
    made: tuple[str, ...] = ()
    scratch: int = 0


TEXT = lookup_arrays(
    [Categories((b"AA", b"UA", "Zürich".encode()), False), Categories((b"", b"x" * 30), True)]
)
NUMBERS = lookup_arrays([Categories((3, -1), False), Categories((7,), False)])
INT32, FP64, UINT8 = np.int32, np.float64, np.uint8
CHAINS = chain_state([[op("fill", 1.0), op("standardize", 1.0, 2.0)], [], [op("is_missing"), op("log1p")]])

KERNELS: dict[str, KernelCase] = {
    "one_hot_text": KernelCase(
        ["BYTES", "BYTES"],
        [3, 3],
        [*TEXT, np.array([0, 1, 2, 0, 1], INT32), np.array([-1, -1], INT32), np.array([-1, 2], INT32)],
    ),
    "one_hot_number": KernelCase(
        ["INT64", "FP64"],
        [2, 1],
        [*NUMBERS, np.array([0, 1, 0], INT32), np.array([-1, -1], INT32), np.array([-1, -1], INT32)],
    ),
    "ordinal_text": KernelCase(
        ["BYTES", "BYTES"],
        [1, 1],
        [*TEXT, np.arange(5.0), np.array([-1.0, -1]), np.array([-2.0, -2]), np.array([0, 0], UINT8)],
    ),
    "ordinal_number": KernelCase(
        ["INT64", "FP64"],
        [1, 1],
        [*NUMBERS, np.arange(3.0), np.array([-1.0, -1]), np.array([-2.0, -2]), np.array([0, 0], UINT8)],
    ),
    "impute_text": KernelCase(
        ["BYTES", "BYTES"],
        [1, 1, 1],
        [
            np.array([0, 1, 3]),
            np.frombuffer(b"abc", UINT8),
            np.array([1], INT32),
            np.frombuffer(b"UA", UINT8),
            np.array([1], INT32),
        ],
        ("BYTES", "BYTES", "FP64"),
    ),
    "chain": KernelCase(["FP64", "FP32", "INT64"], [1, 1, 1], list(CHAINS)),
}

COLUMNS: dict[str, Any] = {
    "BYTES": ["AA", None, "", "x" * 30, "x" * 31, "Zürich", "UA"],
    "INT64": np.array([3, -1, 7, 0, 2**62, -(2**63), 3]),
    "FP64": np.array([7.0, np.nan, np.inf, -0.0, 0.0, 3.0, 7.0]),
    "FP32": np.array([7.0, np.nan, np.inf, -0.0, 0.0, 3.0, 7.0], np.float32),
    "FP16": np.array([7.0, np.nan, np.inf, -0.0, 0.0, 3.0, 7.0], np.float16),
}
ROWS = 7


def run(
    kernel: str,
    case: KernelCase,
    *,
    inputs: list[str] | None = None,
    widths: list[int] | None = None,
    state: list[Array] | None = None,
    dtype: str = "FP64",
) -> list[Array]:
    """What the kernel makes of COLUMNS, an array for each output. Arguments replace what the case has."""
    inputs = case.inputs if inputs is None else inputs
    widths = case.widths if widths is None else widths
    made = [*case.made, *["FP64"] * len(widths)][: len(widths)] if dtype == "FP64" else [dtype] * len(widths)
    given = [(f"c{index}", datatype) for index, datatype in enumerate(inputs)]
    outputs = [
        (f"out{i}", datatype, width, False)
        for i, (datatype, width) in enumerate(zip(made, widths, strict=True))
    ]
    slots = [(name, datatype, index, -1, 0, 1) for index, (name, datatype) in enumerate(given)]
    slots += [
        (name, datatype, -1, index, 0, width) for index, (name, datatype, width, _) in enumerate(outputs)
    ]
    reads = [(slot, 0) for slot in range(len(inputs))]
    writes = list(range(len(inputs), len(slots)))
    arrays = case.state if state is None else state
    program = Program(
        inputs=given,
        slots=slots,
        steps=[(kernel, kernel_address(kernel), arrays, reads, writes, case.scratch)],
        outputs=outputs,
    )
    answers = program.run({name: COLUMNS[datatype] for name, datatype in given})
    return [answers[f"out{index}"] for index in range(len(widths))]
