"""Contributions against LightGBM's pred_contrib, and against the definition of Shapley's values."""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import lightgbm
import lightgbm_models
import numpy as np
import pytest
from executor_probe import Probe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_lightgbm_forest import MISSING, OBJECTIVES, odd_rows, trained, written
from test_lightgbm_text import resized

CONTRIBUTIONS = 1
FIXTURES = [HealthCheck.function_scoped_fixture]
Matrix = np.ndarray[Any, Any]


def contributions(
    probe: Probe, path: Path, x: Matrix, dtypes: tuple[str, ...] = ("FP64",), **options: Any
) -> Matrix:
    model = probe.lightgbm(path, engine="forest", **options)
    session = model.session()
    (out,) = session.run(x, wanted=(CONTRIBUTIONS,), dtypes=dtypes)
    session.close()
    model.free()
    return out


def check_close(ours: Matrix, theirs: Matrix) -> None:
    """To 1e-12 of the row's largest: a sum of terms that cancel is no more exact than these."""
    assert ours.shape == theirs.shape
    scale = np.abs(theirs).max(axis=1, keepdims=True)
    assert np.abs(ours - theirs).max() < np.inf
    assert (np.abs(ours - theirs) <= 1e-12 * scale).all()


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_they_equal_boosters(probe: Probe, tmp_path: Path, objective: str, missing: str) -> None:
    booster = trained(objective, **MISSING[missing])
    path = written(booster, tmp_path / "model.txt")
    x = np.vstack([lightgbm_models.features(60, seed=3), odd_rows()[::5]])
    for raw_score in (False, True):  # they are of the raw score in any case
        ours = contributions(probe, path, x, raw_score=raw_score)
        check_close(ours, booster.predict(x, pred_contrib=True))


@pytest.mark.parametrize("objective", ["regression", "multiclass"])
def test_those_of_a_random_forest_are_of_the_sum_as_boosters(
    probe: Probe, tmp_path: Path, objective: str
) -> None:
    booster = trained(objective, boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    path = written(booster, tmp_path / "model.txt")
    x = lightgbm_models.features(60, seed=3)
    for start, count in ((0, -1), (0, 3), (2, 4)):
        ours = contributions(probe, path, x, start_iteration=start, num_iterations=count)
        check_close(ours, booster.predict(x, start_iteration=start, num_iteration=count, pred_contrib=True))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    seed=st.integers(0, 1000),
    leaves=st.sampled_from([2, 3, 7, 31, 120]),
    kind=st.sampled_from(["regression", "binary", "multiclass", "categories", "zero as missing"]),
)
def test_those_of_any_model_equal_boosters_and_add_up_to_the_score(
    probe: Probe, tmp_path: Path, seed: int, leaves: int, kind: str
) -> None:
    path = written(lightgbm_models.train(kind, 5, leaves), tmp_path / "model.txt")
    booster = lightgbm.Booster(model_file=path)
    x = lightgbm_models.features(30, seed)
    ours = contributions(probe, path, x)
    check_close(ours, booster.predict(x, pred_contrib=True))
    scores = booster.predict(x, raw_score=True)
    sums = ours.reshape(len(x), -1, x.shape[1] + 1).sum(axis=2)
    np.testing.assert_allclose(sums, np.reshape(scores, sums.shape), rtol=1e-12, atol=1e-12)


def test_they_are_shapleys_values_of_the_trees_conditional_means(probe: Probe, tmp_path: Path) -> None:
    path = written(lightgbm_models.train("categories", 4, 20), tmp_path / "model.txt")
    booster = lightgbm.Booster(model_file=path)
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    x = lightgbm_models.features(6, seed=8)
    x[0] = np.nan
    ours = contributions(probe, path, x)
    for row, found in zip(x, ours, strict=True):
        exact = sum(shapley(tree, row) for tree in trees)
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)


def shapley(tree: dict[str, Any], row: Matrix) -> Matrix:
    """By the definition: the mean over all orders of what knowing a feature adds; last, knowing none."""
    count = len(row)
    means = {
        frozenset(known): mean(tree, row, frozenset(known))
        for size in range(count + 1)
        for known in combinations(range(count), size)
    }
    values = np.zeros(count + 1)
    values[count] = means[frozenset()]
    for known, value in means.items():
        for feature in set(range(count)) - known:
            weight = (
                math.factorial(len(known)) * math.factorial(count - len(known) - 1) / math.factorial(count)
            )
            values[feature] += weight * (means[known | {feature}] - value)
    return values


