"""scikit-learn's trees and forests: what they answer, and what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from forest_models import CATEGORICAL, SCIKIT_LEARN, WIDTH, answers, fitted, matrix, targets
from forest_serving import edges, loaded, run
from forest_walk import describe
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import ensemble, tree
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression

from penstock import models
from penstock.errors import ModelError
from penstock.models import forest_scikit_learn


def rows(name: str, count: int = 200, seed: int = 9) -> np.ndarray:
    """What the estimator takes: known and unknown categories, gaps and infinities where it knows them."""
    x = matrix(count, seed, SCIKIT_LEARN[name].missing)
    if "histogram" in name:
        x[:8, CATEGORICAL] = [5, 12, -1, 200, 255, 256, 3e9, -1e300]
        x[8:10, 0] = [np.inf, -np.inf]
    return x


@pytest.mark.parametrize("name", SCIKIT_LEARN)
def test_predictions_are_scikit_learns(tmp_path: Path, name: str) -> None:
    estimator, x = fitted("scikit-learn", name), rows(name)
    executor = loaded(estimator, tmp_path)
    for given_ in (x, edges(models.prepare(estimator).content, x)):
        ours, theirs = run(executor, given_), answers(estimator, given_)
        assert (ours.dtype, ours.shape) == (np.float64, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["random forest, words", "histogram, words and categories"])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 70), near=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_rows_are_answered_as_by_scikit_learn(
    tmp_path_factory: Any, name: str, seed: int, count: int, near: bool
) -> None:
    estimator, x = fitted("scikit-learn", name), matrix(count, seed)
    x = edges(models.prepare(estimator).content, x, seed) if near else x
    ours = run(loaded(estimator, tmp_path_factory.mktemp("model")), x)
    np.testing.assert_allclose(ours, answers(estimator, x), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", SCIKIT_LEARN)
def test_one_row_has_the_bits_that_it_has_in_a_batch(tmp_path: Path, name: str) -> None:
    executor, x = loaded(fitted("scikit-learn", name), tmp_path), rows(name, 67)
    alone = np.concatenate([run(executor, row[None]) for row in x])
    assert alone.tobytes() == run(executor, x).tobytes()


def test_every_estimator_has_a_case() -> None:
    tried = {type(case.make()).__name__ for case in SCIKIT_LEARN.values()}
    assert tried == set(forest_scikit_learn.ESTIMATORS)


@pytest.mark.parametrize("name", SCIKIT_LEARN)
def test_covers_count_the_rows_that_came_by(name: str) -> None:
    arrays = safetensors.numpy.load(models.prepare(fitted("scikit-learn", name)).content)
    split = leaf = 0
    for splits in arrays["splits"].tolist():
        covers = arrays["leaf_covers"][leaf : leaf + splits + 1]
        if splits:
            assert arrays["covers"][split] == pytest.approx(covers.sum())
        assert (covers > 0).all()
        split, leaf = split + splits, leaf + splits + 1


def test_the_file_says_what_was_fitted() -> None:
    about = describe(models.prepare(fitted("scikit-learn", "gradient boosting, exponential")).content)
    assert about == {
        "kind": "forest",
        "format": 1,
        "origin": "scikit-learn",
        "estimator": "GradientBoostingClassifier",
        "link": "sigmoid",
        "scale": 2.0,
        "divisor": 1.0,
        "single_precision": True,
        "classes": [0, 1],
        "feature_names": [f"x{i}" for i in range(WIDTH)],
        "named": False,
    }
    about = describe(models.prepare(fitted("scikit-learn", "random forest, words")).content)
    assert (about["classes"], about["divisor"], about["link"]) == (["no", "perhaps", "sí"], 8.0, "identity")


def test_a_frames_columns_are_the_feature_names(tmp_path: Path) -> None:
    frame = pd.DataFrame(matrix(), columns=[f"größe {i}" for i in range(WIDTH)])
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=3, categorical_features=["größe 4"])
    prepared = models.prepare(estimator.fit(frame, targets(matrix())["number"]))
    assert prepared.named
    assert prepared.feature_names == tuple(frame.columns)
    np.testing.assert_allclose(
        run(loaded(estimator, tmp_path), matrix(50, 3)),
        estimator.predict(pd.DataFrame(matrix(50, 3), columns=frame.columns)),
        rtol=1e-12,
    )


def test_the_features_may_be_single_precision(tmp_path: Path) -> None:
    estimator = fitted("scikit-learn", "random forest")
    executor = loaded(estimator, tmp_path, datatype="FP32")
    assert executor.inputs == [("features", "FP32", (-1, WIDTH))]
    x = edges(models.prepare(estimator).content, matrix(50, 3))
    assert run(executor, x.astype(np.float32)).tobytes() == run(loaded(estimator, tmp_path), x).tobytes()


def test_where_scikit_learn_refuses_a_gap_it_goes_with_most_training_rows(tmp_path: Path) -> None:
    x = matrix(missing=False)
    stump = ensemble.GradientBoostingRegressor(n_estimators=1, max_depth=1, init="zero", learning_rate=1)
    nodes = stump.fit(x, x[:, 0] > 1).estimators_[0, 0].tree_
    sizes = nodes.n_node_samples[1:]
    assert sizes[0] != sizes[1]
    gaps = np.full((1, WIDTH), np.nan)
    assert run(loaded(stump, tmp_path), gaps)[0] == nodes.value[1 + np.argmax(sizes), 0, 0]


def test_a_fraction_of_a_category_is_cut_off(tmp_path: Path) -> None:
    executor = loaded(fitted("scikit-learn", "histogram, categories"), tmp_path)
    whole, halves = matrix(50, 3), matrix(50, 3)
    halves[:, CATEGORICAL] += 0.5
    np.testing.assert_array_equal(run(executor, halves), run(executor, whole))


def frame_of_words() -> pd.DataFrame:
    words = np.array(["up", "down", "left"])[np.arange(400) % 3]
    return pd.DataFrame({"a": matrix()[:, 0], "way": pd.Categorical(words)})


REFUSED = {
    "not fitted": (lambda: ensemble.RandomForestRegressor(), "RandomForestRegressor is not fitted. Call fit"),
    "several targets of classes": (
        lambda: tree.DecisionTreeClassifier().fit(matrix(), targets(matrix())["labels"]),
        "fitted on 2 targets, whose probabilities are no one table. Fit one classifier a target",
    ),
    "one class": (
        lambda: ensemble.RandomForestClassifier(2).fit(matrix(), np.ones(400, int)),
        "fitted on one class, 1: there is nothing to predict",
    ),
    "a model to begin with": (
        lambda: ensemble.GradientBoostingRegressor(init=LinearRegression(), n_estimators=2).fit(
            matrix(missing=False), targets(matrix(missing=False))["number"]
        ),
        "begins with a LinearRegression, a model of its own. Fit it with init='zero'",
    ),
    "chance to begin with": (
        lambda: ensemble.GradientBoostingClassifier(
            init=DummyClassifier(strategy="stratified"), n_estimators=2
        ).fit(matrix(missing=False), targets(matrix(missing=False))["two"]),
        "begins with a DummyClassifier",
    ),
    "words as categories": (
        lambda: ensemble.HistGradientBoostingRegressor(max_iter=2).fit(
            frame_of_words(), targets(matrix())["number"]
        ),
        r"categories in 'way' that are no whole numbers from 0 up: 'down', .* penstock\.transforms\.Ordinal",
    ),
    "fractions as categories": (
        lambda: ensemble.HistGradientBoostingRegressor(max_iter=2, categorical_features=[5]).fit(
            matrix(), targets(matrix())["number"]
        ),
        r"categories in 'x5' that are no whole numbers from 0 up: -0\.5, ",
    ),
    "a forest of outliers": (
        lambda: ensemble.IsolationForest(n_estimators=2).fit(matrix()),
        "A scikit-learn IsolationForest cannot be put in a bundle as it is.* RandomForestClassifier, ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_with_what_to_do(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(ModelError, match=words):
        models.prepare(make())


def test_a_derived_class_is_refused_since_it_may_predict_otherwise() -> None:
    class Doubled(tree.DecisionTreeRegressor):
        def predict(self, x: Any, check_input: bool = True) -> Any:
            return 2 * super().predict(x, check_input)

    with pytest.raises(ModelError, match="A scikit-learn Doubled cannot be put in a bundle"):
        models.prepare(Doubled().fit(matrix(), targets(matrix())["number"]))
