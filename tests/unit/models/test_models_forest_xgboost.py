"""XGBoost's models: what they answer, in which form they come, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import xgboost as xgb
from forest_models import CATEGORICAL, TYPES, WIDTH, XGBOOST, answers, fitted, matrix, targets
from forest_serving import edges, loaded, run
from forest_walk import describe
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import models
from penstock.errors import ModelError
from penstock.models import forest_xgboost


def rows(name: str, count: int = 200, seed: int = 9) -> np.ndarray:
    """Known and unknown categories, and gaps."""
    x = matrix(count, seed, XGBOOST[name].missing)
    x[:9, CATEGORICAL] = [5, 12, -1, 200, 2.5, -7.5, 2**24 - 1, 2**24, 3e9]
    return x


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    """XGBoost adds in single precision, where every step is rounded to the size of the sum."""
    assert (ours.dtype, ours.shape) == (np.float64, theirs.shape)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=3e-7 * np.abs(theirs).max())


@pytest.mark.parametrize("name", XGBOOST)
def test_predictions_are_xgboosts(tmp_path: Path, name: str) -> None:
    model, x = fitted("xgboost", name), rows(name)
    executor = loaded(model, tmp_path)
    for given_ in (x, edges(models.prepare(model).content, x)):
        close(run(executor, given_), answers(model, given_))


@pytest.mark.parametrize("name", ["sets of categories", "dart", "forests boosted", "trees of vectors"])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 70), near=st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_rows_are_answered_as_by_xgboost(
    tmp_path_factory: Any, name: str, seed: int, count: int, near: bool
) -> None:
    model, x = fitted("xgboost", name), matrix(count, seed)
    x = edges(models.prepare(model).content, x, seed) if near else x
    close(run(loaded(model, tmp_path_factory.mktemp("model")), x), answers(model, x))


def test_sums_are_those_of_the_leaves_that_xgboost_reaches_in_double_precision(tmp_path: Path) -> None:
    model, x = fitted("xgboost", "large numbers"), rows("large numbers")
    learner = json.loads(bytes(model.save_raw("json")))["learner"]
    trees = learner["gradient_booster"]["model"]["trees"]
    data = xgb.DMatrix(x, feature_types=TYPES, enable_categorical=True)
    leaves = model.predict(data, pred_leaf=True).astype(int)
    (base,) = json.loads(learner["learner_model_param"]["base_score"])
    sums = np.full(len(x), float(np.float32(base)))
    for tree, reached in zip(trees, leaves.T, strict=True):
        sums += np.array(tree["split_conditions"], np.float32).astype(float)[reached]
    np.testing.assert_allclose(run(loaded(model, tmp_path), x), sums, rtol=1e-15)


@pytest.mark.parametrize("name", XGBOOST)
def test_one_row_has_the_bits_that_it_has_in_a_batch(tmp_path: Path, name: str) -> None:
    executor, x = loaded(fitted("xgboost", name), tmp_path), rows(name, 67)
    alone = np.concatenate([run(executor, row[None]) for row in x])
    assert alone.tobytes() == run(executor, x).tobytes()


def test_every_objective_of_xgboost_has_a_case() -> None:
    tried = {describe(models.prepare(fitted("xgboost", name)).content)["estimator"] for name in XGBOOST}
    assert tried | {"reg:linear"} == set(forest_xgboost.OBJECTIVES)  # an older name of reg:squarederror
    with pytest.raises(xgb.core.XGBoostError) as error:
        xgb.train({"objective": "?"}, xgb.DMatrix(matrix(), targets(matrix())["number"]), 1)
    known = {line.split(": ")[1] for line in str(error.value).splitlines() if "candidate: " in line}
    assert known - set(forest_xgboost.OBJECTIVES) <= {"rank:map", "reg:expectileerror"}


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize("name", ["sets of categories", "dart", "two targets", "trees of vectors"])
def test_a_file_is_the_model_that_was_saved(tmp_path: Path, name: str, form: str) -> None:
    model = fitted("xgboost", name)
    path = tmp_path / f"any.{form}"
    model.save_model(path)
    expected = models.prepare(model)
    for given_ in (path, str(path), path.read_bytes()):
        prepared = models.prepare(given_)
        assert prepared.content == expected.content
        assert (prepared.kind, prepared.feature_names) == ("forest", tuple(f"f{i}" for i in range(WIDTH)))
        assert not prepared.named


def test_names_are_those_of_the_matrix(tmp_path: Path) -> None:
    names = [f"größe {i}" for i in range(WIDTH)]
    data = xgb.DMatrix(matrix(), targets(matrix())["number"], feature_names=names)
    booster = xgb.train({"nthread": 1}, data, 2)
    booster.save_model(tmp_path / "m.json")
    for model in (booster, tmp_path / "m.json"):
        prepared = models.prepare(model)
        assert (prepared.named, prepared.feature_names) == (True, tuple(names))


def test_the_file_says_what_was_fitted() -> None:
    assert describe(models.prepare(fitted("xgboost", "classifier of three")).content) == {
        "kind": "forest",
        "format": 1,
        "origin": "XGBoost",
        "estimator": "multi:softprob",
        "link": "softmax",
        "scale": 1.0,
        "divisor": 1.0,
        "single_precision": True,
        "classes": [0, 1, 2],
        "feature_names": [f"f{i}" for i in range(WIDTH)],
        "named": False,
    }
    assert describe(models.prepare(fitted("xgboost", "two labels")).content)["classes"] is None
    assert describe(models.prepare(fitted("xgboost", "classifier")).content)["classes"] == [0, 1]


def stopped(rounds: int = 40, **options: Any) -> xgb.XGBClassifier:
    """Its last rounds make it worse."""
    x, y = matrix(), targets(matrix())["level"]
    estimator = xgb.XGBClassifier(
        n_estimators=rounds, n_jobs=1, early_stopping_rounds=5, learning_rate=1.0, **options
    )
    return estimator.fit(x[:200], y[:200], eval_set=[(x[200:], y[200:])], verbose=False)


@pytest.mark.parametrize("options", [{}, {"num_parallel_tree": 3, "subsample": 0.5}, {"booster": "dart"}])
def test_an_estimator_stops_at_its_best_round_and_so_does_its_file(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    estimator = stopped(**options)
    assert 0 < estimator.best_iteration + 1 < estimator.get_booster().num_boosted_rounds()
    x = matrix(50, 3)
    close(run(loaded(estimator, tmp_path), x), answers(estimator, x))
    for form in ("json", "ubj"):
        estimator.save_model(tmp_path / f"m.{form}")
        close(run(loaded(tmp_path / f"m.{form}", tmp_path), x), answers(estimator, x))


def test_a_booster_uses_all_rounds_as_its_predict_does_and_so_does_its_file(tmp_path: Path) -> None:
    booster, x = stopped().get_booster(), matrix(50, 3)
    close(run(loaded(booster, tmp_path), x), answers(booster, x))
    booster.save_model(tmp_path / "m.ubj")
    close(run(loaded(tmp_path / "m.ubj", tmp_path), x), answers(booster, x))
    best = booster[: booster.best_iteration + 1]
    close(run(loaded(best, tmp_path), x), answers(best, x))


def test_rounds_are_counted_where_the_file_does_not_say_where_they_begin(tmp_path: Path) -> None:
    estimator = stopped(num_parallel_tree=3, subsample=0.5)
    estimator.save_model(tmp_path / "m.json")
    document = json.loads((tmp_path / "m.json").read_bytes())
    del document["learner"]["gradient_booster"]["model"]["iteration_indptr"]
    prepared = models.prepare(json.dumps(document).encode())
    assert prepared.content == models.prepare(tmp_path / "m.json").content


def test_a_category_between_minus_one_and_nought_counts_as_nought(tmp_path: Path) -> None:
    executor, x = loaded(fitted("xgboost", "sets of categories"), tmp_path), matrix(50, 3)
    nought, below = x.copy(), x.copy()
    nought[:, CATEGORICAL], below[:, CATEGORICAL] = 0, -0.5  # XGBoost takes the latter for an unknown one
    np.testing.assert_array_equal(run(executor, below), run(executor, nought))


def test_a_custom_objective_is_served_as_it_predicts(tmp_path: Path) -> None:
    def squared(predicted: np.ndarray, data: xgb.DMatrix) -> tuple[np.ndarray, np.ndarray]:
        return predicted - data.get_label(), np.ones_like(predicted)

    data = xgb.DMatrix(matrix(), targets(matrix())["number"])
    booster, x = xgb.train({"nthread": 1}, data, 5, obj=squared), matrix(50, 3)
    close(run(loaded(booster, tmp_path), x), answers(booster, x))


def test_scores_of_earlier_versions_are_one_for_all_outputs(tmp_path: Path) -> None:
    document = learner_of("multi:softprob")
    document["learner"]["learner_model_param"]["base_score"] = "5E-1"
    content = models.prepare(json.dumps(document).encode()).content
    assert safetensors.numpy.load(content)["base"].tolist() == [0.5, 0.5, 0.5]


def learner_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(fitted("xgboost", name).save_raw("json")))
    return found


def frame() -> pd.DataFrame:
    words = np.array(["up", "down", "left"])[np.arange(400) % 3]
    return pd.DataFrame({"a": matrix()[:, 0], "way": pd.Categorical(words)})


def of_frame() -> xgb.Booster:
    data = xgb.DMatrix(frame(), targets(matrix())["number"], enable_categorical=True)
    return xgb.train({"nthread": 1}, data, 2)


REFUSED = {
    "not fitted": (xgb.XGBRegressor, "XGBRegressor is not fitted. Call fit"),
    "another missing value": (
        lambda: xgb.XGBRegressor(n_estimators=2, missing=-999.0).fit(
            np.nan_to_num(matrix(), nan=-999.0), targets(matrix())["number"]
        ),
        r"takes -999\.0 for a missing value.* set_params\(missing=float\('nan'\)\)",
    ),
    "a linear booster": (
        lambda: xgb.train(
            {"booster": "gblinear", "nthread": 1}, xgb.DMatrix(matrix(), targets(matrix())["number"]), 2
        ),
        "the Booster is a gblinear model, which has no trees. Fit one of scikit-learn's linear",
    ),
    "categories of a frame": (of_frame, r"categorical columns of a frame.*penstock\.transforms\.Ordinal"),
    "no rounds": (
        lambda: xgb.train({"nthread": 1}, xgb.DMatrix(matrix(), targets(matrix())["number"]), 0),
        "the Booster has no trees. Train it for a round at least",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_with_what_to_do(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(ModelError, match=words):
        models.prepare(make())


def test_an_estimator_told_that_gaps_are_nan_answers_as_it_did(tmp_path: Path) -> None:
    filled = np.nan_to_num(matrix(), nan=-999.0)
    estimator = xgb.XGBRegressor(n_estimators=4, missing=-999.0).fit(filled, targets(matrix())["number"])
    expected = estimator.predict(filled)
    close(run(loaded(estimator.set_params(missing=float("nan")), tmp_path), matrix()), expected.astype(float))


def changed(path: str, value: Any) -> bytes:
    """A model's JSON with one value another; of a path's last step None it is left out."""
    document = copy.deepcopy(learner_of("sets of categories"))
    *steps, last = (int(step) if step.isdecimal() else step for step in path.split("/"))
    at: Any = document["learner"]
    for step in steps:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return json.dumps(document).encode()


TREE = "gradient_booster/model/trees/1"
MALFORMED = {
    "an unknown objective": (
        changed("objective/name", "reg:new"),
        "the objective 'reg:new', .*Known are: bin",
    ),
    "no objective": (changed("objective", None), "it has no 'objective'"),
    "no base score": (changed("learner_model_param/base_score", None), "it has no 'base_score'"),
    "a base score of words": (changed("learner_model_param/base_score", "high"), "base_score|high"),
    "two base scores": (changed("learner_model_param/base_score", "[1,2]"), "2 base scores for 1 outputs"),
    "a count of words": (changed("learner_model_param/num_feature", "six"), "six"),
    "no features": (
        changed("learner_model_param/num_feature", "0"),
        "num_feature is 0; 1 to 1048576 are expected",
    ),
    "more features than any model has": (
        changed("learner_model_param/num_feature", "999999999999"),
        "num_feature is 999999999999; 1 to 1048576 are expected",
    ),
    "more outputs than any model has": (
        changed("learner_model_param/num_class", "999999999999"),
        "num_class is 999999999999; 0 to 1048576 are expected",
    ),
    "a best round beyond all": (
        changed("attributes", {"scikit_learn": "{}", "best_iteration": "9" * 5000}),
        "its best_iteration is no round",
    ),
    "names of other features": (changed("feature_names", ["a"]), "names 1 features and has 6"),
    "no booster": (changed("gradient_booster", None), "it has no 'gradient_booster'"),
    "a booster that is a list": (changed("gradient_booster", []), "is malformed"),
    "trees that are numbers": (changed("gradient_booster/model/trees", [1, 2]), "is malformed"),
    "an output too few": (changed("gradient_booster/model/tree_info", [0]), "8 trees and the outputs of 1"),
    "an output that is none": (
        changed("gradient_booster/model/tree_info", [0] * 7 + [9]),
        "tree 7: it adds to output 9",
    ),
    "no nodes": (changed(f"{TREE}/left_children", []), "tree 1 has no nodes"),
    "a node short": (changed(f"{TREE}/right_children", [1]), r"tree 1 has right_children of int64 \[1\]"),
    "words for numbers": (
        changed(f"{TREE}/split_conditions", ["a"] * 3),
        "tree 1 has split_conditions of",
    ),
    "lists for numbers": (changed(f"{TREE}/left_children", [[1], [2]]), "tree 1 has left_children of"),
    "a child that is none": (
        changed(f"{TREE}/left_children/0", 10_000),
        "tree 1 has a child that is none of its",
    ),
    "a circle": (changed(f"{TREE}/left_children/0", 0), "tree 1 has a child that is none of its"),
    "a child of two": (changed(f"{TREE}/left_children/0", 2), "tree 1 reaches a node in two ways"),
    "a feature that is none": (
        changed(f"{TREE}/split_indices/0", 6),
        "tree 1: split 0: feature 6 is none of 6",
    ),
    "a feature beyond 32 bits": (
        changed(f"{TREE}/split_indices/0", 2**40),
        "tree 1 has features beyond 32 bits",
    ),
    "a threshold that is NaN": (changed(f"{TREE}/split_conditions/0", float("nan")), "the threshold is NaN"),
    "a negative category": (changed(f"{TREE}/categories/0", -1), "tree 1 has a category that is not from 0"),
    "a category too large": (changed(f"{TREE}/categories/0", 2**24), "tree 1 has a category that is not"),
    "a set beyond the categories": (changed(f"{TREE}/categories_sizes/0", 999), "tree 1 has sets beyond its"),
    "a set of another node": (changed(f"{TREE}/categories_nodes/0", 0), "tree 1 has categories for other"),
    "leaves of vectors for one output": (
        changed(f"{TREE}/tree_param/size_leaf_vector", "3"),
        r"leaves have \[1, 3\] values for 1 outputs",
    ),
    "half a file": (changed("objective/name", "reg:gamma")[:-40], "is no whole XGBoost model"),
    "no learner": (b'{"learners":{}}', "it has no 'learner'"),
    "a learner that is a list": (b'{"learner":[]}', "its learner is no object"),
    "nested without end": (b'{"learner":' + b"[" * 100_000, "is no whole XGBoost model"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused(tmp_path: Path, name: str) -> None:
    content, words = MALFORMED[name]
    with pytest.raises(ModelError, match=words):
        loaded(content, tmp_path)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damage_of_any_sort_is_a_model_or_a_refusal(tmp_path_factory: Any, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["json", "ubj"]))
    content = bytearray(fitted("xgboost", "sets of categories").save_raw(form))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(1, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        executor = loaded(bytes(content), tmp_path_factory.getbasetemp())
    except ModelError:
        return
    assert run(executor, np.zeros((2, executor.inputs[0][2][1]))).shape[0] == 2
