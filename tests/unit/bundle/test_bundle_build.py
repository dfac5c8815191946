from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import pandas as pd
import pytest
import safetensors.numpy
from onnx import TensorProto, helper
from small_models import COLUMNS, booster, flights, linear, mixed, onnx_model

import penstock
from penstock import transforms as t
from penstock.bundle.verify import verify_bundle
from penstock.errors import BundleError, GoldenError, InputError, ModelError, TransformError

CREATED = "2026-01-31T12:00:00Z"


def build(repository: Path, model: object, **options: Any) -> Any:
    return penstock.build(repository, **{"name": "delay", "version": "1", "model": model, **options})


def manifest_of(bundle: Any) -> dict[str, Any]:
    return json.loads((bundle.path / "bundle.json").read_bytes())


def nothing_visible(repository: Path) -> bool:
    return not repository.exists() or all(path.name.startswith(".") for path in repository.iterdir())


def test_a_booster_becomes_a_bundle_that_verifies(tmp_path: Path) -> None:
    bundle = build(tmp_path, booster(), examples=flights(8))
    assert (bundle.path, bundle.name, bundle.version) == (tmp_path / "delay" / "1", "delay", "1")
    assert verify_bundle(bundle.path).digest == bundle.digest
    manifest = manifest_of(bundle)
    assert [(t["name"], t["datatype"], t["shape"]) for t in manifest["inputs"]] == [
        (c, "FP64", [-1]) for c in COLUMNS
    ]
    assert [(t["name"], t["datatype"]) for t in manifest["outputs"]] == [("prediction", "FP64")]
    assert manifest["golden"] == {
        "file": "golden.safetensors",
        "rows": 8,
        "tolerance": {"absolute": 1e-9, "relative": 1e-9},
    }
    assert sorted(path.name for path in bundle.path.iterdir()) == [
        "bundle.json",
        "golden.safetensors",
        "model.txt",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["delay"]


def test_without_examples_nothing_is_compared(tmp_path: Path) -> None:
    bundle = build(tmp_path, booster())
    assert manifest_of(bundle)["golden"] is None
    assert penstock.load(bundle).predict(flights(2))["prediction"].shape == (2,)


def test_the_same_inputs_give_the_same_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = booster()

    def digest(folder: str, **options: Any) -> str:
        told = {
            "examples": flights(4),
            "reference": flights(),
            "lineage": {"metrics": {"auc": 0.7}},
            **options,
        }
        return str(build(tmp_path / folder, model, **told).digest)

    first = digest("a", created=CREATED)
    assert digest("b", created=datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))) == first
    epoch = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp())
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(epoch))
    assert digest("c") == first
    assert digest("d", created="2026-01-31T12:00:01Z") != first
    assert digest("e", lineage={"metrics": {"auc": 0.8}}) != first
    assert digest("f", examples=flights(5)) != first


def test_times_that_are_none_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("today", datetime(2026, 1, 31)):
        with pytest.raises(BundleError, match="created cannot be used"):
            build(tmp_path, booster(), created=wrong)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(BundleError, match="SOURCE_DATE_EPOCH cannot be used"):
        build(tmp_path, booster())
    assert nothing_visible(tmp_path)


def test_a_version_is_replaced_only_when_told_so(tmp_path: Path) -> None:
    first = build(tmp_path, booster(), created=CREATED)
    with pytest.raises(BundleError, match="exists already"):
        build(tmp_path, booster(rounds=2), created=CREATED)
    assert verify_bundle(first.path).digest == first.digest
    second = build(tmp_path, booster(rounds=2), created=CREATED, overwrite=True)
    assert second.path == first.path
    assert verify_bundle(first.path).digest == second.digest != first.digest
    assert [path.name for path in (tmp_path / "delay").iterdir()] == ["1"]


