"""Folding: one-hot columns before a linear model, as the coefficients that it has for their categories.

Of a block of 0 and 1, a dot product takes what belongs to the one that is set. So the coefficient of each
category can be looked up at once: a matrix of a few columns takes the place of one of hundreds that is mostly
zeros.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from penstock.transforms.plan import Call, Output, Plan
from penstock.transforms.steps import Array

# For a model of one output a number takes a block's place, for others a vector; the kernels' states are laid
# out alike.
_NUMBERS = {"one_hot_text": "ordinal_text", "one_hot_number": "ordinal_number"}
_VECTORS = {"one_hot_text": "category_vector_text", "one_hot_number": "category_vector_number"}
_POSITIONS, _UNKNOWN, _MISSING = 4, 5, 6  # of the state of ext/kernels/one_hot.pyx
_REFUSED = -2


def fold(plan: Plan, coefficients: Array) -> tuple[Plan, Array]:
    """A plan of fewer features, and a linear model's coefficients [outputs, features] for these.

    `plan` makes one matrix, of FP64; sums of features times coefficients are the same but for rounding. Both
    come back as they were where no block of one-hot columns is wider than there are outputs.
    """
    outputs = len(coefficients)
    kernels = _NUMBERS if outputs == 1 else _VECTORS
    read = {slot for call in plan.calls for slot, _ in call.reads}
    calls: list[Call] = []
    folded: dict[int, str] = {}  # slots, and the column that each is of
    for call in plan.calls:
        blocks = [plan.slots[slot] for slot in call.writes]
        kernel = kernels.get(call.kernel) if isinstance(call.kernel, str) else None
        if (
            kernel is None
            or not blocks
            or any(block.output != 0 for block in blocks)
            or read.intersection(call.writes)
            or sum(len(block.names) for block in blocks) <= outputs * len(blocks)
        ):
            calls.append(call)
            continue
        columns = [coefficients[:, block.column : block.column + len(block.names)] for block in blocks]
        calls.append(replace(call, kernel=kernel, state=_vectors(call, columns)))
        for slot, (source, column) in zip(call.writes, call.reads, strict=True):
            folded[slot] = plan.slots[source].names[column]
    if not folded:
        return plan, coefficients
    return _narrowed(plan, calls, folded, coefficients)


def _vectors(call: Call, columns: list[Array]) -> tuple[Array, ...]:
    """The state of ordinal.pyx or category_vector.pyx: what categories, unknown and missing values add."""
    firsts = call.state[2]
    vectors, unknown, missing = [], [], []
    for index, block in enumerate(columns):
        of_position = np.vstack([block.T, np.zeros(len(block))])  # the last: of what sets no column
        positions = call.state[_POSITIONS][firsts[index] : firsts[index + 1]]
        vectors.append(of_position[np.maximum(positions, -1)].ravel())
        unknown.append(of_position[max(int(call.state[_UNKNOWN][index]), -1)])
        missing.append(of_position[max(int(call.state[_MISSING][index]), -1)])
    refused = np.where(
        call.state[_MISSING] == _REFUSED, 2, np.where(call.state[_UNKNOWN] == _REFUSED, 1, 0)
    ).astype(np.uint8)
    return (
        *call.state[:4],
        np.concatenate(vectors),
        np.concatenate(unknown),
        np.concatenate(missing),
        refused,
    )


def _narrowed(
    plan: Plan, calls: list[Call], folded: dict[int, str], coefficients: Array
) -> tuple[Plan, Array]:
    """The plan with as many columns of each folded slot as there are outputs."""
    outputs = len(coefficients)
    slots = list(plan.slots)
    names: list[str] = []
    kept: list[Array] = []
    places = sorted((slot.column, index) for index, slot in enumerate(slots) if slot.output == 0)
    for column, index in places:
        slot = slots[index]
        if index in folded:
            made = tuple(f"coefficient of {folded[index]}" + f", {i}" * (outputs > 1) for i in range(outputs))
            kept.append(np.eye(outputs))
        else:
            made = slot.names
            kept.append(coefficients[:, column : column + len(made)])
        slots[index] = replace(slot, names=made, column=len(names))
        names += made
    matrix = Output(plan.outputs[0].name, plan.outputs[0].datatype, tuple(names))
    narrow = replace(plan, slots=tuple(slots), calls=tuple(calls), outputs=(matrix,))
    return narrow, np.ascontiguousarray(np.hstack(kept))
