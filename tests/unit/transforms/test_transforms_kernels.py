"""The kernels by themselves: states that no transform makes are refused, and never read past."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kernel_cases import ROWS, KernelCase, run

from penstock._core import Program
from penstock._kernels import chain, chain_avx2
from penstock._kernels.chain import OPERATIONS
from penstock._kernels.cpu import has_avx2
from penstock.errors import StatusError
from penstock.transforms import cast_plan
from penstock.transforms.categories import Categories, lookup_arrays
from penstock.transforms.kernels import kernel_names
from penstock.transforms.plan import chain_state
from penstock.transforms.steps import Op

Array = np.ndarray[Any, Any]

KERNELS: dict[str, KernelCase] = {}
for path in sorted(Path(__file__).parent.glob("kernel_cases*.py")):
    KERNELS |= importlib.import_module(path.stem).KERNELS


@pytest.mark.parametrize("kernel", kernel_names())
def test_every_kernel_has_a_case(kernel: str) -> None:
    assert kernel in KERNELS


@pytest.mark.parametrize("kernel", KERNELS)
def test_sound_states_run(kernel: str) -> None:
    case = KERNELS[kernel]
    assert [made.shape for made in run(kernel, case)] == [(ROWS, width) for width in case.widths]


def test_one_hot_sets_the_output_of_the_category() -> None:
    first, second = run("one_hot_text", KERNELS["one_hot_text"])
    np.testing.assert_array_equal(first.sum(axis=1), [1, 0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(first[5], [0, 0, 1])
    np.testing.assert_array_equal(second[1], [0, 0, 1])
    np.testing.assert_array_equal(second.sum(axis=1), [0, 1, 1, 1, 0, 0, 0])


def spoilt_states(state: list[Array]) -> list[list[Array]]:
    """The state with each array in turn too short, too long, of another type, or gone."""
    spoilt = []
    for index, array in enumerate(state):
        longer = np.concatenate([array, array[:1] if array.size else [1]]).astype(array.dtype)
        for changed in (array[:-1], longer, array.astype(np.int16)):
            spoilt.append([*state[:index], changed, *state[index + 1 :]])
        spoilt.append(state[:index])
    return spoilt


@pytest.mark.parametrize("kernel", [name for name, case in KERNELS.items() if case.state])
def test_states_of_other_sizes_and_types_are_refused_or_harmless(kernel: str) -> None:
    case = KERNELS[kernel]
    refused = 0
    for spoilt in spoilt_states(case.state):
        try:
            run(kernel, case, state=spoilt)
        except StatusError as error:
            refused += "refused row 0" in str(error)
    assert refused >= 2 * len(case.state)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_output_more_is_refused(kernel: str) -> None:
    case = KERNELS[kernel]
    with pytest.raises(StatusError, match=f"{kernel} refused row 0"):
        run(kernel, case, widths=[*case.widths, 1])


@pytest.mark.parametrize("kernel", KERNELS)
def test_text_for_numbers_is_missing_and_numbers_for_text_are_refused(kernel: str) -> None:
    case = KERNELS[kernel]
    other = ["FP64" if datatype == "BYTES" else "BYTES" for datatype in case.inputs]
    if "BYTES" not in other:
        with pytest.raises(StatusError, match=f"{kernel} refused row 0"):
            run(kernel, case, inputs=other)
        return
    try:
        run(kernel, case, inputs=other)  # a chain's numbers are then missing ones
    except StatusError as error:
        if f"{kernel} refused row" not in str(error):
            raise


@pytest.mark.parametrize("kernel", KERNELS)
def test_outputs_that_are_no_floating_point_are_refused(kernel: str) -> None:
    with pytest.raises(StatusError, match="refused row 0"):
        run(kernel, KERNELS[kernel], dtype="INT16")


def test_text_is_no_number_for_a_chain() -> None:
    case = KernelCase(["BYTES"], [1], list(chain_state([[]])))
    assert np.isnan(run("chain", case)[0]).all()


@pytest.mark.parametrize("kernel", KERNELS)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_states_of_any_content_are_never_read_past(kernel: str, data: st.DataObject) -> None:
    """Run under AddressSanitizer this shows the read; here it shows that kernels end."""
    case = KERNELS[kernel]
    index = data.draw(st.integers(0, len(case.state) - 1))
    array = case.state[index]
    few = st.binary(min_size=array.nbytes, max_size=array.nbytes)
    many = st.builds(lambda seed: np.random.default_rng(seed).bytes(array.nbytes), st.integers(0, 2**32 - 1))
    raw = data.draw(few if array.nbytes <= 1024 else many)
    if array.dtype == np.uint64 and data.draw(st.booleans()):  # the right hashes, categories out of range
        wrong = data.draw(st.integers(0, 2**32 - 1))
        raw = np.where(array, (array >> np.uint64(32) << np.uint64(32)) | np.uint64(wrong), array).tobytes()
    spoilt = [*case.state[:index], np.frombuffer(raw, array.dtype), *case.state[index + 1 :]]
    try:
        made = run(kernel, case, state=spoilt)
    except StatusError as error:
        if "refused row" not in str(error):
            raise
    else:
        assert [each.shape for each in made] == [(ROWS, width) for width in case.widths]


@pytest.mark.parametrize("full", [1, np.iinfo(np.uint64).max])
def test_a_table_without_a_free_entry_ends_the_search(full: int) -> None:
    case = KERNELS["one_hot_text"]
    run("one_hot_text", case, state=[np.full_like(case.state[0], full), *case.state[1:]])


def test_tables_are_at_most_half_full_and_hold_every_category_once() -> None:
    for count in (0, 1, 2, 3, 4, 5, 100):
        values = tuple(str(number).encode() * 5 for number in range(count))
        entries, starts, firsts, text = lookup_arrays([Categories(values, False)])
        assert len(entries) == 4 * starts[1] >= 8 * count
        assert starts[1] & (starts[1] - 1) == 0
        assert sorted(set(entries[3::4].tolist()) - {0}) == list(range(1, count + 1))
        assert bytes(text) == b"".join(value for value in values if len(value) > 16)
        assert firsts.tolist() == [0, count]


def test_every_half_precision_number_widens_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    made = cast_plan([("x", "FP16")], output="out").program().run({"x": every})["out"]
    np.testing.assert_array_equal(made[:, 0], every.astype(np.float64))


@pytest.mark.skipif(not has_avx2(), reason="this machine has no AVX2")
@pytest.mark.parametrize("code", sorted(OPERATIONS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_an_operation_gives_the_same_bits_with_and_without_avx2(code: str, data: st.DataObject) -> None:
    count = OPERATIONS[code][1]
    size = data.draw(st.integers(1, 9)) if count < 0 else count
    constants = np.sort(data.draw(hnp.arrays(np.float64, size, elements=st.floats(-8, 8))))
    values = data.draw(hnp.arrays(np.float64, 37, elements=st.floats(width=64) | st.floats(-9, 9)))
    made = []
    for module in (chain, chain_avx2):
        program = Program(
            inputs=[("x", "FP64")],
            slots=[("x", "FP64", 0, -1, 0, 1), ("y", "FP64", -1, 0, 0, 1)],
            steps=[
                ("chain", module.KERNELS["chain"], chain_state([[Op(code, constants)]]), [(0, 0)], [1], 0)
            ],
            outputs=[("y", "FP64", 1, True)],
        )
        try:
            made.append(program.run({"x": values})["y"].tobytes())
        except StatusError as error:
            made.append(str(error).encode())  # constants that the operation does not take
    assert made[0] == made[1]