@pytest.mark.parametrize("options", [{"name": "../x"}, {"version": "a/b"}, {"version": ".1"}, {"name": ""}])
def test_unsafe_names_are_refused(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(BundleError, match="expected 1 to 128 of the characters"):
        build(tmp_path / "r", booster(), **options)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": None}, r"The model name is None \(NoneType\); expected text, such as 'delay'"),
        ({"version": 1}, r"The version is 1 \(int\); expected text, such as '1'"),
        ({"max_rows": "x"}, r"max_rows is 'x' \(str\); expected 0 \(no limit\) or a number of rows"),
        ({"max_rows": 2.0}, r"max_rows is 2\.0 \(float\)"),
        ({"max_rows": True}, r"max_rows is True \(bool\)"),
        ({"tolerance": "x"}, r"tolerance is 'x' \(str\); expected a number from 0 up"),
        ({"tolerance": False}, r"tolerance is False \(bool\)"),
        ({"created": 5}, r"created cannot be used: it is 5 \(int\); expected a datetime or its text"),
        ({"inputs": ["hour"]}, r"inputs is \['hour'\] \(list\); expected a mapping"),
        ({"lineage": "me"}, r"lineage is 'me' \(str\); expected a mapping"),
        ({"model_options": 3}, r"model_options is 3 \(int\); expected a mapping"),
        ({"features": 3}, r"features= is 3 \(int\); expected Features or a list of transforms"),
    ],
)
def test_an_argument_of_another_type_is_refused_by_name(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises((BundleError, TransformError), match=words):
        build(tmp_path / "r", booster(), **options)
    assert not (tmp_path / "r").exists()


def test_a_repository_that_is_no_path_is_refused() -> None:
    with pytest.raises(BundleError, match=r"The repository is None \(NoneType\); expected a folder's path"):
        penstock.build(None, name="m", version="1", model=booster())  # type: ignore[arg-type]


def test_columns_take_the_datatypes_that_are_told_or_that_the_reference_has(tmp_path: Path) -> None:
    reference = flights().astype({"hour": np.float32})
    reference["distance"] = np.arange(len(reference), dtype=np.int32)
    model = booster()
    told = build(tmp_path / "a", model, inputs={"hour": "FP32"})
    assert [t["datatype"] for t in manifest_of(told)["inputs"]] == ["FP64", "FP32", "FP64"]
    inferred = build(tmp_path / "b", model, reference=reference, inputs={"wind": "FP32"})
    assert [t["datatype"] for t in manifest_of(inferred)["inputs"]] == ["INT32", "FP32", "FP32"]
    assert manifest_of(inferred)["lineage"]["training_data"]["rows"] == 300
    assert penstock.load(inferred).predict({"distance": [3], "hour": [0.5], "wind": [None]})[
        "prediction"
    ] == (pytest.approx(model.predict([[3, 0.5, np.nan]]), abs=0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"inputs": {"speed": "FP32"}},
            "names 'speed', which the model has not. It has: distance, hour, wind",
        ),
        ({"inputs": {"hour": "BYTES"}}, "says that 'hour' is BYTES"),
        ({"inputs": {"hour": "FP65"}}, "says that 'hour' is FP65"),
        ({"max_rows": -1}, "max_rows is -1"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"tolerance": -1.0}, "tolerance is -1.0"),
        ({"reference": {"hour": [1.0]}}, "reference= has no column 'distance'"),
        ({"examples": {"hour": [1.0]}}, "The data has no 'distance', 'wind'"),
        ({"examples": flights(0)}, "examples= has 0 rows"),
        ({"model_options": {"threads": 3}}, "threads: no such field"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_left(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises((BundleError, InputError, ModelError), match=words):
        build(tmp_path / "r", booster(), **options)
    assert not (tmp_path / "r").exists() or list((tmp_path / "r").iterdir()) == []


def test_an_onnx_model_keeps_its_inputs_and_outputs(tmp_path: Path) -> None:
    rows = {
        "text": np.array([["a", ""], ["ü", "bcd"]]),
        "count": np.array([[1, -2], [2**53 + 1, 0]]),
        "value": np.array([[0.1, np.nan], [np.inf, -0.0]]),
        "flag": np.array([[True, False], [False, True]]),
    }
    bundle = build(tmp_path, mixed(), examples=rows)
    manifest = manifest_of(bundle)
    assert [(t["name"], t["datatype"], t["shape"]) for t in manifest["inputs"]] == [
        ("text", "BYTES", [-1, 2]),
        ("count", "INT64", [-1, 2]),
        ("value", "FP64", [-1, 2]),
        ("flag", "BOOL", [-1, 2]),
    ]
    assert manifest["golden"]["tolerance"] == {"absolute": 1e-4, "relative": 1e-4}
    assert not any(t["empty_is_missing"] for t in manifest["inputs"])
    answer = penstock.load(bundle).predict(rows)
    assert answer["text_out"].tolist() == [[b"a", b""], ["ü".encode(), b"bcd"]]
    for name in ("count", "value", "flag"):
        assert np.array_equal(answer[f"{name}_out"], rows[name], equal_nan=name == "value")


@pytest.mark.parametrize("rows", [1, 4])
def test_a_model_of_a_fixed_batch_is_built_and_checked_in_such_batches(tmp_path: Path, rows: int) -> None:
    build(tmp_path / "a", linear(rows), examples={"x": np.ones((8, 3))})
    build(tmp_path / "b", linear(rows))
    if rows > 1:
        with pytest.raises(InputError, match="examples= has 6 rows; expected a multiple of 4"):
            build(tmp_path / "c", linear(rows), examples={"x": np.ones((6, 3))})


def test_examples_beyond_max_rows_are_recorded_in_batches(tmp_path: Path) -> None:
    bundle = build(tmp_path, booster(), examples=flights(7), max_rows=3)
    assert manifest_of(bundle)["golden"]["rows"] == 7


def summary() -> onnx.ModelProto:
    """x FP32 [rows, 2] to outputs that are not its rows, and one that is: `same`."""
    return onnx_model(
        [
            helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
            helper.make_node("ReduceMax", ["x", "rows"], ["most"], keepdims=0),
            helper.make_node("NonZero", ["x"], ["where"]),
            helper.make_node("Identity", ["x"], ["same"]),
            helper.make_node("Cast", ["total"], ["text"], to=TensorProto.STRING),
        ],
        [("x", TensorProto.FLOAT, [None, 2])],
        [
            ("total", TensorProto.FLOAT, []),
            ("most", TensorProto.FLOAT, [2]),
            ("where", TensorProto.INT64, [2, None]),
            ("same", TensorProto.FLOAT, [None, 2]),
            ("text", TensorProto.STRING, []),
        ],
        [helper.make_tensor("rows", TensorProto.INT64, [1], [0])],
        opset=18,
    )


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_outputs_that_are_not_rows_are_recorded_whole_and_answered(tmp_path: Path, rows: int) -> None:
    x = np.arange(2.0 * rows, dtype=np.float32).reshape(rows, 2)
    bundle = build(tmp_path, summary(), examples={"x": x})
    assert manifest_of(bundle)["golden"]["rows"] == rows
    answer = penstock.load(bundle).predict({"x": x})
    assert answer["total"].shape == ()
    assert answer["total"] == x.sum()
    assert answer["most"].tolist() == x.max(axis=0).tolist()
    assert answer["where"].tolist() == np.array(np.nonzero(x)).tolist()
    assert answer["same"].tolist() == x.tolist()
    assert float(answer["text"][()]) == x.sum()


def test_outputs_that_are_not_rows_need_no_examples(tmp_path: Path) -> None:
    bundle = build(tmp_path, summary())
    assert penstock.load(bundle).predict({"x": np.ones((3, 2))})["total"] == 6


def test_examples_of_more_than_one_run_are_refused_where_outputs_are_not_rows(tmp_path: Path) -> None:
    words = r"output 'total' has the shape \[\] for 2 rows; expected one row .* examples that fit one run, here at most 2"  # noqa: E501
    with pytest.raises(GoldenError, match=words):
        build(tmp_path, summary(), examples={"x": np.ones((3, 2))}, max_rows=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "at", "value", "words"),
    [
        ("output/total", (), 7.0, r"golden examples, output 'total': expected 7\.0, got 6\.0"),
        ("output/most", (1,), 7.0, r"golden examples, output 'most'\[1\]: expected 7\.0, got 3\.0"),
        ("output/where", (0, 2), 7, r"golden examples, output 'where'\[0\]\[2\]: expected 7, got 1"),
        ("output/same", (1, 0), 7.0, r"golden example 1, output 'same'\[0\]: expected 7\.0, got 2\.0"),
        ("output.text/text", (0,), ord("7"), r"golden examples, output 'text': expected b'7', got b'6'"),
    ],
)
def test_every_output_is_compared_rows_or_not(
    tmp_path: Path, key: str, at: tuple[int, ...], value: float, words: str
) -> None:
    bundle = build(tmp_path, summary(), examples={"x": np.arange(4.0).reshape(2, 2)})
    file = Path(bundle.path) / "golden.safetensors"
    arrays = {name: array.copy() for name, array in safetensors.numpy.load_file(file).items()}
    arrays[key][at] = value
    data = safetensors.numpy.save(arrays)
    file.write_bytes(data)
    manifest = manifest_of(bundle)
    manifest["files"][file.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (Path(bundle.path) / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(GoldenError, match=words):
        penstock.load(bundle.path)


def test_a_model_that_refuses_invented_values_asks_for_examples(tmp_path: Path) -> None:
    threes = onnx_model(
        [helper.make_node("Reshape", ["x", "n"], ["y"])],
        [("x", TensorProto.FLOAT, [None, 2])],
        [("y", TensorProto.FLOAT, [None, None])],
        [helper.make_tensor("n", TensorProto.INT64, [2], [3, -1])],
    )
    with pytest.raises(GoldenError, match=r"values were invented: build the bundle with examples="):
        build(tmp_path, threes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:40] + b"\x00" * 40 + data[80:],
        lambda data: b"\x08" + os.urandom(200),
    ],
)
def test_a_damaged_onnx_file_is_refused_in_one_line(tmp_path: Path, damage: Any) -> None:
    with pytest.raises(ModelError) as caught:
        build(tmp_path, damage(linear().SerializeToString()))
    assert "\n" not in str(caught.value)
    assert "ONNX Runtime cannot load the model" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_outside_of_the_file_are_refused(tmp_path: Path) -> None:
    model = linear()
    large = helper.make_tensor("w", TensorProto.FLOAT, [3, 1], [1.0, 2.0, 3.0])
    large.ClearField("float_data")
    large.raw_data = np.ones(3, np.float32).tobytes()
    model.graph.initializer[0].CopyFrom(large)
    (tmp_path / "files").mkdir()
    onnx.save(
        model, tmp_path / "files" / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0
    )
    assert (tmp_path / "files" / "weights").exists()
    with pytest.raises(ModelError, match="weights"):
        build(tmp_path / "r", tmp_path / "files" / "m.onnx")


def test_progress_tells_the_long_steps(tmp_path: Path) -> None:
    lines: list[str] = []
    build(tmp_path, booster(), examples=flights(2), progress=lines.append)
    text = "\n".join(lines)
    for words in (
        "loading the model",
        "recording the examples",
        "verifying model.txt",
        "checking 2 golden examples",
    ):
        assert words in text


def test_a_build_killed_at_any_step_leaves_nothing_to_see(tmp_path: Path) -> None:
    booster().save_model(tmp_path / "model.txt")
    flights(4).to_csv(tmp_path / "examples.csv", index=False)
    code = textwrap.dedent("""
        import os, signal, sys
        import numpy, penstock
        names = open(sys.argv[2]).readline().strip().split(",")
        rows = numpy.genfromtxt(sys.argv[2], delimiter=",", skip_header=1)
        left = int(sys.argv[4])
        def progress(line):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        penstock.build(sys.argv[3], name="delay", version="1", model=sys.argv[1],
                       examples={name: rows[:, i] for i, name in enumerate(names)}, progress=progress)
    """)
    killed = 0
    for step in range(1, 20):
        repository = tmp_path / f"r{step}"
        arguments = [str(tmp_path / "model.txt"), str(tmp_path / "examples.csv"), str(repository), str(step)]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            assert verify_bundle(repository / "delay" / "1")
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert nothing_visible(repository)
        killed += 1
    assert killed >= 4


def test_an_unwritable_repository_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        build(tmp_path / "file", booster())


def features() -> t.Features:
    return t.Features([t.Standardize(["distance", "wind"]), t.Ordinal("carrier")]).fit(carriers(300, 1))


def carriers(rows: int = 60, seed: int = 5) -> pd.DataFrame:
    frame = flights(rows, seed)
    frame["carrier"] = np.where(frame["hour"] > 0, "AA", "UA")
    frame.loc[::7, "carrier"] = None
    return frame


def test_features_become_columns_of_the_bundle_and_strings_may_be_missing(tmp_path: Path) -> None:
    fitted, train = features(), carriers(300, 1)
    matrix = pd.DataFrame(fitted.transform(train), columns=fitted.output_names)
    model = lgb.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1}, lgb.Dataset(matrix, train["hour"]), 5
    )
    bundle = build(tmp_path, model, features=fitted, examples=carriers(12), reference=train)
    assert [(i["name"], i["datatype"], i["empty_is_missing"]) for i in manifest_of(bundle)["inputs"]] == [
        ("distance", "FP64", False),
        ("wind", "FP64", False),
        ("carrier", "BYTES", True),
    ]
    rows = carriers(50, 8)
    assert np.array_equal(
        penstock.load(bundle).predict(rows)["prediction"], model.predict(fitted.transform(rows))
    )
    again = build(
        tmp_path / "again", model, features=fitted, examples=carriers(12), reference=train, created=CREATED
    )
    same = build(
        tmp_path / "same", model, features=fitted, examples=carriers(12), reference=train, created=CREATED
    )
    assert again.digest == same.digest


