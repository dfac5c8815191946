"""One-hot columns folded into a linear model's coefficients: the same sums, of fewer columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

import penstock
from penstock import transforms as t
from penstock.errors import InputError
from penstock.frames import as_datatype
from penstock.transforms.folding import fold
from penstock.transforms.plan import Plan

TRAIN: dict[str, Any] = {
    "a": [1.0, None, 3.0, 4.0, 0.5, 2.0],
    "c": ["x", "y", None, "z", "x", "w"],
    "d": [1, 2, 3, 7, 7, 1],
    "e": ["u", "v", "u", "u", "v", "t"],
}
LATER: dict[str, Any] = {
    "a": [None, 2.0, 1e3, -4.0],
    "c": ["w", None, "unknown", "y"],
    "d": [7, 8, 1, 2],
    "e": ["", "t", "v", "u"],
}


def run(features: t.Features, plan: Plan, frame: dict[str, Any]) -> Any:
    given = {name: as_datatype(frame[name], datatype, name) for name, datatype in plan.inputs}
    assert dict(plan.inputs) == dict(features.inputs)
    return plan.program().run(given)["features"]


@given(st.integers(1, 4), st.sampled_from([None, "first", "if_binary"]), st.randoms())
@settings(max_examples=60, deadline=None)
def test_sums_are_those_of_the_whole_matrix(outputs: int, drop: Any, random: Any) -> None:
    transforms = [t.OneHot(["c", "d"], drop=drop), t.Impute("a"), t.OneHot("e", drop=drop)]
    random.shuffle(transforms)
    features = t.Features(transforms).fit(TRAIN)
    rng = np.random.default_rng(random.randrange(2**32))
    coefficients = rng.normal(size=(outputs, len(features.output_names)))
    plan, fewer = fold(features.plan(), coefficients)
    assert fewer.shape[0] == outputs
    assert fewer.shape[1] == len(plan.outputs[0].columns) < coefficients.shape[1] or outputs > 1
    for frame in (TRAIN, LATER):
        expected = features.transform(frame) @ coefficients.T
        np.testing.assert_allclose(run(features, plan, frame) @ fewer.T, expected, rtol=1e-12, atol=1e-12)


def test_one_output_takes_one_column_of_each_block() -> None:
    features = t.Features([t.OneHot(["c", "e"]), t.Select("d")]).fit(TRAIN)
    plan, fewer = fold(features.plan(), np.arange(9.0)[None])
    assert plan.outputs[0].columns == ("coefficient of c", "coefficient of e", "d")
    assert [call.kernel for call in plan.calls] == ["ordinal_text", "chain"]
    np.testing.assert_array_equal(fewer, [[1, 1, 8]])


def test_blocks_no_wider_than_the_outputs_stay() -> None:
    features = t.Features([t.OneHot("e")]).fit(TRAIN)
    coefficients = np.ones((3, 3))
    plan = features.plan()
    assert fold(plan, coefficients) == (plan, coefficients)


def test_a_block_that_is_read_again_stays() -> None:
    features = t.Features([t.OneHot("c"), t.Copy("c=x", "more"), t.Standardize("more")]).fit(TRAIN)
    plan, _ = fold(features.plan(), np.ones((1, len(features.output_names))))
    assert "one_hot_text" in [call.kernel for call in plan.calls]


@pytest.mark.parametrize("column", ["c", "e"])
def test_refused_values_are_refused_as_before(column: str) -> None:
    features = t.Features([t.OneHot(column, unknown="error")]).fit(TRAIN)
    plan, _ = fold(features.plan(), np.ones((1, len(features.output_names))))
    frame = {column: [TRAIN[column][0], "never"]}
    with pytest.raises(InputError) as before:
        features.transform(frame)
    with pytest.raises(Exception, match="refused row 1") as after:
        run(features, plan, frame)
    assert str(after.value) == str(before.value)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_bundle_answers_as_the_estimator_on_the_whole_matrix(tmp_path: Any, classes: int) -> None:
    features = t.Features([t.Impute("a"), t.OneHot(["c", "e"])]).fit(TRAIN)
    labels = [index % classes for index in range(6)]
    model = LogisticRegression().fit(features.transform(TRAIN), labels)
    bundle = penstock.build(tmp_path, name="m", version="1", model=model, features=features)
    made = penstock.load(bundle).predict(LATER)["prediction"]
    expected = model.predict_proba(features.transform(LATER))
    np.testing.assert_allclose(made, expected[:, 1] if classes == 2 else expected, rtol=1e-12)


def test_a_model_of_single_precision_keeps_its_matrix(tmp_path: Any) -> None:
    features = t.Features([t.OneHot(["c", "e"])]).fit(TRAIN)
    model = LinearRegression().fit(features.transform(TRAIN), np.arange(6.0))
    bundle = penstock.build(
        tmp_path, name="m", version="1", model=model, features=features, model_options={"datatype": "FP32"}
    )
    made = penstock.load(bundle).predict(LATER)["prediction"]
    np.testing.assert_allclose(made, model.predict(features.transform(LATER)), rtol=1e-6)
