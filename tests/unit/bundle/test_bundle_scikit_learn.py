"""Bundles of scikit-learn's fitted Pipelines: they answer what the Pipelines answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)

import penstock
from penstock.errors import GoldenError, InputError, ModelError, TransformError

ROWS = 400
Array = np.ndarray[Any, Any]


def flights(seed: int, rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "distance": rng.lognormal(6, 1, rows),
            "hour": rng.integers(0, 24, rows),
            "wind": rng.normal(10, 4, rows).astype(np.float32),
            "carrier": rng.choice(["AA", "UA", "B6", "Zürich", None], rows),
            "origin": rng.choice(["JFK", "LGA", "EWR"], rows),
            "note": rng.choice(["late again", "on time", "très late", "fog and rain"], rows),
        }
    )
    frame.loc[rng.random(rows) < 0.1, "distance"] = np.nan
    return frame


def late(frame: pd.DataFrame) -> Array:
    score = np.log(frame["distance"].fillna(400)) + frame["hour"] / 6 + (frame["carrier"] == "AA")
    return np.asarray(score > score.median()).astype(int)


def preparation(**options: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            (
                "num",
                make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
                ["distance", "hour", "wind"],
            ),
            ("cat", OneHotEncoder(handle_unknown="ignore", min_frequency=10), ["carrier", "origin"]),
            ("mean", TargetEncoder(random_state=0), ["carrier"]),
            ("text", TfidfVectorizer(ngram_range=(1, 2)), "note"),
        ],
        **options,
    )


def unseen() -> pd.DataFrame:
    frame = flights(2, 100)
    frame.loc[:9, "carrier"] = "never seen"
    return frame


def served(repository: Path, rows: Any, **options: Any) -> Array:
    bundle = penstock.build(repository, name="late", version="1", **options)
    (answer,) = penstock.load(bundle.path).predict(rows).values()
    return np.asarray(answer)


def test_a_pipeline_with_a_logistic_regression_answers_its_probabilities(tmp_path: Path) -> None:
    train, rows = flights(1), unseen()
    pipeline = make_pipeline(preparation(), LogisticRegression(max_iter=1000)).fit(train, late(train))
    answer = served(tmp_path, rows, model=pipeline, reference=train, examples=rows)
    np.testing.assert_allclose(answer, pipeline.predict_proba(rows)[:, 1], rtol=1e-9)


def test_a_pipeline_with_a_lightgbm_classifier_answers_its_probabilities(tmp_path: Path) -> None:
    train, rows = flights(1), unseen()
    model = lightgbm.LGBMClassifier(n_estimators=20, min_child_samples=2, verbose=-1)
    pipeline = make_pipeline(preparation(sparse_threshold=0), model).fit(train, late(train))
    answer = served(tmp_path, rows, model=pipeline, reference=train, examples=rows)
    np.testing.assert_allclose(answer, pipeline.predict_proba(rows)[:, 1], rtol=1e-9)


def test_names_of_pandas_output_are_those_that_the_model_knows(tmp_path: Path) -> None:
    train, rows = flights(1)[["distance", "carrier"]], flights(2)[["distance", "carrier"]]
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    steps = ColumnTransformer(
        [("n", SimpleImputer(), ["distance"]), ("c", ordinal, ["carrier"])], verbose_feature_names_out=False
    ).set_output(transform="pandas")
    pipeline = make_pipeline(steps, lightgbm.LGBMRegressor(n_estimators=5, verbose=-1)).fit(
        train, late(flights(1))
    )
    answer = served(tmp_path, rows, model=pipeline, reference=train, examples=rows)
    np.testing.assert_allclose(answer, pipeline.predict(rows), rtol=1e-9)


def test_a_pipeline_of_matrices_and_one_in_another(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train, rows = rng.normal(size=(ROWS, 4)), rng.normal(size=(50, 4))
    inner = Pipeline([("powers", PolynomialFeatures(2)), ("model", Ridge())])
    pipeline = make_pipeline(StandardScaler(), "passthrough", inner).fit(train, train[:, 0])
    bundle = penstock.build(tmp_path, name="m", version="1", model=pipeline, examples=rows)
    (answer,) = penstock.load(bundle.path).predict(rows).values()
    np.testing.assert_allclose(np.asarray(answer), pipeline.predict(rows), rtol=1e-9)


def test_a_fitted_transformer_as_features_of_a_model(tmp_path: Path) -> None:
    train, rows = flights(1), unseen()
    features = preparation(sparse_threshold=0).fit(train, late(train))
    model = LogisticRegression(max_iter=1000).fit(features.transform(train), late(train))
    answer = served(tmp_path, rows, model=model, features=features, reference=train, examples=rows)
    np.testing.assert_allclose(answer, model.predict_proba(features.transform(rows))[:, 1], rtol=1e-9)


def test_a_pipeline_that_was_fitted_on_polars(tmp_path: Path) -> None:
    columns = ["distance", "hour", "origin"]
    train, rows = (pl.from_pandas(flights(seed)[columns]) for seed in (1, 2))
    steps = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), columns[:2]),
            ("c", OneHotEncoder(), ["origin"]),
        ]
    )
    pipeline = make_pipeline(steps, Ridge()).fit(train, late(flights(1)))
    answer = served(tmp_path, rows, model=pipeline, reference=train, examples=rows)
    np.testing.assert_allclose(answer, pipeline.predict(rows), rtol=1e-9)


def test_a_pipeline_of_a_model_alone_keeps_the_models_columns(tmp_path: Path) -> None:
    train = flights(1)[["hour", "wind"]]
    pipeline = make_pipeline("passthrough", LinearRegression()).fit(train, late(flights(1)))
    answer = served(tmp_path, train, model=pipeline, reference=train, examples=train)
    np.testing.assert_allclose(answer, pipeline.predict(train), rtol=1e-9)


def test_what_cannot_be_a_bundle_is_refused_by_name(tmp_path: Path) -> None:
    train = flights(1)[["hour", "wind"]]
    target = late(flights(1))

    def build(model: Any, **options: Any) -> None:
        penstock.build(tmp_path, name="m", version="1", model=model, **options)

    with pytest.raises(
        TransformError, match=r"pca > PCA: sklearn\.decomposition\._pca\.PCA cannot be converted"
    ):
        build(make_pipeline(StandardScaler(), PCA(1), LogisticRegression()).fit(train, target))
    with pytest.raises(ModelError, match="AdaBoostClassifier cannot be put in a bundle"):
        build(make_pipeline(StandardScaler(), AdaBoostClassifier()).fit(train, target))
    with pytest.raises(ModelError, match="has its own features"):
        build(
            make_pipeline(StandardScaler(), LogisticRegression()).fit(train, target),
            features=StandardScaler(),
        )
    with pytest.raises(ModelError, match="ends with no model"):
        build(Pipeline([("a", StandardScaler()), ("b", "passthrough")]))
    with pytest.raises(TransformError, match="StandardScaler: it is not fitted"):
        build(LogisticRegression().fit(train.to_numpy(), target), features=StandardScaler())
    assert not (tmp_path / "m").exists()


def test_features_that_differ_from_scikit_learns_are_refused_with_the_example(tmp_path: Path) -> None:
    # NumPy's reciprocal of integers is an integer, which nothing tells but the training frame.
    train = flights(1)[["hour"]] + 1
    features = FunctionTransformer(np.reciprocal, feature_names_out="one-to-one").fit(train)
    model = Ridge().fit(features.transform(train).to_numpy(), late(flights(1)))
    with pytest.raises(
        GoldenError, match=r"Example \d+, feature 'hour': FunctionTransformer of scikit-learn gives"
    ):
        penstock.build(tmp_path, name="m", version="1", model=model, features=features, examples=train)
    with pytest.raises(
        TransformError, match=r"numpy\.reciprocal of 'hour', which is INT64, cannot be converted"
    ):
        penstock.build(tmp_path, name="m", version="1", model=model, features=features, reference=train)


def test_a_reference_that_the_features_answer_differently_is_refused_without_examples(
    tmp_path: Path,
) -> None:
    train = pd.DataFrame({"x": np.random.default_rng(0).integers(0, 12, 500).astype(np.float32)})
    one_hot = OneHotEncoder(handle_unknown="ignore")
    pipeline = make_pipeline(StandardScaler(), one_hot, Ridge()).fit(train, np.arange(500.0))
    with pytest.raises(TransformError, match=r"\(OneHotEncoder\): row \d+ of reference=, feature"):
        penstock.build(tmp_path, name="m", version="1", model=pipeline, reference=train)
    assert not (tmp_path / "m").exists()


def test_a_search_is_told_to_give_its_best_pipeline(tmp_path: Path) -> None:
    train = flights(1)[["hour", "wind"]]
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [1, 2]})
    with pytest.raises(ModelError, match=r"GridSearchCV is a search.*\.best_estimator_"):
        penstock.build(
            tmp_path, name="m", version="1", model=search.fit(train, late(flights(1))), reference=train
        )


def test_missing_strings_that_callers_cannot_send_are_refused_as_such(tmp_path: Path) -> None:
    train = pd.DataFrame({"carrier": ["AA", "", "UA", "B6"] * 20})
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()).fit(train, np.arange(80.0))
    examples = pd.DataFrame({"carrier": pd.Series(["AA", None, "UA"], dtype=object)})
    with pytest.raises(InputError, match="'carrier' has a missing string in row 1, which callers cannot"):
        penstock.build(tmp_path, name="m", version="1", model=pipeline, reference=train, examples=examples)


def test_examples_that_scikit_learn_refuses_are_refused(tmp_path: Path) -> None:
    train = flights(1)[["distance"]].fillna(1.0)
    pipeline = make_pipeline(PolynomialFeatures(2), Ridge()).fit(train, late(flights(1)))
    with pytest.raises(InputError, match="examples=: Pipeline of scikit-learn refuses the rows"):
        penstock.build(tmp_path, name="m", version="1", model=pipeline, examples=flights(1)[["distance"]])
