"""The operations of chains: what each takes, and that no forged constants make it read past them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import COLUMNS, KernelCase, run
from scipy.special import ndtri

from penstock._kernels.chain import OPERATIONS
from penstock.errors import StatusError
from penstock.transforms.plan import Output, chain_state
from penstock.transforms.planner import make_plan
from penstock.transforms.steps import Map, Op, op

COUNTED = {name: count for name, (_, count) in OPERATIONS.items() if count >= 0}


def chained(*ops: Op) -> np.ndarray:
    return run("chain", KernelCase(["FP64"], [1], list(chain_state([ops]))))[0][:, 0]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_takes_its_number_of_constants_and_no_other(name: str) -> None:
    count = OPERATIONS[name][1]
    if count >= 0:
        assert chained(Op(name, np.ones(count))).shape == (7,)
    for other in {0, 1, 2, 3, 4} - {count}:
        if count < 0 and (name == "bucketize" or other == 4):
            assert chained(Op(name, np.ones(other))).shape == (7,)
        else:
            with pytest.raises(StatusError, match="chain refused row 0"):
                chained(Op(name, np.ones(other)))


@pytest.mark.parametrize(
    "name", sorted(set(OPERATIONS) - {"fill", "is_missing", "sign_bit", "is_finite", "is_infinite"})
)
def test_an_operation_keeps_missing_values_unless_it_says_otherwise(name: str) -> None:
    made = chained(Op(name, np.ones(max(OPERATIONS[name][1], 4 if name == "rank" else 0))))
    assert np.isnan(made[1])
    assert np.isnan(COLUMNS["FP64"][1])


@pytest.mark.parametrize("code", [0, -1, 63, 64, 10**6, -(2**31), 2**31 - 1])
def test_a_code_of_no_operation_is_refused(code: int) -> None:
    state = list(chain_state([[Op("square", np.empty(0))]]))
    state[1] = np.array([code], np.int32)
    with pytest.raises(StatusError, match="chain refused row 0"):
        run("chain", KernelCase(["FP64"], [1], state))


@pytest.mark.parametrize("offsets", [[0, -1], [1, 0], [0, 2], [-1, 1], [-(2**63), 1], [-2, 2**63 - 1]])
def test_constants_from_outside_the_state_are_refused(offsets: list[int]) -> None:
    """[-(2**63), 1] and [-2, 2**63 - 1] are further apart than a number of 64 bits says."""
    state = list(chain_state([[op("binarize", 0.5)]]))
    state[2] = np.array(offsets)
    with pytest.raises(StatusError, match="chain refused row 0"):
        run("chain", KernelCase(["FP64"], [1], state))


@given(st.sampled_from(sorted(OPERATIONS)), st.lists(st.floats(), max_size=9))
@settings(max_examples=400, deadline=None)
def test_constants_of_any_content_are_never_read_past(name: str, constants: list[float]) -> None:
    try:
        made = chained(Op(name, np.array(constants, np.float64)))
    except StatusError as error:
        if "chain refused row 0" not in str(error):
            raise
    else:
        assert made.shape == (7,)


def test_operations_follow_one_another() -> None:
    made = chained(Op("fill", np.array([4.0])), Op("sqrt", np.empty(0)), Op("affine", np.array([2.0, 1.0])))
    np.testing.assert_array_equal(made[:2], [2 * np.sqrt(7.0) + 1, 5.0])


@given(st.floats(0, 1) | st.floats(0, 1e-5) | st.floats(0, 1e-5).map(lambda rank: 1 - rank))
@settings(deadline=None, max_examples=500)
def test_the_normal_quantile_is_exact_in_the_tails_too(rank: float) -> None:
    plan = make_plan(
        [("x", "FP64")],
        [Map("x", "y", (op("normal_quantile"),))],
        [Output("y", "FP64", ("y",), flat=True)],
    )
    made = plan.program().run({"x": np.array([rank, -0.1, 1.1, np.nan])})["y"]
    np.testing.assert_allclose(made, [ndtri(rank), np.nan, np.nan, np.nan], rtol=1e-13, atol=1e-300)
