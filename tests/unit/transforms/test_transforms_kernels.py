"""The kernels by themselves: states that no transform makes are refused, and never read past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock._core import Program
from penstock.errors import StatusError
from penstock.transforms.categories import Categories, lookup_arrays
from penstock.transforms.kernels import kernel_address

Array = np.ndarray[Any, Any]

TEXT = lookup_arrays(
    [Categories((b"AA", b"UA", "Zürich".encode()), False), Categories((b"", b"x" * 30), True)], text=True
)
NUMBERS = lookup_arrays([Categories((3, -1), False), Categories((7,), False)], text=False)
INT32, FP64, UINT8 = np.int32, np.float64, np.uint8
ONE_HOT_TEXT = [*TEXT, np.array([0, 1, 2, 3, 4], INT32), np.array([-1, -1], INT32), np.array([-1, 4], INT32)]
ONE_HOT_NUMBER = [*NUMBERS, np.array([0, 1, 2], INT32), np.array([-1, -1], INT32), np.array([-1, -1], INT32)]
ORDINAL_TEXT = [*TEXT, np.arange(5.0), np.array([-1.0, -1]), np.array([-2.0, -2]), np.array([0, 0], UINT8)]
STATES: dict[str, tuple[list[str], int, list[Array]]] = {
    "one_hot_text": (["BYTES", "BYTES"], 5, ONE_HOT_TEXT),
    "one_hot_number": (["INT64", "FP64"], 3, ONE_HOT_NUMBER),
    "ordinal_text": (["BYTES", "BYTES"], 2, ORDINAL_TEXT),
    "standardize": (["FP64", "FP32"], 2, [np.zeros(2), np.ones(2)]),
    "cyclic": (["FP64", "INT64"], 4, [np.array([24.0, 7.0])]),
    "impute_number": (["FP64", "FP32"], 3, [np.array([1.0, 2.0]), np.array([1], INT32)]),
    "log1p": (["FP64"], 1, []),
    "cast": (["FP16"], 1, []),
}
COLUMNS: dict[str, Any] = {
    "BYTES": ["AA", None, "", "x" * 30, "x" * 31, "Zürich", "UA"],
    "INT64": np.array([3, -1, 7, 0, 2**62, -(2**63), 3]),
    "FP64": np.array([7.0, np.nan, np.inf, -0.0, 0.0, 3.0, 7.0]),
    "FP32": np.array([7.0, np.nan, np.inf, -0.0, 0.0, 3.0, 7.0], np.float32),
    "FP16": np.array([7.0, np.nan, np.inf, -0.0, 0.0, 3.0, 7.0], np.float16),
}


def run(kernel: str, inputs: list[str], outputs: int, state: list[Array], dtype: str = "FP64") -> Array:
    """The kernel's outputs as a matrix, on COLUMNS."""
    names = [f"c{index}" for index in range(len(inputs))]
    slots = [
        (name, datatype, index, -1, 0)
        for index, (name, datatype) in enumerate(zip(names, inputs, strict=True))
    ]
    slots += [("out", dtype, -1, 0, column) for column in range(outputs)]
    reads, writes = list(range(len(inputs))), list(range(len(inputs), len(slots)))
    program = Program(
        inputs=list(zip(names, inputs, strict=True)),
        slots=slots,
        steps=[(kernel, kernel_address(kernel), state, reads, writes, 0)],
        outputs=[("out", dtype, outputs, False)],
    )
    return program.run({name: COLUMNS[datatype] for name, datatype in zip(names, inputs, strict=True)})["out"]


@pytest.mark.parametrize("kernel", STATES)
def test_sound_states_run(kernel: str) -> None:
    inputs, outputs, state = STATES[kernel]
    assert run(kernel, inputs, outputs, state).shape == (7, outputs)


