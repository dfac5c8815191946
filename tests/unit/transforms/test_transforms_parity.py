"""The compiled kernels against scikit-learn and NumPy, on generated rows, for all of the registry."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from parity_cases import PARITY, Case

from penstock import transforms as t
from penstock.errors import TransformError

CASES = [pytest.param(case, id=f"{kind}: {case}") for kind, cases in PARITY.items() for case in cases]
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def features_for(case: Case) -> t.Features:
    made = case.make()
    text = isinstance(made, t.Impute) and case.name.endswith("text")
    return t.Features([made, t.OneHot("x")] if text else [made])


@pytest.mark.parametrize("kind", sorted(t.REGISTRY))
def test_every_registered_transform_has_parity_cases(kind: str) -> None:
    assert PARITY[kind], f"{kind} has no parity case"
    assert {case.make().kind for case in PARITY[kind]} == {kind}


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
@quick
def test_transform_gives_what_the_reference_gives(case: Case, data: st.DataObject) -> None:
    train, rows = data.draw(case.train, "train"), data.draw(case.rows, "rows")
    features = features_for(case)
    try:
        features.fit({"x": train})
    except TransformError as error:
        assume("leave no column" not in str(error))  # a single category that is dropped
        raise
    made = features.transform({"x": rows})
    with np.errstate(all="ignore"):
        expected = np.asarray(case.reference(train, rows), np.float64)
    assert made.dtype == np.float64
    assert made.shape == (len(rows), len(features.output_names)) == expected.shape
    if case.exact:
        np.testing.assert_array_equal(made, expected)
    else:
        np.testing.assert_allclose(made, expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
@settings(quick, max_examples=5)
def test_single_precision_saved_and_single_rows_agree_to_the_bit(case: Case, data: st.DataObject) -> None:
    train, rows = data.draw(case.train, "train"), data.draw(case.rows, "rows")
    features = features_for(case)
    try:
        features.fit({"x": train})
    except TransformError:
        assume(False)
    made = features.transform({"x": rows})
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(features.transform({"x": rows}, "FP32"), made.astype(np.float32))
    document = json.loads(json.dumps(features.document(), allow_nan=False))
    again = t.Features.from_saved(document, features.arrays())
    assert again.output_names == features.output_names
    assert again.inputs == features.inputs
    for row in range(min(len(rows), 5)):
        alone = again.transform({"x": rows[row : row + 1]})
        assert bits(alone[0]) == bits(made[row])


def bits(row: Any) -> bytes:
    """The bytes of a row, with one NaN for all."""
    return np.where(np.isnan(row), np.nan, row).tobytes()
