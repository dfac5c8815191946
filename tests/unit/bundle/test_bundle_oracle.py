"""Before the examples are recorded, their answers are held against the model's own library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from small_models import COLUMNS, booster, flights, late, linear, onnx_model

import penstock
from penstock import models
from penstock import transforms as t
from penstock.bundle.arrays import arrays_of
from penstock.bundle.loading import open_bundle
from penstock.bundle.manifest import Tolerance
from penstock.bundle.oracle import oracle_of
from penstock.errors import GoldenError

LOOSE = Tolerance(absolute=1e-4, relative=1e-4)


def build(path: Path, model: object, **options: Any) -> Any:
    return penstock.build(path, name="m", version="1", model=model, **options)


def features(frame: pd.DataFrame) -> t.Features:
    return t.Features([t.Impute("wind", "median"), t.Standardize(["distance", "hour"])]).fit(frame)


def trained(**parameters: Any) -> tuple[lgb.Booster, t.Features]:
    frame = flights()
    fitted = features(frame)
    settings = {"objective": "binary", "verbose": -1, "num_leaves": 7, "num_threads": 1, **parameters}
    label = np.digitize(frame["distance"], [-0.5, 0.5]) if "num_class" in parameters else late(frame)
    return lgb.train(settings, lgb.Dataset(fitted.transform(frame), label), 12), fitted


def asked(path: Path, model: object, fitted: t.Features | None, frame: Any, **options: Any) -> Any:
    """The oracle of a bundle that was built, with its core's answers."""
    bundle = build(path, model, features=fitted, **options)
    loaded = open_bundle(bundle.path)
    given = arrays_of(frame, loaded.manifest.inputs)
    prepared = models.prepare(model, options.get("model_options"))
    oracle = oracle_of(prepared, fitted, frame, given, loaded.manifest)
    return oracle, penstock.load(bundle).predict(frame)


@pytest.mark.parametrize("with_features", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"raw_score": True}, {"start_iteration": 3, "num_iterations": 5}, {"num_iterations": 2}]
)
@pytest.mark.parametrize("parameters", [{}, {"objective": "multiclass", "num_class": 3}])
def test_lightgbm_answers_to_the_last_bits_under_any_options(
    tmp_path: Path, parameters: dict[str, Any], options: dict[str, Any], with_features: bool
) -> None:
    model, fitted = trained(**parameters)
    frame = flights(20, 7)
    oracle, answers = asked(
        tmp_path,
        model,
        fitted if with_features else None,
        frame if with_features else frame.to_numpy(),
        model_options=options,
    )
    oracle.compare(answers, 20, LOOSE)
    nearly = {"prediction": answers["prediction"] * (1 + 1e-13)}
    oracle.compare(nearly, 20, LOOSE)
    nearly["prediction"][7] *= 1 + 1e-11
    with pytest.raises(GoldenError, match=r"^m/1: example 7, output 'prediction'.* what LightGBM gives"):
        oracle.compare(nearly, 20, LOOSE)


def test_the_best_iteration_of_early_stopping_is_the_librarys_too(tmp_path: Path) -> None:
    model, fitted = trained()
    model.best_iteration = 4
    frame = flights(20, 7)
    oracle, answers = asked(tmp_path, model, fitted, frame)
    oracle.compare(answers, 20, LOOSE)
    assert np.array_equal(answers["prediction"], model.predict(fitted.transform(frame)))
    everything = {"prediction": np.asarray(model.predict(fitted.transform(frame), num_iteration=-1))}
    with pytest.raises(GoldenError, match="output 'prediction'"):
        oracle.compare(everything, 20, LOOSE)


def test_columns_of_a_model_without_features_are_compared_as_they_arrive(tmp_path: Path) -> None:
    frame = flights(20, 7)
    frame["hour"] = np.arange(20)
    inputs = {"hour": "INT8", "wind": "FP32"}
    bundle = build(tmp_path, booster(), inputs=inputs, examples=frame)
    rounded = frame.assign(wind=frame["wind"].astype("f4").astype("f8"))
    assert np.array_equal(penstock.load(bundle).predict(frame)["prediction"], booster().predict(rounded))