def test_one_hot_sets_the_output_of_the_category() -> None:
    made = run("one_hot_text", *STATES["one_hot_text"])
    np.testing.assert_array_equal(made[0], [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(made[1], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(made[5], [0, 0, 1, 0, 0])
    assert made.sum() == 1 + 1 + 1 + 1 + 0 + 1 + 1


def too_many(state: list[Array]) -> list[list[Array]]:
    """The state with each array in turn too short, too long, of another type, or gone."""
    spoilt = []
    for index, array in enumerate(state):
        other = array.astype(np.int16)
        for changed in (
            array[:-1],
            np.concatenate([array, array[:1] if array.size else [1]]).astype(array.dtype),
            other,
        ):
            spoilt.append([*state[:index], changed, *state[index + 1 :]])
        spoilt.append(state[:index])
    return spoilt


@pytest.mark.parametrize("kernel", [name for name, (_, _, state) in STATES.items() if state])
def test_states_of_other_sizes_and_types_are_refused_or_harmless(kernel: str) -> None:
    inputs, outputs, state = STATES[kernel]
    refused = 0
    for spoilt in too_many(state):
        try:
            run(kernel, inputs, outputs, spoilt)
        except StatusError as error:
            refused += "refused row 0" in str(error)
    assert refused >= 2 * len(state)


@pytest.mark.parametrize(
    ("kernel", "inputs", "outputs"),
    [
        ("one_hot_text", ["BYTES", "FP64"], 5),
        ("one_hot_number", ["INT64", "BYTES"], 3),
        ("ordinal_text", ["FP64", "FP64"], 2),
        ("standardize", ["FP64", "FP64"], 1),
        ("cyclic", ["FP64", "FP64"], 3),
        ("log1p", ["FP64"], 2),
        ("cast", ["FP64", "FP64"], 1),
        ("impute_number", ["FP64", "FP64"], 1),
    ],
)
def test_columns_that_a_kernel_does_not_take_are_refused(
    kernel: str, inputs: list[str], outputs: int
) -> None:
    with pytest.raises(StatusError, match=f"{kernel} refused row 0"):
        run(kernel, inputs, outputs, STATES[kernel][2])


@pytest.mark.parametrize("kernel", STATES)
def test_outputs_that_are_no_floating_point_are_refused(kernel: str) -> None:
    inputs, outputs, state = STATES[kernel]
    with pytest.raises(StatusError, match="refused row 0"):
        run(kernel, inputs, outputs, state, "INT64")


def test_text_is_no_number_for_a_kernel_of_numbers() -> None:
    assert np.isnan(run("cast", ["BYTES"], 1, [])).all()


@pytest.mark.parametrize("kernel", ["one_hot_text", "one_hot_number", "ordinal_text"])
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_tables_of_any_content_are_never_read_past(kernel: str, data: st.DataObject) -> None:
    """Run under AddressSanitizer this shows the read; here it shows that lookups end."""
    inputs, outputs, state = STATES[kernel]
    index = data.draw(st.integers(0, len(state) - 1))
    array = state[index]
    raw = data.draw(st.binary(min_size=array.nbytes, max_size=array.nbytes))
    if index == 0 and data.draw(st.booleans()):  # the right hashes, categories out of range
        wrong = data.draw(st.integers(0, 2**32 - 1))
        raw = np.where(array, (array >> np.uint64(32) << np.uint64(32)) | np.uint64(wrong), array).tobytes()
    spoilt = [*state[:index], np.frombuffer(raw, array.dtype), *state[index + 1 :]]
    try:
        made = run(kernel, inputs, outputs, spoilt)
    except StatusError as error:
        if "refused row" not in str(error):
            raise
    else:
        assert made.shape == (7, outputs)


@pytest.mark.parametrize(
    "full",
    [
        lambda entries: np.full_like(entries, 1),
        lambda entries: np.full_like(entries, np.iinfo(np.uint64).max),
    ],
)
def test_a_table_without_a_free_entry_ends_the_search(full: Callable[[Array], Array]) -> None:
    inputs, outputs, state = STATES["one_hot_text"]
    assert run("one_hot_text", inputs, outputs, [full(state[0]), *state[1:]]).shape == (7, 5)


def test_tables_are_at_most_half_full_and_hold_every_category_once() -> None:
    for count in (0, 1, 2, 3, 4, 5, 100):
        values = tuple(str(number).encode() for number in range(count))
        entries, starts, offsets, text = lookup_arrays([Categories(values, False)], text=True)
        assert len(entries) == starts[1] >= 2 * count
        assert len(entries) & (len(entries) - 1) == 0
        assert sorted((entries[entries != 0] & np.uint64(0xFFFFFFFF)).tolist()) == list(range(1, count + 1))
        assert bytes(text) == b"".join(values)
        assert offsets[-1] == len(text)


def test_every_half_precision_number_widens_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16)
    program = Program(
        inputs=[("x", "FP16")],
        slots=[("x", "FP16", 0, -1, 0), ("out", "FP64", -1, 0, 0)],
        steps=[("cast", kernel_address("cast"), [], [0], [1], 0)],
        outputs=[("out", "FP64", 1, True)],
    )
    np.testing.assert_array_equal(
        program.run({"x": every.view(np.float16)})["out"], every.view(np.float16).astype(np.float64)
    )
