"""LightGBM's forests as ONNX graphs answer as LightGBM does."""

from __future__ import annotations

import lightgbm
import numpy as np
import onnxruntime
import pytest

from forests import CATEGORIES, Recipe, categories, numbers, trained
from tree_ensemble import converted, rounded_down


@pytest.mark.parametrize("categorical", [(), tuple(range(len(CATEGORIES)))], ids=["numbers", "categories"])
def test_the_converted_forest_answers_as_lightgbm_does(categorical: tuple[int, ...]) -> None:
    recipe = Recipe("small", trees=20, leaves=15, training_rows=3000, categorical=categorical)
    made = categories if categorical else numbers
    random = np.random.default_rng(1)
    booster = trained(recipe, *made(recipe.training_rows, random))
    rows, _ = made(500, random)
    session = onnxruntime.InferenceSession(converted(booster).SerializeToString())
    answer = session.run(None, {"features": rows})[0][:, 0]
    np.testing.assert_allclose(answer, booster.predict(rows), atol=1e-5)


def test_thresholds_are_rounded_down_so_that_single_precision_splits_alike() -> None:
    for threshold in np.random.default_rng(2).normal(size=1000):
        down = np.float32(rounded_down(threshold))
        assert down <= threshold < np.nextafter(down, np.float32(np.inf))


def test_an_objective_without_a_counterpart_is_refused() -> None:
    rows = np.random.default_rng(3).normal(size=(200, 3))
    booster = lightgbm.train(
        {"objective": "poisson", "verbose": -1}, lightgbm.Dataset(rows, rows[:, 0] ** 2), 2
    )
    with pytest.raises(ValueError, match="poisson"):
        converted(booster)
