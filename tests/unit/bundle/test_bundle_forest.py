"""Bundles of forests: built, held against their library, loaded, asked in every form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from small_models import COLUMNS, flights, late

import penstock
from penstock import transforms as t
from penstock.errors import GoldenError, InputError, ModelError


def build(path: Path, model: object, **options: Any) -> Any:
    return penstock.build(path, name="m", version="1", model=model, **options)


def carriers(rows: int = 300, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return flights(rows, seed).assign(carrier=random.choice(np.array(["AA", "UA", "B6"], object), rows))


def boosted(rounds: int = 6, **options: Any) -> xgb.XGBClassifier:
    estimator = xgb.XGBClassifier(n_estimators=rounds, max_depth=3, n_jobs=1, **options)
    return estimator.fit(flights(), late(flights()))


def levels(frame: pd.DataFrame) -> np.ndarray:
    return np.array(["early", "late", "very late"])[np.digitize(frame["distance"], [-0.5, 0.5])]


def test_columns_and_a_matrix_answer_the_same_bits_alone_and_together(tmp_path: Path) -> None:
    frame = flights(25, 7)
    for datatype in ("FP64", "FP32"):
        estimator = RandomForestClassifier(9, random_state=1).fit(flights().to_numpy(), levels(flights()))
        built = build(
            tmp_path,
            estimator,
            examples=frame.to_numpy(),
            model_options={"datatype": datatype},
            overwrite=True,
        )
        bundle = penstock.load(built)
        assert [tensor.name for tensor in bundle.manifest.inputs] == ["x0", "x1", "x2"]
        columns = {f"x{i}": frame.to_numpy()[:, i] for i in range(3)}
        together = bundle.predict(columns)["prediction"]
        assert bundle.predict({"features": frame.to_numpy()})["prediction"].tobytes() == together.tobytes()
        alone = [bundle.predict({"features": row[None]})["prediction"] for row in frame.to_numpy()]
        assert np.concatenate(alone).tobytes() == together.tobytes()
        np.testing.assert_allclose(together, estimator.predict_proba(frame.to_numpy()), rtol=1e-12)


def test_two_classes_answer_the_probability_of_the_second(tmp_path: Path) -> None:
    frame = flights(25, 7)
    for model in (boosted(), RandomForestClassifier(5, random_state=1).fit(flights(), late(flights()))):
        bundle = penstock.load(build(tmp_path, model, examples=frame, overwrite=True))
        assert [tensor.name for tensor in bundle.manifest.inputs] == list(COLUMNS)
        (output,) = bundle.manifest.outputs
        assert (output.name, output.datatype, output.shape) == ("prediction", "FP64", (-1,))
        expected = model.predict_proba(frame)[:, 1]
        np.testing.assert_allclose(bundle.predict(frame)["prediction"], expected, rtol=1e-6)


def test_with_features_it_answers_what_the_model_gives_for_the_transformed_rows(tmp_path: Path) -> None:
    features = t.Features([t.Ordinal("carrier"), t.Impute("wind", "median")]).fit(carriers())
    matrix, frame = features.transform(carriers()), carriers(25, 7)
    number = carriers()["distance"] + (carriers()["carrier"] == "UA")
    column = features.output_names.index("carrier")
    estimator = HistGradientBoostingRegressor(max_iter=9, categorical_features=[column]).fit(matrix, number)
    types = ["c" if name == "carrier" else "q" for name in features.output_names]
    data = xgb.DMatrix(matrix, number, feature_types=types, enable_categorical=True)
    for model in (estimator, xgb.train({"nthread": 1, "max_cat_to_onehot": 1}, data, 9)):
        bundle = penstock.load(build(tmp_path, model, features=features, examples=frame, overwrite=True))
        given = features.transform(frame)
        if model is not estimator:
            given = xgb.DMatrix(given, feature_types=types, enable_categorical=True)
        np.testing.assert_allclose(bundle.predict(frame)["prediction"], model.predict(given), rtol=1e-6)


def test_a_pipeline_brings_its_features_along(tmp_path: Path) -> None:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    steps = ColumnTransformer(
        [("numbers", numbers, list(COLUMNS)), ("carrier", OneHotEncoder(), ["carrier"])]
    )
    frame = carriers(25, 7)
    for model in (
        RandomForestRegressor(5, random_state=1),
        GradientBoostingClassifier(n_estimators=5),
        xgb.XGBClassifier(n_estimators=5, n_jobs=1),
    ):
        target = late(carriers()) if hasattr(model, "predict_proba") else carriers()["distance"]
        pipeline = make_pipeline(steps, model).fit(carriers(), target)
        built = build(tmp_path, pipeline, reference=carriers(), examples=frame, overwrite=True)
        answers = penstock.load(built).predict(frame)["prediction"]
        classifies = hasattr(model, "predict_proba")
        expected = pipeline.predict_proba(frame)[:, 1] if classifies else pipeline.predict(frame)
        np.testing.assert_allclose(answers, expected, rtol=1e-6)


def ways(rows: int = 400, seed: int = 1) -> pd.DataFrame:
    """Words and numbers, some missing, and a column of categories that are fractions."""
    frame, random = flights(rows, seed), np.random.default_rng(seed)
    frame["way"] = pd.Categorical(random.choice(["up", "down", "left", "sí"], rows))
    frame["level"] = random.choice([-1.5, 0.0, 2.0, 7.0], rows)
    frame.loc[random.random(rows) < 0.1, ["way", "level"]] = None
    return frame


def test_categories_that_are_words_bring_their_encoder_along(tmp_path: Path) -> None:
    score = ways()["distance"] + ways()["way"].isin(["up", "sí"]) + 2 * (ways()["level"] == 2)
    frame = ways(40, 7)
    frame["way"] = frame["way"].astype(object)
    frame.loc[:4, "way"] = "sideways"  # which training has not seen
    frame.loc[3:7, "level"] = 0.5
    for model, target in (
        (HistGradientBoostingRegressor(max_iter=9, categorical_features=["way", "level"]), score),
        (HistGradientBoostingClassifier(max_iter=9), np.digitize(score, [0, 1, 2])),
    ):
        model.fit(ways(), target)
        built = build(tmp_path, model, reference=ways(), examples=frame, overwrite=True)
        bundle = penstock.load(built)
        assert {tensor.name: tensor.datatype for tensor in bundle.manifest.inputs}["way"] == "BYTES"
        expected = model.predict_proba(frame) if hasattr(model, "classes_") else model.predict(frame)
        np.testing.assert_allclose(bundle.predict(frame)["prediction"], expected, rtol=1e-12)


def test_categories_that_are_fractions_are_encoded_behind_the_steps_of_a_pipeline(tmp_path: Path) -> None:
    frame = ways()[["distance", "level", "wind"]].assign(level=ways()["level"].fillna(0))
    booster = HistGradientBoostingRegressor(max_iter=9, categorical_features=[1])
    pipeline = make_pipeline(SimpleImputer(), booster).fit(frame, frame["distance"] + (frame["level"] == 2))
    built = build(tmp_path, pipeline, reference=frame, examples=frame.head(30))
    np.testing.assert_allclose(
        penstock.load(built).predict(frame)["prediction"], pipeline.predict(frame), rtol=1e-12
    )


def test_words_as_categories_are_refused_where_features_are_given(tmp_path: Path) -> None:
    model = HistGradientBoostingRegressor(max_iter=2).fit(ways()[["way", "wind"]], ways()["distance"])
    features = t.Features([t.Ordinal("way")]).fit(ways()[["way", "wind"]].astype({"way": object}))
    with pytest.raises(ModelError, match=r"categories in 'way' that are no whole .*transforms\.Ordinal"):
        build(tmp_path, model, features=features)


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_a_file_of_xgboosts_is_a_model(tmp_path: Path, form: str) -> None:
    model, frame = boosted(), flights(25, 7)
    model.save_model(tmp_path / f"model.{form}")
    bundle = penstock.load(build(tmp_path / "r", tmp_path / f"model.{form}", examples=frame))
    assert [tensor.name for tensor in bundle.manifest.inputs] == list(COLUMNS)
    np.testing.assert_allclose(
        bundle.predict(frame)["prediction"], model.predict_proba(frame)[:, 1], rtol=1e-6
    )


def test_a_file_of_xgboosts_needs_no_xgboost(tmp_path: Path) -> None:
    boosted().save_model(tmp_path / "model.ubj")
    flights(8, 3).to_csv(tmp_path / "examples.csv", index=False)
    code = (
        "import sys; sys.modules['xgboost'] = None; import pandas as pd, penstock\n"
        "penstock.build(sys.argv[1], name='m', version='1', model=sys.argv[2], "
        "examples=pd.read_csv(sys.argv[3]))"
    )
    paths = [str(tmp_path / name) for name in ("r", "model.ubj", "examples.csv")]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = penstock.load(tmp_path / "r/m/1").predict(flights(8, 3))["prediction"]
    np.testing.assert_allclose(answers, boosted().predict_proba(flights(8, 3))[:, 1], rtol=1e-6)


def test_classes_of_softmax_are_answered_as_probabilities(tmp_path: Path) -> None:
    target = np.digitize(flights()["distance"], [-0.5, 0.5])
    settings = {"num_class": 3, "nthread": 1, "objective": "multi:softmax"}
    booster = xgb.train(settings, xgb.DMatrix(flights(), target), 5)
    frame = flights(25, 7)
    answers = penstock.load(build(tmp_path, booster, examples=frame)).predict(frame)["prediction"]
    assert answers.shape == (25, 3)
    np.testing.assert_array_equal(answers.argmax(axis=1), booster.predict(xgb.DMatrix(frame)))


def test_numbers_of_any_size_agree_as_closely_as_single_precision_says(tmp_path: Path) -> None:
    for size in (1e-6, 1.0, 1e9):
        model = xgb.XGBRegressor(n_estimators=300, n_jobs=1).fit(flights(), size * flights()["distance"])
        build(tmp_path, model, examples=flights(50, 7), overwrite=True)


def test_a_model_that_predicts_otherwise_than_its_trees_is_not_built(tmp_path: Path) -> None:
    estimator = RandomForestRegressor(3, random_state=1).fit(flights(), flights()["distance"])
    estimator.predict = lambda x: RandomForestRegressor.predict(estimator, x) + 1e-6
    with pytest.raises(GoldenError, match=r"^m/1: example 0, output 'prediction'.* what scikit-learn gives"):
        build(tmp_path, estimator, examples=flights(9, 3))
    assert not (tmp_path / "m").exists()
    build(tmp_path, estimator, examples=flights(9, 3), tolerance=1e-5)


def test_a_booster_that_predicts_otherwise_than_its_trees_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = xgb.Booster.predict
    monkeypatch.setattr(xgb.Booster, "predict", lambda *given, **more: predict(*given, **more) + 1e-3)
    with pytest.raises(GoldenError, match="what XGBoost gives for the examples"):
        build(tmp_path, boosted(), examples=flights(9, 3))


def test_examples_that_the_library_refuses_are_refused(tmp_path: Path) -> None:
    complete = flights().fillna(0)
    estimator = GradientBoostingClassifier(n_estimators=2).fit(complete, late(complete))
    with pytest.raises(InputError, match=r"GradientBoostingClassifier refuses .*NaN\. Put an Impute among"):
        build(tmp_path, estimator, examples=flights())
    with pytest.raises(InputError, match=r"XGBoost refuses the features of the examples: .*inf"):
        build(tmp_path, boosted(), examples=flights(9).assign(hour=np.inf))


def test_features_of_other_names_are_refused(tmp_path: Path) -> None:
    features = t.Features([t.Impute("wind", "median"), t.Standardize(["distance", "hour"])]).fit(flights())
    with pytest.raises(ModelError, match="Column 0 of the features is 'wind'; the model was trained with"):
        build(tmp_path, boosted(), features=features)


def test_a_bundles_file_is_a_model_for_the_next_bundle(tmp_path: Path) -> None:
    frame = flights(9, 3)
    first = build(tmp_path / "a", boosted(), examples=frame)
    again = build(tmp_path / "b", first.path / "model.safetensors", examples=frame)
    assert np.array_equal(
        penstock.load(first).predict(frame)["prediction"], penstock.load(again).predict(frame)["prediction"]
    )


def test_the_same_model_is_the_same_digest(tmp_path: Path) -> None:
    fixed = {"created": "2026-01-31T12:00:00Z", "lineage": {"author": "CI"}, "examples": flights(9, 3)}
    digests = {build(tmp_path / again, boosted(), **fixed).digest for again in ("a", "b")}
    assert len(digests) == 1


def test_the_lineage_names_the_librarys_version(tmp_path: Path) -> None:
    packages = penstock.load(build(tmp_path, boosted())).manifest.lineage.environment.packages
    assert xgb.__version__ in (packages.get("xgboost"), packages.get("xgboost-cpu"))
    assert "scikit-learn" not in packages


def test_the_lineage_names_no_library_that_had_no_part(tmp_path: Path) -> None:
    model = RandomForestRegressor(2, max_depth=2).fit(np.eye(3), [1.0, 2.0, 3.0])
    made = penstock.build(tmp_path, name="rf", version="1", model=model)
    packages = penstock.load(made).manifest.lineage.environment.packages
    assert set(packages) == {"penstock", "numpy", "scikit-learn"}
