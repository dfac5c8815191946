"""The linear executor through the extension, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from executor_probe import INVALID_ARGUMENT
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from penstock._core import Executor, Version
from penstock.errors import StatusError

Array = np.ndarray[Any, Any]
NUMBERS = st.floats(-1e3, 1e3, width=32)
LINKS = ("identity", "log", "logistic", "softmax", "one_versus_rest")


def run(executor: Executor, x: Array) -> Array:
    version = Version(model="m", version="1", digest="", executor=executor)
    return version.run({"features": x})["prediction"]


def reference(link: str, scores: Array) -> Array:
    """In extended precision, so that its own rounding does not count; what underflows in double precision
    is 0 here too.
    """
    s = scores.astype(np.longdouble)
    with np.errstate(over="ignore", invalid="ignore"):
        logistic = 1 / (1 + np.exp(-s))
        if link == "softmax":
            powers = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(np.longdouble))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)
        if link == "one_versus_rest":
            logistic = np.where(logistic < np.finfo(np.float64).smallest_subnormal / 2, 0, logistic)
            total = logistic.sum(axis=1, keepdims=True)
            return np.asarray(np.where(total == 0, 1 / s.shape[1], logistic / total), np.float64)
        return np.asarray({"identity": s, "log": np.exp(s), "logistic": logistic}[link], np.float64)


@st.composite
def models_and_rows(draw: st.DrawFn) -> tuple[str, Array, Array, Array]:
    link = draw(st.sampled_from(LINKS))
    outputs = 1 if link == "logistic" else draw(st.integers(2, 5))
    width, rows = draw(st.integers(1, 40)), draw(st.integers(1, 20))
    return (
        link,
        draw(arrays(np.float64, (outputs, width), elements=NUMBERS)),
        draw(arrays(np.float64, outputs, elements=NUMBERS)),
        draw(arrays(np.float64, (rows, width), elements=NUMBERS)),
    )


@given(drawn=models_and_rows())
@settings(max_examples=200, deadline=None)
def test_every_link_is_numpys_and_the_same_bits_row_by_row(drawn: tuple[str, Array, Array, Array]) -> None:
    link, coefficients, intercepts, x = drawn
    executor = Executor.linear(coefficients, intercepts, link=link)
    ours = run(executor, x)
    alone = np.concatenate([run(executor, row[None]) for row in x])
    assert alone.tobytes() == ours.tobytes()
    # What is compared is the link: the sums may differ by some roundings of their largest term.
    scores = x @ coefficients.T + intercepts
    assume(link != "one_versus_rest" or (scores.max(axis=1) > -700).all())  # where doubles lose their bits
    slack = 1e-14 * (np.abs(x) @ np.abs(coefficients).T + np.abs(intercepts)).max(axis=1)[:, None]
    expected = reference(link, scores)
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = 2 * slack + 1e-15 if link != "log" else (2 * slack + 1e-15) * expected + 1e-320
        near = np.abs(ours.reshape(expected.shape) - expected) <= allowed
    assert np.all(near | (ours.reshape(expected.shape) == expected))


@given(scores=arrays(np.float64, (10, 3), elements=st.floats(-700, 700)), link=st.sampled_from(LINKS))
@settings(max_examples=200, deadline=None)
def test_a_link_is_right_to_the_last_bits(scores: Array, link: str) -> None:
    scores = scores[:, :1] if link == "logistic" else scores
    # Each row has its scores as features, so that the sums are exact.
    executor = Executor.linear(np.eye(scores.shape[1]), np.zeros(scores.shape[1]), link=link)
    ours = run(executor, scores).reshape(scores.shape)
    np.testing.assert_allclose(ours, reference(link, scores), rtol=2e-15, atol=1e-320)


def test_single_precision_rows_are_summed_in_double_precision() -> None:
    x = np.random.default_rng(1).normal(size=(9, 33)).astype(np.float32)
    coefficients = np.random.default_rng(2).normal(size=(1, 33))
    wide = Executor.linear(coefficients, np.ones(1), link="identity")
    narrow = Executor.linear(coefficients, np.ones(1), link="identity", dtype="FP32")
    assert wide.inputs == [("features", "FP64", (-1, 33))]
    assert narrow.inputs == [("features", "FP32", (-1, 33))]
    assert run(narrow, x).tobytes() == run(wide, x.astype(np.float64)).tobytes()


def test_coefficients_are_copied_whatever_their_layout() -> None:
    coefficients = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    executor = Executor.linear(coefficients, np.zeros(2), link="identity")
    coefficients[:] = 0
    assert run(executor, np.array([[1.0, 10.0, 100.0]])).tolist() == [[210.0, 543.0]]


def test_it_says_what_it_is() -> None:
    executor = Executor.linear(np.ones((1, 2)), np.zeros(1), link="logistic")
    assert executor.description.startswith("linear, cpu, ")
    assert executor.outputs == [("prediction", "FP64", (-1,))]


@pytest.mark.parametrize(
    ("coefficients", "intercepts", "options", "words"),
    [
        (np.ones(3), np.zeros(1), {}, r"coefficients have the shape \[3\], intercepts \[1\]; \[outputs, fea"),
        (np.ones((2, 3)), np.zeros(3), {}, r"the shape \[2, 3\], intercepts \[3\]"),
        (np.ones((1, 0)), np.zeros(1), {}, "0 coefficients and 1 intercepts"),
        (np.ones((0, 3)), np.zeros(0), {}, "0 coefficients and 0 intercepts"),
        (np.full((1, 1), np.nan), np.zeros(1), {}, "coefficient 0 is nan; finite numbers"),
        (np.ones((1, 1)), np.zeros(1), {"link": "cauchit"}, "no link 'cauchit'; expected one of identity"),
        (np.ones((2, 1)), np.zeros(2), {"link": "logistic"}, "has 2 outputs; expected one"),
        (np.ones((1, 1)), np.zeros(1), {"dtype": "INT8"}, "FP64 or FP32, not INT8"),
        (np.ones((1, 1)), np.zeros(1), {"dtype": "FP65"}, "'FP65' is no datatype"),
    ],
)
def test_what_is_no_model_is_refused(
    coefficients: Array, intercepts: Array, options: dict[str, str], words: str
) -> None:
    with pytest.raises(StatusError, match=words) as caught:
        Executor.linear(coefficients, intercepts, **{"link": "identity", **options})
    assert caught.value.status == INVALID_ARGUMENT
