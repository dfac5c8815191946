"""Missing and empty strings: what a bundle answers is what its model gives for the frame as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from small_models import onnx_model

import penstock
from penstock import transforms as t
from penstock.bundle.loading import open_bundle
from penstock.errors import BundleError, GoldenError, InputError, PenstockError

Column = list[str | None]

WORDS: Column = ["a", "b", "a", "b", "a"]
EMPTY: Column = ["", "a", "", "b", "a"]
MISSING: Column = [None, "a", None, "b", "a"]
BOTH: Column = [None, "a", "", "b", "a"]


def frame(column: Column, repeat: int = 40) -> dict[str, Column]:
    return {"s": column * repeat}


def one_hot() -> t.Transform:
    return t.OneHot("s")


def ordinal() -> t.Transform:
    return t.Ordinal("s", unknown="value", unknown_value=-1)


def strict() -> t.Transform:
    return t.Ordinal("s", missing_value=9)


def imputed() -> t.Transform:
    return t.Impute("s", "most_frequent")


def train(transforms: list[t.Transform], column: Column) -> tuple[t.Features, lgb.Booster]:
    """A model to which every category matters, missing and empty ones above all."""
    rows = frame(column)
    features = t.Features(transforms).fit(rows)
    target = [{None: 5.0, "": -3.0, "a": 1.0}.get(value, 0.0) for value in rows["s"]]
    settings = {"objective": "regression", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 1}
    data = lgb.Dataset(features.transform(rows), target, feature_name=features.output_names)
    return features, lgb.train(settings, data, 10)


def build(path: Path, model: object, features: t.Features, **options: Any) -> Any:
    return penstock.build(path, name="m", version="1", model=model, features=features, **options)


def input_of(bundle: Any) -> dict[str, Any]:
    (found,) = json.loads((bundle.path / "bundle.json").read_bytes())["inputs"]
    return dict(found)


@pytest.mark.parametrize("make", [one_hot, ordinal, strict])
@pytest.mark.parametrize(("column", "missing"), [(EMPTY, False), (MISSING, True), (WORDS, True)])
def test_what_training_saw_is_answered_as_the_model_does(
    tmp_path: Path, make: Any, column: Column, missing: bool
) -> None:
    features, model = train([make()], column)
    bundle = build(tmp_path, model, features, examples=frame(column, 2))
    assert input_of(bundle)["empty_is_missing"] is missing
    rows = frame(column, 1)
    answered = penstock.load(bundle).predict(rows)["prediction"]
    assert np.array_equal(answered, model.predict(features.transform(rows)))
    if None in column or "" in column:
        assert abs(answered[0] - answered[1]) > 1


@pytest.mark.parametrize("makes", [[one_hot], [ordinal], [imputed, one_hot]])
def test_a_training_column_of_both_is_refused(tmp_path: Path, makes: list[Any]) -> None:
    features, model = train([make() for make in makes], BOTH)
    with pytest.raises(InputError, match=r"'s' had missing strings and empty ones.*replace one of the two"):
        build(tmp_path, model, features)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_both_serves_once_one_of_them_has_a_word(tmp_path: Path) -> None:
    worded = ["none" if value is None else value for value in BOTH]
    features, model = train([one_hot()], worded)
    answered = penstock.load(build(tmp_path, model, features, examples=frame(worded, 1))).predict(
        frame(worded, 1)
    )
    assert np.array_equal(answered["prediction"], model.predict(features.transform(frame(worded, 1))))


def test_a_column_that_never_was_missing_can_still_be_imputed(tmp_path: Path) -> None:
    features, model = train([imputed(), one_hot()], WORDS)
    rows = frame([None, "b"], 1)
    answered = penstock.load(build(tmp_path, model, features, examples=rows)).predict(rows)["prediction"]
    assert np.array_equal(answered, model.predict(features.transform(rows)))
    assert answered[0] == penstock.load(tmp_path / "m" / "1").predict({"s": ["a"]})["prediction"][0]


@pytest.mark.parametrize(
    ("categories", "missing"), [(["a", "b", ""], False), (["a", "b", None], True), (["a"], True)]
)
def test_categories_that_are_given_count_as_seen(
    tmp_path: Path, categories: list[str | None], missing: bool
) -> None:
    features, model = train([t.OneHot("s", categories=categories)], WORDS)
    assert input_of(build(tmp_path, model, features))["empty_is_missing"] is missing


def test_given_categories_and_the_frame_together_may_be_both(tmp_path: Path) -> None:
    features, model = train([t.OneHot("s", categories=["a", ""])], MISSING)
    with pytest.raises(InputError, match=r"missing strings and empty ones"):
        build(tmp_path, model, features)


def test_examples_with_missing_strings_are_refused_where_empty_ones_are_text(tmp_path: Path) -> None:
    features, model = train([one_hot()], EMPTY)
    with pytest.raises(InputError, match=r"'s' has a missing string in row 1.*an empty string is text here"):
        build(tmp_path, model, features, examples=frame(["a", None], 1))
    assert list(tmp_path.iterdir()) == []


def test_examples_that_the_wire_would_change_are_refused(tmp_path: Path) -> None:
    features, model = train([imputed(), one_hot()], MISSING)
    with pytest.raises(
        GoldenError,
        match=r"m/1: example 1, output 'prediction': .*what LightGBM gives.*have empty strings in 's'",
    ):
        build(tmp_path, model, features, examples=frame(["a", "", None], 1))
    assert list(tmp_path.iterdir()) == []


def test_examples_that_a_transform_refuses_are_told_as_they_are(tmp_path: Path) -> None:
    features, model = train([t.Ordinal("s")], WORDS)
    with pytest.raises(InputError, match=r'^ordinal\(s\) refused row 1: ""$'):
        build(tmp_path, model, features, examples=frame(["a", ""], 1))


def test_an_onnx_model_with_features_follows_the_same_rule(tmp_path: Path) -> None:
    features = t.Features([one_hot()]).fit(frame(EMPTY))
    bundle = build(tmp_path, sums(len(features.output_names)), features, examples=frame(EMPTY, 1))
    assert input_of(bundle)["empty_is_missing"] is False
    assert penstock.load(bundle).predict(frame(EMPTY, 1))["y"].ravel().tolist() == [1, 2, 1, 3, 2]


def sums(width: int) -> onnx.ModelProto:
    """y: the number of the column that is 1, counted from 1."""
    return onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.DOUBLE, [None, width])],
        [("y", TensorProto.DOUBLE, [None, 1])],
        [helper.make_tensor("w", TensorProto.DOUBLE, [width, 1], [1.0 + i for i in range(width)])],
    )


def test_a_manifest_that_contradicts_its_transforms_is_refused(tmp_path: Path) -> None:
    features, model = train([one_hot()], EMPTY)
    bundle = build(tmp_path, model, features)
    manifest = json.loads((bundle.path / "bundle.json").read_bytes())
    manifest["inputs"][0]["empty_is_missing"] = True
    (bundle.path / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"m/1: bundle.json says .* mean missing: s; .* for: no column"):
        open_bundle(bundle.path)


texts = st.sampled_from(["", "a", "b", "never seen", None])


@given(
    st.lists(texts, min_size=1, max_size=6),
    st.lists(texts, min_size=1, max_size=6),
    st.sampled_from([[one_hot], [ordinal], [imputed, one_hot]]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_built_answers_its_examples_as_the_library(
    tmp_path: Path, trained: Column, asked: Column, makes: list[Any]
) -> None:
    """Or it is refused: there is no third outcome."""
    try:
        features = t.Features([make() for make in makes]).fit(frame(trained, 1))
        model = sums(len(features.output_names))
        bundle = build(tmp_path, model, features, examples=frame(asked, 1), overwrite=True)
    except PenstockError:
        return
    weights = np.arange(1.0, 1 + len(features.output_names))
    expected = features.transform(frame(asked, 1)) @ weights
    assert penstock.load(bundle).predict(frame(asked, 1))["y"].ravel() == pytest.approx(expected, nan_ok=True)