def mean(node: dict[str, Any], row: Matrix, known: frozenset[int]) -> float:
    """Of the training rows that agree with `row` in the known features, as the tree's counts tell it."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        return mean(left if goes_left(node, row) else right, row, known)
    counts = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
    parts = [count * mean(child, row, known) for count, child in zip(counts, (left, right), strict=True)]
    return sum(parts) / sum(counts)


def goes_left(node: dict[str, Any], row: Matrix) -> bool:
    value = row[node["split_feature"]]
    if node["decision_type"] == "==":
        return not math.isnan(value) and str(int(value)) in node["threshold"].split("||")
    if math.isnan(value) and node["missing_type"] == "NaN":
        return bool(node["default_left"])
    return bool((0.0 if math.isnan(value) else value) <= node["threshold"])


def test_rows_have_the_same_bits_in_every_batch_and_as_fp32(probe: Probe, tmp_path: Path) -> None:
    path = written(lightgbm_models.train("categories"), tmp_path / "model.txt")
    x = lightgbm_models.features(40, seed=2).astype(np.float32).astype(np.float64)
    whole = contributions(probe, path, x)
    assert contributions(probe, path, x[7:8]).tobytes() == whole[7:8].tobytes()
    assert contributions(probe, path, x[5:25]).tobytes() == whole[5:25].tobytes()
    assert contributions(probe, path, x.astype(np.float32), ("FP32",)).tobytes() == whole.tobytes()
    assert contributions(probe, path, x[:0]).shape == (0, 7)


def test_both_outputs_come_in_the_order_asked_for(probe: Probe, tmp_path: Path) -> None:
    model = probe.lightgbm(written(lightgbm_models.train("multiclass", 3), tmp_path / "model.txt"))
    assert model.outputs[CONTRIBUTIONS] == ("contributions", "FP64", (-1, 21))
    assert model.default_outputs == 1
    x = lightgbm_models.features(4)
    explained, answers = model.run(x, wanted=(CONTRIBUTIONS, 0))
    assert explained.shape == (4, 21)
    assert answers.tobytes() == model.run(x)[0].tobytes()
    model.free()


def test_they_take_their_scratch_from_the_arena_which_stops_growing(probe: Probe, tmp_path: Path) -> None:
    session = probe.lightgbm(written(lightgbm_models.train("binary"), tmp_path / "model.txt")).session()
    x = lightgbm_models.features(50)
    session.run(x, wanted=(CONTRIBUTIONS,), repeats=2)
    held = session.arena_bytes
    session.run(x, wanted=(CONTRIBUTIONS,), repeats=50)
    assert session.arena_bytes == held
    session.close()


def chain(depth: int, features: int) -> str:
    """A tree whose every right child splits again."""
    text = lightgbm_models.train("stumps", 1).model_to_string()
    nodes = range(depth)
    counts = [depth + 1 - node for node in nodes]
    fields = {
        "num_leaves": depth + 1,
        "num_cat": 0,
        "split_feature": [node % features for node in nodes],
        "threshold": [node / depth - 0.5 for node in nodes],
        "decision_type": [2] * depth,
        "left_child": [-1 - node for node in nodes],
        "right_child": [*range(1, depth), -1 - depth],
        "leaf_value": [math.sin(node) for node in range(depth + 1)],
        "leaf_count": [1] * (depth + 1),
        "internal_count": counts,
        "is_linear": 0,
        "shrinkage": 1,
    }
    lines = "\n".join(
        f"{name}={' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in fields.items()
    )
    return resized(re.sub(r"Tree=0\n.*?\n\n\n", lambda _: f"Tree=0\n{lines}\n\n\n", text, flags=re.S))


@pytest.mark.parametrize("depth", [3, 40, 300])
def test_a_deep_tree_equals_boosters(probe: Probe, tmp_path: Path, depth: int) -> None:
    path = written(chain(depth, 6), tmp_path / "model.txt")
    x = np.random.default_rng(1).uniform(-0.6, 0.6, (5, 6))
    check_close(
        contributions(probe, path, x), lightgbm.Booster(model_file=path).predict(x, pred_contrib=True)
    )


def test_a_tree_of_any_depth_is_explained_without_recursion(probe: Probe, tmp_path: Path) -> None:
    path = written(chain(100_000, 6), tmp_path / "model.txt")
    x = np.random.default_rng(1).uniform(-0.6, 0.6, (3, 6))
    model = probe.lightgbm(path)
    scores, explained = model.run(x, wanted=(0, CONTRIBUTIONS))
    model.free()
    np.testing.assert_allclose(explained.sum(axis=1), scores, atol=1e-11)


@pytest.mark.parametrize(
    "change",
    [
        ("leaf_count=.*\n", ""),
        ("internal_count=.*\n", ""),
        ("internal_count=.*", "internal_count=0 0 0"),
        ("leaf_count=.*", "leaf_count=1 -1 1 1"),
        ("leaf_count=.*", "leaf_count=1 nan 1 1"),
    ],
)
def test_a_model_without_counts_of_rows_gives_none(
    probe: Probe, tmp_path: Path, change: tuple[str, str]
) -> None:
    text = resized(re.sub(*change, lightgbm_models.train("regression", 2, 4).model_to_string()))
    model = probe.lightgbm(written(text, tmp_path / "model.txt"), engine="forest")
    assert [output.name for output in model.outputs] == ["prediction"]
    model.free()


def test_a_leaf_that_no_training_row_reached_explains_nothing(probe: Probe, tmp_path: Path) -> None:
    """LightGBM divides 0 by 0 there, and gives NaN for every row."""
    text = lightgbm_models.train("regression", 1, 4).model_to_string()
    counts = [int(n) for n in re.search(r"leaf_count=(.*)", text)[1].split()]  # type: ignore[index]
    text = resized(re.sub("leaf_count=.*", f"leaf_count=0 {counts[1]} {counts[2]} {counts[3]}", text))
    path = written(text, tmp_path / "model.txt")
    x = np.vstack([lightgbm_models.features(50, seed=1), odd_rows()])
    assert np.isfinite(contributions(probe, path, x)).all()
