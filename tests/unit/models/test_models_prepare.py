from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from penstock import models
from penstock.errors import ConfigError, ModelError, NotFoundError
from penstock.models.libraries import lightgbm_library, onnxruntime_library


def train(x: object, y: object, rounds: int = 3, **options: object) -> lgb.Booster:
    parameters = {"objective": "binary", "verbose": -1, "num_leaves": 4, "num_threads": 1}
    return lgb.train(parameters, lgb.Dataset(x, y), rounds, **options)  # type: ignore[arg-type]


def data(rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    x = random.normal(size=(rows, 3))
    return x, (x[:, 0] + random.normal(size=rows) > 0).astype(float)


def proto() -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    return helper.make_model(helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", [x], [y]))


def test_a_booster_becomes_its_text() -> None:
    booster = train(*data())
    prepared = models.prepare(booster)
    assert (prepared.kind, prepared.file) == ("lightgbm", "model.txt")
    assert prepared.content.decode() == booster.model_to_string()
    assert prepared.feature_names == ("Column_0", "Column_1", "Column_2")
    assert prepared.options.model_dump() == {
        "start_iteration": 0,
        "num_iterations": -1,
        "raw_score": False,
        "engine": "auto",
    }


def test_the_best_iteration_is_recorded_as_predict_would_use_it() -> None:
    x, y = data()
    booster = train(x, y, rounds=20)
    booster.best_iteration = 7
    prepared = models.prepare(booster)
    assert prepared.options.model_dump()["num_iterations"] == 7
    again = lgb.Booster(model_str=prepared.content.decode())
    assert np.array_equal(again.predict(x, num_iteration=7), booster.predict(x))
    assert not np.array_equal(again.predict(x), booster.predict(x))


def test_an_option_wins_over_the_best_iteration() -> None:
    booster = train(*data(), rounds=10)
    booster.best_iteration = 7
    assert models.prepare(booster, {"num_iterations": 3}).options.model_dump()["num_iterations"] == 3
    assert models.prepare(booster, {"start_iteration": 2}).options.model_dump()["num_iterations"] == -1


def test_an_estimator_is_its_booster() -> None:
    x, y = data()
    estimator = lgb.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1)
    with pytest.raises(ModelError, match="LGBMClassifier is not fitted"):
        models.prepare(estimator)
    estimator.fit(x, y)
    assert models.prepare(estimator).content.decode() == estimator.booster_.model_to_string()


def test_a_text_file_is_taken_as_it_is(tmp_path: Path) -> None:
    frame = pd.DataFrame(data()[0], columns=["a", "b", "c"])
    train(frame, data()[1]).save_model(tmp_path / "any name")
    for given in (tmp_path / "any name", str(tmp_path / "any name"), (tmp_path / "any name").read_bytes()):
        prepared = models.prepare(given)
        assert prepared.feature_names == ("a", "b", "c")
        assert prepared.content == (tmp_path / "any name").read_bytes()


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    content = train(*data()).model_to_string().encode()
    with pytest.raises(ModelError, match="cut short: it has no line 'end of trees'"):
        models.prepare(content[: content.index(b"end of trees")])
    with pytest.raises(ModelError, match="no complete LightGBM text model"):
        models.prepare(content[:20])
    with pytest.raises(ModelError, match="names 2 features but says that it has 3"):
        models.prepare(content.replace(b"Column_0 ", b"", 1))


def test_a_booster_of_pandas_categoricals_is_refused_with_what_to_do() -> None:
    x, y = data()
    frame = pd.DataFrame({"x": x[:, 0], "kind": pd.Categorical(np.where(x[:, 1] > 0, "up", "down"))})
    with pytest.raises(
        ModelError, match=r'categorical columns \(\[\["down", "up"\]\].*pass the transforms as features='
    ):
        models.prepare(train(frame, y))


def test_an_onnx_model_is_taken_as_proto_bytes_and_file(tmp_path: Path) -> None:
    onnx.save(proto(), tmp_path / "model.onnx")
    prepared = [
        models.prepare(given)
        for given in (proto(), (tmp_path / "model.onnx").read_bytes(), tmp_path / "model.onnx")
    ]
    assert {p.content for p in prepared} == {(tmp_path / "model.onnx").read_bytes()}
    assert prepared[0].kind == "onnx"
    assert prepared[0].feature_names is None


def test_a_pipeline_is_refused_by_name() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    with pytest.raises(ModelError, match=r"scikit-learn Pipeline .* skl2onnx\.to_onnx"):
        models.prepare(make_pipeline(LogisticRegression()))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (3, r"model is a builtins\.int\. Expected a LightGBM Booster"),
        (None, r"model is a builtins\.NoneType"),
        (b"", "holds neither a LightGBM text model nor an XGBoost model nor an ONNX model"),
        (b"PK\x03\x04", "holds neither"),
        (b"treehouse", "holds neither"),
    ],
)
def test_what_is_no_model_is_refused(model: object, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        models.prepare(model)


def test_a_path_that_is_none_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no model file"):
        models.prepare(tmp_path / "nothing.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        models.prepare(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threads": 2}, "threads: no such field"),
        ({"providers": []}, "providers: Tuple should have at least 1 item"),
        ({"providers": ["gpu"]}, "Input should be 'cpu', 'cuda' or 'tensorrt'"),
        ({"intra_op_threads": 0}, "intra_op_threads: .*greater than or equal to 1"),
        ({"optimization": "max"}, "optimization: Input should be 'none', 'basic', 'extended' or 'all'"),
        ({"fallback": 1}, "fallback: Input should be a valid boolean"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        models.prepare(proto(), options)
    with pytest.raises(ConfigError, match=words):
        models.prepare(proto()).options.replaced(options, "onnx")


def test_overrides_replace_what_they_name_and_leave_the_rest() -> None:
    options = models.prepare(proto(), {"fallback": True}).options
    replaced = options.replaced({"providers": ["cuda", "cpu"], "intra_op_threads": 4}, "onnx")
    assert replaced.model_dump() == {
        "providers": ("cuda", "cpu"),
        "fallback": True,
        "intra_op_threads": 4,
        "inter_op_threads": 1,
        "optimization": "all",
    }
    assert options.replaced(None, "onnx") is options


def test_the_libraries_are_found_without_importing_their_packages() -> None:
    code = (
        "import sys; from penstock.models.libraries import *; "
        "print(onnxruntime_library(), lightgbm_library(), {'lightgbm', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [onnxruntime_library(), lightgbm_library(), "set()"]
    assert Path(onnxruntime_library()).name.startswith("libonnxruntime.so")
    assert Path(lightgbm_library()).is_file()


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"need the Python package lightgbm, .*pip install lightgbm"):
        lightgbm_library()


def test_a_wheel_without_its_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(ModelError, match=r"package onnxruntime holds no capi/libonnxruntime\.so\*"):
        onnxruntime_library()
