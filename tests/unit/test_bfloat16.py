"""bfloat16 against the definition: the nearest value whose lower half is zero, ties to the even one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penstock.bfloat16 import bits_of, values_of

floats = hnp.arrays(np.dtype("<f4"), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))


@given(st.integers(0, 2**16 - 1))
def test_every_bfloat16_comes_back_as_it_was(bits: int) -> None:
    given = np.array([bits], np.uint16)
    values = values_of(given)
    assert values.dtype == np.float32
    assert values.view(np.uint32)[0] == bits << 16
    # A signalling NaN comes back as a quiet one.
    expected = bits | 0x40 if np.isnan(values[0]) else bits
    assert bits_of(values).tolist() == [expected]


@given(floats)
def test_rounding_gives_the_nearer_neighbour_in_the_same_shape(array: np.ndarray[Any, Any]) -> None:
    back = values_of(bits_of(array))
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(array))
    finite = np.isfinite(back)
    exact, near = array[finite].astype("f8"), back[finite].astype("f8")
    bits = bits_of(array)[finite]
    for step in (-1, 1):
        other = values_of((bits.astype("i4") + step).astype("u2"))
        comparable = np.isfinite(other)
        distance = np.abs(other[comparable].astype("f8") - exact[comparable])
        assert np.all(np.abs(near[comparable] - exact[comparable]) <= distance)
    np.testing.assert_array_equal(back[np.isinf(array)], array[np.isinf(array)])


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1 + 2**-8, 0x3F80),  # halfway between 1 and 1 + 2**-7
        (1 + 3 * 2**-8, 0x3F82),  # halfway between 1 + 2**-7 and 1 + 2**-6
        (1 + 2**-8 + 2**-23, 0x3F81),
        (-0.0, 0x8000),
        (3.4e38, 0x7F80),  # beyond the largest
        (np.nan, 0x7FC0),
    ],
)
def test_ties_go_to_the_even_one_and_what_is_too_large_to_infinity(value: float, bits: int) -> None:
    assert bits_of(np.array([value], np.float32)).tolist() == [bits]


def test_strided_and_big_endian_arrays_are_read_as_their_values() -> None:
    array = np.array([1, 9, -2, 9], ">f4")[::2]
    assert bits_of(array).tolist() == [0x3F80, 0xC000]
    assert values_of(bits_of(array)[::-1]).tolist() == [-2.0, 1.0]