def test_features_feed_the_single_input_of_an_onnx_model(tmp_path: Path) -> None:
    fitted = features()
    bundle = build(tmp_path, linear(), features=fitted, examples=carriers(9))
    rows = carriers(20, 4)
    weights = np.linspace(-1, 1, 3).astype(np.float32)
    expected = fitted.transform(rows, "FP32") @ weights + np.float32(0.5)
    assert penstock.load(bundle).predict(rows)["y"].ravel() == pytest.approx(
        expected, rel=1e-5, abs=1e-6, nan_ok=True
    )


def test_transforms_that_are_not_fitted_are_fitted_on_the_reference(tmp_path: Path) -> None:
    bundle = build(
        tmp_path,
        linear(columns=1),
        features=[t.Standardize("distance")],
        reference=flights(),
        examples=flights(3),
    )
    assert [i["name"] for i in manifest_of(bundle)["inputs"]] == ["distance"]


def test_features_that_do_not_fit_the_model_are_refused(tmp_path: Path) -> None:
    one = t.Features([t.Standardize("distance")])
    for model, given, words in [
        (booster(), one.fit(flights()), "features give 1 columns; the model was trained on 3"),
        (
            booster(),
            features(),
            "Column 1 of the features is 'wind'; the model was trained with 'hour' there",
        ),
        (linear(), one.fit(flights()), "features give 1 columns; the model's input 'x' takes 3"),
        (mixed(), features(), "Features give one matrix, and the model takes text BYTES"),
        (booster(), t.Features([t.Standardize("distance")]), "features= is not fitted"),
        (booster(), [t.Standardize("distance")], "transforms that are not fitted"),
        (booster(), list(features().transforms), "pass the Features object"),
    ]:
        with pytest.raises((ModelError, TransformError), match=words):
            build(tmp_path, model, features=given)
    with pytest.raises(BundleError, match="the features say their inputs"):
        build(tmp_path, booster(), features=features(), inputs={"wind": "FP32"})
    with pytest.raises(BundleError, match="an ONNX model keeps its own inputs"):
        build(tmp_path, linear(), inputs={"x": "FP32"})
    assert nothing_visible(tmp_path)


def test_every_file_is_listed_with_its_digest_and_size(tmp_path: Path) -> None:
    bundle = build(tmp_path, booster(), examples=flights(2))
    for name, entry in manifest_of(bundle)["files"].items():
        data = (bundle.path / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert bundle.digest == hashlib.sha256((bundle.path / "bundle.json").read_bytes()).hexdigest()


def test_a_matrix_trained_model_has_generic_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(flights().to_numpy(), columns=list(COLUMNS))
    model = lgb.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1},
        lgb.Dataset(frame.to_numpy(), frame["hour"]),
        3,
    )
    bundle = build(tmp_path, model)
    assert [t["name"] for t in manifest_of(bundle)["inputs"]] == ["Column_0", "Column_1", "Column_2"]
    matrix = frame.to_numpy()[:5]
    assert np.array_equal(penstock.load(bundle).predict(matrix)["prediction"], model.predict(matrix))
