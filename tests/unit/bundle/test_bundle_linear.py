"""Bundles of linear models: built, held against scikit-learn, loaded, asked in every form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from bundle_folders import write_folder
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from small_models import COLUMNS, flights, late

import penstock
from penstock import models
from penstock import transforms as t
from penstock.bundle.loading import open_bundle
from penstock.errors import BundleError, GoldenError, InputError, ModelError


def complete(rows: int = 300, seed: int = 1) -> pd.DataFrame:
    return flights(rows, seed).fillna(0.0)


def features() -> t.Features:
    return t.Features([t.Impute("wind", "median"), t.Standardize(["distance", "hour"])]).fit(flights())


def classes(frame: pd.DataFrame) -> np.ndarray:
    return np.array(["early", "late", "very late"])[np.digitize(frame["distance"], [-0.5, 0.5])]


def build(path: Path, model: object, **options: Any) -> Any:
    return penstock.build(path, name="m", version="1", model=model, **options)


def test_with_features_it_answers_what_the_estimator_gives_for_the_transformed_rows(tmp_path: Path) -> None:
    fitted, frame = features(), flights(25, 7)
    estimator = LogisticRegression().fit(fitted.transform(flights()), classes(flights()))
    bundle = penstock.load(build(tmp_path, estimator, features=fitted, examples=frame))
    expected = estimator.predict_proba(fitted.transform(frame))
    np.testing.assert_allclose(bundle.predict(frame)["prediction"], expected, rtol=1e-13, atol=1e-15)
    alone = [bundle.predict(frame[i : i + 1])["prediction"] for i in range(len(frame))]
    assert np.concatenate(alone).tobytes() == bundle.predict(frame)["prediction"].tobytes()


def test_two_classes_answer_the_probability_of_the_second(tmp_path: Path) -> None:
    frame = complete(25, 7)
    estimator = LogisticRegression().fit(complete(), late(complete()))
    bundle = penstock.load(build(tmp_path, estimator, examples=frame))
    assert bundle.manifest.outputs[0].model_dump() == {
        "name": "prediction",
        "datatype": "FP64",
        "shape": (-1,),
    }
    assert [tensor.name for tensor in bundle.manifest.inputs] == list(COLUMNS)
    np.testing.assert_allclose(
        bundle.predict(frame)["prediction"], estimator.predict_proba(frame)[:, 1], rtol=1e-13
    )


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
def test_columns_and_a_matrix_answer_the_same_bits_alone_and_together(tmp_path: Path, datatype: str) -> None:
    frame = complete(25, 7)
    estimator = PoissonRegressor().fit(complete().to_numpy(), np.exp(complete()["hour"]))
    bundle = penstock.load(
        build(tmp_path, estimator, examples=frame.to_numpy(), model_options={"datatype": datatype})
    )
    names = [tensor.name for tensor in bundle.manifest.inputs]
    assert names == ["x0", "x1", "x2"]
    columns = {name: frame.to_numpy()[:, i] for i, name in enumerate(names)}
    together = bundle.predict(columns)["prediction"]
    assert bundle.predict({"features": frame.to_numpy()})["prediction"].tobytes() == together.tobytes()
    alone = [bundle.predict({"features": row[None]})["prediction"] for row in frame.to_numpy()]
    assert np.concatenate(alone).tobytes() == together.tobytes()
    rounded = frame.to_numpy().astype("f4" if datatype == "FP32" else "f8").astype("f8")
    np.testing.assert_allclose(together, estimator.predict(rounded), rtol=1e-13)


def test_columns_may_be_of_other_datatypes(tmp_path: Path) -> None:
    frame = complete(20, 7).assign(hour=np.arange(20))
    estimator = LinearRegression().fit(complete(), complete()["wind"] * 2)
    bundle = build(tmp_path, estimator, inputs={"hour": "INT8"}, examples=frame)
    np.testing.assert_allclose(
        penstock.load(bundle).predict(frame)["prediction"], estimator.predict(frame), atol=1e-12
    )


def test_a_frame_trained_model_takes_features_of_its_names_alone(tmp_path: Path) -> None:
    fitted = features()
    matrix = pd.DataFrame(fitted.transform(flights()), columns=fitted.output_names)
    estimator = LinearRegression().fit(matrix, late(flights()))
    build(tmp_path, estimator, features=fitted, examples=flights(9, 3))
    swapped = LinearRegression().fit(matrix[matrix.columns[::-1]], late(flights()))
    with pytest.raises(ModelError, match=r"Column 0 of the features is .*; the model was trained with"):
        build(tmp_path, swapped, features=fitted, overwrite=True)
    narrow = LinearRegression().fit(fitted.transform(flights())[:, :2], late(flights()))
    with pytest.raises(ModelError, match="features give 3 columns; the model was trained on 2"):
        build(tmp_path, narrow, features=fitted, overwrite=True)


def test_an_estimator_that_predicts_otherwise_than_its_coefficients_is_not_built(tmp_path: Path) -> None:
    estimator = LinearRegression().fit(complete(), complete()["wind"])
    estimator.predict = lambda x: LinearRegression.predict(estimator, x) + 1e-6
    with pytest.raises(GoldenError, match=r"^m/1: example 0, output 'prediction'.* what scikit-learn gives"):
        build(tmp_path, estimator, examples=complete(9, 3))
    assert not (tmp_path / "m").exists()
    build(tmp_path, estimator, examples=complete(9, 3), tolerance=1e-5)


def test_examples_with_missing_values_are_refused_as_the_estimator_would(tmp_path: Path) -> None:
    estimator = LinearRegression().fit(complete(), complete()["wind"])
    with pytest.raises(
        InputError, match=r"LinearRegression refuses the features .*NaN\. Put an Impute among"
    ):
        build(tmp_path, estimator, examples=flights())


def test_a_bundles_file_is_a_model_for_the_next_bundle(tmp_path: Path) -> None:
    frame = complete(9, 3)
    first = build(tmp_path / "a", LogisticRegression().fit(complete(), classes(complete())), examples=frame)
    again = build(tmp_path / "b", first.path / "model.safetensors", examples=frame)
    assert np.array_equal(
        penstock.load(first).predict(frame)["prediction"], penstock.load(again).predict(frame)["prediction"]
    )


def test_the_same_estimator_is_the_same_digest(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(complete(), classes(complete()))
    fixed = {"created": "2026-01-31T12:00:00Z", "lineage": {"author": "CI"}, "examples": complete(9, 3)}
    assert (
        build(tmp_path / "a", estimator, **fixed).digest == build(tmp_path / "b", estimator, **fixed).digest
    )


def test_the_lineage_names_scikit_learns_version(tmp_path: Path) -> None:
    import sklearn

    estimator = LinearRegression().fit(complete(), complete()["wind"])
    manifest = penstock.load(build(tmp_path, estimator)).manifest
    assert manifest.lineage.environment.packages["scikit-learn"] == sklearn.__version__


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"coefficients": np.array([[1.0, np.nan, 0.0]])}, "cannot be served: .*coefficient 1 is nan"),
        ({"intercepts": np.zeros(2)}, r"^m/1: model\.safetensors is malformed: .* 2 intercepts"),
        ({"coefficients": np.ones((1, 2))}, r"\[1, 2\], for 3 feature names"),
    ],
)
def test_a_forged_model_is_refused_at_load_in_one_line(
    tmp_path: Path, changed: dict[str, np.ndarray], words: str
) -> None:
    prepared = models.prepare(LinearRegression().fit(complete(), complete()["wind"]))
    header = json.loads(prepared.content[8 : 8 + int.from_bytes(prepared.content[:8], "little")])
    tensors = {**safetensors.numpy.load(prepared.content), **changed}
    content = safetensors.numpy.save(tensors, header["__metadata__"])
    folder = write_folder(
        tmp_path / "m" / "1",
        {"model.safetensors": content},
        name="m",
        version="1",
        model={"kind": "linear", "file": "model.safetensors", "options": {}},
        inputs=[{"name": name, "datatype": "FP64", "shape": [-1]} for name in COLUMNS],
        golden=None,
    )
    with pytest.raises(ModelError, match=words) as caught:
        open_bundle(folder)
    assert "\n" not in str(caught.value)


def test_a_model_narrower_than_the_manifests_inputs_is_refused(tmp_path: Path) -> None:
    prepared = models.prepare(LinearRegression().fit(complete(), complete()["wind"]))
    folder = write_folder(
        tmp_path / "m" / "1",
        {"model.safetensors": prepared.content},
        name="m",
        version="1",
        model={"kind": "linear", "file": "model.safetensors", "options": {}},
        inputs=[{"name": "distance", "datatype": "FP64", "shape": [-1]}],
        golden=None,
    )
    with pytest.raises(ModelError, match="The features give 1 columns; the model's input 'features' takes 3"):
        open_bundle(folder)


def test_inputs_of_a_model_with_features_are_refused(tmp_path: Path) -> None:
    fitted = features()
    estimator = LinearRegression().fit(fitted.transform(flights()), late(flights()))
    with pytest.raises(BundleError, match="inputs= is for a model of named columns without features"):
        build(tmp_path, estimator, features=fitted, inputs={"hour": "INT8"})