def two_outputs() -> Any:
    """x FP32 [rows, 3] to `y`, `text` of its rows, `total` and `half`, which NumPy has not."""
    return onnx_model(
        [
            helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=0),
            helper.make_node("Cast", ["y"], ["text"], to=TensorProto.STRING),
            helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
            helper.make_node("Cast", ["y"], ["half"], to=TensorProto.BFLOAT16),
        ],
        [("x", TensorProto.FLOAT, [None, 3])],
        [
            ("y", TensorProto.FLOAT, [None]),
            ("text", TensorProto.STRING, [None]),
            ("total", TensorProto.FLOAT, []),
            ("half", TensorProto.BFLOAT16, [None]),
        ],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )


@pytest.mark.parametrize(
    ("name", "at", "value", "words"),
    [
        ("y", (3,), 99.0, "example 3, output 'y': expected .*, got 99.0.* what ONNX Runtime gives"),
        ("text", (2,), b"no", "example 2, output 'text': expected b'.*', got b'no'"),
        ("total", (), 99.0, "examples, output 'total': expected .*, got 99.0"),
    ],
)
def test_every_output_of_an_onnx_model_with_features_is_compared(
    tmp_path: Path, name: str, at: tuple[int, ...], value: Any, words: str
) -> None:
    frame = flights(6, 7)
    oracle, answers = asked(tmp_path, two_outputs(), features(flights()), frame, examples=frame)
    oracle.compare(answers, 6, LOOSE)
    changed = {key: array.copy() for key, array in answers.items()}
    changed[name][at] = value
    with pytest.raises(GoldenError, match=words):
        oracle.compare(changed, 6, LOOSE)


def test_onnx_answers_are_held_to_the_bundles_tolerance(tmp_path: Path) -> None:
    frame = flights(6, 7)
    oracle, answers = asked(tmp_path, linear(), features(flights()), frame)
    changed = {"y": answers["y"] + np.float32(1e-3)}
    oracle.compare(changed, 6, Tolerance(absolute=1e-2, relative=0.0))
    with pytest.raises(GoldenError, match=r"a difference of 0\.001 where 0\.0001 is allowed"):
        oracle.compare(changed, 6, Tolerance(absolute=1e-4, relative=0.0))


@pytest.mark.parametrize(("rows", "max_rows"), [(None, 3), (1, 1)])
def test_an_onnx_model_is_asked_in_the_batches_that_were_recorded(
    tmp_path: Path, rows: int | None, max_rows: int
) -> None:
    fitted = features(flights())
    bundle = build(tmp_path, linear(rows), features=fitted, examples=flights(8), max_rows=max_rows)
    golden = penstock.load(bundle).manifest.golden
    assert golden is not None
    assert golden.rows == 8


@pytest.mark.parametrize("optimization", ["none", "basic", "extended", "all"])
def test_a_tolerance_of_nothing_holds_between_the_two(tmp_path: Path, optimization: str) -> None:
    options = {"optimization": optimization, "intra_op_threads": 2}
    build(
        tmp_path,
        linear(),
        features=features(flights()),
        examples=flights(50, 3),
        tolerance=0,
        model_options=options,
    )


def test_an_onnx_model_that_keeps_its_inputs_has_no_oracle(tmp_path: Path) -> None:
    oracle, _ = asked(tmp_path, linear(), None, {"x": np.ones((2, 3))})
    assert oracle is None


@pytest.mark.parametrize(
    "form",
    [
        lambda frame: frame,
        lambda frame: frame.to_dict("list"),
        lambda frame: frame.to_numpy(),
        lambda frame: {"features": frame.to_numpy()},
        lambda frame: {name: column.to_numpy()[:, None] for name, column in frame.items()},
    ],
    ids=["frame", "lists", "matrix", "features", "columns"],
)
def test_examples_of_every_form_are_taken(tmp_path: Path, form: Any) -> None:
    model, fitted = trained()
    frame = flights(5, 7)[["wind", "distance", "hour"]]
    assert [name for name, _ in fitted.inputs] == list(frame.columns)
    bundle = build(tmp_path, model, features=fitted, examples=form(frame))
    assert penstock.load(bundle).manifest.golden is not None
    assert set(frame.columns) == set(COLUMNS)
