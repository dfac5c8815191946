"""Linear models: estimators of scikit-learn to files, and files to executors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from linear_estimators import CASES, WIDTH, answers, fit, fitted, matrix, targets
from safetensors import safe_open
from sklearn import linear_model as lm
from sklearn.linear_model import LogisticRegression

from penstock import models
from penstock._core import Executor, Version
from penstock.errors import ModelError
from penstock.models import linear

ROWS = st.integers(1, 40).flatmap(
    lambda rows: arrays(np.float64, (rows, WIDTH), elements=st.floats(-100, 100, width=64))
)


def loaded(estimator: Any, folder: Path, **options: Any) -> Executor:
    prepared = models.prepare(estimator, options)
    path = folder / prepared.file
    path.write_bytes(prepared.content)
    return models.load_executor(prepared.kind, str(path), prepared.options)


def run(executor: Executor, x: np.ndarray) -> np.ndarray:
    version = Version(model="m", version="1", digest="", executor=executor)
    return version.run({"features": x})["prediction"]


def close(ours: np.ndarray, theirs: np.ndarray, estimator: Any, link: str, x: np.ndarray) -> bool:
    """Equal but for the order in which each adds: some roundings of what a score is the sum of."""
    weights = np.atleast_2d(estimator.coef_)
    terms = np.abs(x) @ np.abs(weights).T + np.abs(estimator.intercept_)
    slack = 1e-15 * WIDTH * terms.max(axis=1) + 1e-15
    slack = slack if ours.ndim == 1 else slack[:, None]
    allowed = slack * np.abs(theirs) if link == "log" else slack
    with np.errstate(invalid="ignore"):
        return bool(np.all((ours == theirs) | (np.abs(ours - theirs) <= allowed)))


@pytest.mark.parametrize("name", CASES)
@given(x=ROWS)
@settings(max_examples=25, deadline=None)
def test_predictions_are_scikit_learns(tmp_path_factory: Any, name: str, x: np.ndarray) -> None:
    estimator = fitted(name)
    executor = loaded(estimator, tmp_path_factory.mktemp("model"))
    ours, theirs = run(executor, x), answers(estimator, x)
    assert ours.dtype == np.float64
    assert ours.shape == theirs.shape
    assert close(ours, theirs, estimator, CASES[name].link, x)


@pytest.mark.parametrize("name", CASES)
def test_one_row_has_the_bits_that_it_has_in_a_batch(tmp_path: Path, name: str) -> None:
    executor = loaded(fitted(name), tmp_path)
    x = matrix(37, seed=5)
    x[3, 2], x[4, 5], x[5, 0] = np.nan, np.inf, -np.inf
    batch = run(executor, x)
    alone = np.concatenate([run(executor, row[None]) for row in x])
    assert alone.tobytes() == batch.tobytes()
    assert np.isnan(batch[3]).all()


def test_every_estimator_has_a_case() -> None:
    assert {type(case.make()).__name__ for case in CASES.values()} == set(linear.ESTIMATORS)
    assert {case.link for case in CASES.values()} == {
        "identity",
        "log",
        "logistic",
        "softmax",
        "one_versus_rest",
    }


@pytest.mark.parametrize("name", CASES)
def test_the_file_says_what_was_fitted_to_anything_that_reads_safetensors(tmp_path: Path, name: str) -> None:
    estimator, case = fitted(name), CASES[name]
    prepared = models.prepare(estimator)
    (tmp_path / prepared.file).write_bytes(prepared.content)
    with safe_open(tmp_path / prepared.file, framework="numpy") as file:
        document = json.loads(file.metadata()["penstock"])
        coefficients = file.get_tensor("coefficients")
        intercepts = file.get_tensor("intercepts")
    np.testing.assert_array_equal(coefficients, np.atleast_2d(estimator.coef_))
    np.testing.assert_array_equal(intercepts, np.broadcast_to(estimator.intercept_, len(coefficients)))
    assert document == {
        "kind": "linear",
        "format": 1,
        "link": case.link,
        "estimator": f"sklearn.linear_model.{type(estimator).__name__}",
        "classes": estimator.classes_.tolist() if hasattr(estimator, "classes_") else None,
        "feature_names": [f"x{i}" for i in range(WIDTH)],
        "named": False,
    }
    assert prepared.feature_names == tuple(document["feature_names"])
    assert not prepared.named


def test_a_frames_columns_are_the_feature_names() -> None:
    columns = [f"größe {i}" for i in range(WIDTH)]
    frame = pd.DataFrame(matrix(), columns=columns)
    prepared = models.prepare(fit(CASES["ridge"], frame))
    assert prepared.named
    assert prepared.feature_names == tuple(columns)


@pytest.mark.parametrize("labels", [["b", "a"], [True, False], [2.0, -1.0], [7, -7]])
def test_labels_stand_in_the_file_in_the_order_of_the_outputs(labels: list[Any]) -> None:
    estimator = LogisticRegression().fit(matrix(), np.array(labels)[targets(matrix())["two"]])
    document = json.loads(header(models.prepare(estimator).content)["__metadata__"]["penstock"])
    assert document["classes"] == sorted(labels)


def test_sparse_coefficients_are_those_of_the_dense(tmp_path: Path) -> None:
    dense, sparse = (
        fit(CASES["gradient descent, words"], matrix()),
        fit(CASES["gradient descent, words"], matrix()).sparsify(),
    )
    assert models.prepare(sparse).content == models.prepare(dense).content


def test_an_estimator_fitted_in_single_precision_is_served_as_it_predicts(tmp_path: Path) -> None:
    estimator = fit(CASES["ridge"], matrix().astype(np.float32))
    assert estimator.coef_.dtype == np.float32
    x = matrix(50, seed=3)
    np.testing.assert_allclose(
        run(loaded(estimator, tmp_path), x), estimator.predict(x), rtol=1e-12, atol=1e-13
    )


def test_the_features_may_be_single_precision(tmp_path: Path) -> None:
    estimator = fitted("logistic regression, words")
    executor = loaded(estimator, tmp_path, datatype="FP32")
    assert executor.inputs == [("features", "FP32", (-1, WIDTH))]
    x = matrix(50, seed=3).astype(np.float32)
    assert run(executor, x).tobytes() == run(loaded(estimator, tmp_path), x.astype(np.float64)).tobytes()


def test_the_same_model_is_the_same_bytes_in_every_process() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import hashlib;"
        "from linear_estimators import fitted; from penstock import models;"
        "print(hashlib.sha256(models.prepare(fitted('ridge, two targets')).content).hexdigest())"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout != "", runs[0].stderr


def test_a_file_serves_without_scikit_learn(tmp_path: Path) -> None:
    prepared = models.prepare(fitted("ridge"))
    (tmp_path / "m").write_bytes(prepared.content)
    code = (
        "import sys; from penstock import models; prepared = models.prepare(sys.argv[1]);"
        "models.load_executor(prepared.kind, sys.argv[1], prepared.options); print('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "m"], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_file_is_taken_as_it_is_also_where_it_begins_like_an_onnx_model(tmp_path: Path) -> None:
    # The first byte is the header's length modulo 256, and the header's a multiple of 8 bytes.
    files = [forged(estimator="x" * length) for length in range(0, 256, 8)]
    assert any(content.startswith(b"\x08") for content in files)
    for content in files:
        prepared = models.prepare(content)
        assert (prepared.kind, prepared.content, prepared.feature_names) == ("linear", content, ("a", "b"))
        assert prepared.estimator is None


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (LogisticRegression(), "The LogisticRegression is not fitted. Call fit before"),
        (lm.LassoCV(), "The LassoCV is not fitted"),
        (
            lm.SGDClassifier().fit(matrix(), targets(matrix())["two"]),
            r"SGDClassifier\(loss='hinge'\) cannot be served .*loss='log_loss'; or convert it with skl2onnx",
        ),
        (
            lm.SGDClassifier(loss="modified_huber").fit(matrix(), targets(matrix())["two"]),
            r"SGDClassifier\(loss='modified_huber'\)",
        ),
        (lm.RidgeClassifier(), "A scikit-learn RidgeClassifier cannot .* skl2onnx.* LogisticRegression, "),
        (lm.HuberRegressor(), "A scikit-learn HuberRegressor cannot be put in a bundle as it is"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name_with_what_to_do(estimator: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        models.prepare(estimator)


def test_a_derived_class_is_refused_since_it_may_predict_otherwise() -> None:
    class Doubled(lm.Ridge):
        def predict(self, x: Any) -> Any:
            return 2 * super().predict(x)

    with pytest.raises(ModelError, match="A scikit-learn Doubled cannot be put in a bundle"):
        models.prepare(Doubled().fit(matrix(), targets(matrix())["number"]))


def test_strategies_of_earlier_scikit_learns_keep_their_formula() -> None:
    words = fit(CASES["logistic regression, words"], matrix())
    words.multi_class = "ovr"
    document = json.loads(header(models.prepare(words).content)["__metadata__"]["penstock"])
    assert document["link"] == "one_versus_rest"
    two = fit(CASES["logistic regression, two classes"], matrix())
    two.multi_class = "multinomial"
    with pytest.raises(ModelError, match="multi_class='multinomial' on two classes"):
        models.prepare(two)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"datatype": "FP16"}, "datatype: Input should be 'FP64' or 'FP32'"),
        ({"raw_score": True}, "raw_score: no such"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=f"model_options of the linear model: {words}"):
        models.prepare(fitted("ridge"), options)


def header(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return found


def forged(tensors: dict[str, Any] | None = None, **document: Any) -> bytes:
    """A file of three classes and two features, but for what is given."""
    good = {
        "coefficients": np.ones((3, 2)),
        "intercepts": np.zeros(3),
    }
    description = {
        "kind": "linear",
        "format": 1,
        "link": "softmax",
        "estimator": "sklearn.linear_model.LogisticRegression",
        "classes": [0, 1, 2],
        "feature_names": ["a", "b"],
        "named": True,
        **document,
    }
    arrays_ = {name: array for name, array in {**good, **(tensors or {})}.items() if array is not None}
    return safetensors.numpy.save(arrays_, {"penstock": json.dumps(description)})


FORGERIES: dict[str, tuple[bytes, str]] = {
    "a link that is none": (forged(link="probit"), "link: Input should be 'identity'"),
    "a later format": (forged(format=2), "format: Input should be less than or equal to 1"),
    "a field too many": (forged(surprise=1), "surprise: no such field"),
    "no feature names": (forged(feature_names=[]), "feature_names: "),
    "names that are numbers": (forged(feature_names=[1, 2]), "feature_names"),
    "one name too few": (forged(feature_names=["a"]), r"\[3, 2\], for 1 feature names"),
    "one class too few": (forged(classes=[0, 1]), "3 rows of coefficients for 2 classes"),
    "no classes": (forged(classes=None), "there are none classes"),
    "classes of a regression": (forged(link="log"), "there are 3 classes"),
    "one probability of three classes": (forged(link="logistic"), "3 rows of coefficients for 3 classes"),
    "two outputs of one probability": (
        forged({"coefficients": np.ones((2, 2)), "intercepts": np.zeros(2)}, link="logistic", classes=[0, 1]),
        "2 outputs; expected one",
    ),
    "one output of a softmax": (
        forged({"coefficients": np.ones((1, 2)), "intercepts": np.zeros(1)}, classes=[0]),
        "1 outputs; expected two or more",
    ),
    "no coefficients": (forged({"coefficients": None}), "'coefficients' is none"),
    "no intercepts": (forged({"intercepts": None}), "'intercepts' is none"),
    "a tensor too many": (forged({"more": np.zeros(1)}), "holds 'more'"),
    "coefficients in single precision": (
        forged({"coefficients": np.ones((3, 2), np.float32)}),
        "'coefficients' is float32",
    ),
    "integers": (forged({"intercepts": np.zeros(3, np.int64)}), "'intercepts' is int64"),
    "coefficients of one dimension": (
        forged({"coefficients": np.ones(6)}),
        r"'coefficients' is float64 \[6\]",
    ),
    "intercepts of two dimensions": (forged({"intercepts": np.ones((3, 1))}), "'intercepts' is float64"),
    "one intercept too many": (forged({"intercepts": np.zeros(4)}), "and 4 intercepts"),
    "no outputs": (
        forged({"coefficients": np.ones((0, 2)), "intercepts": np.zeros(0)}, classes=[]),
        "0 coefficients and 0 intercepts",
    ),
    "a coefficient that is NaN": (
        forged({"coefficients": np.array([[1, np.nan], [0, 0], [0, 0]])}),
        "coefficient 1 is nan",
    ),
    "an infinite intercept": (forged({"intercepts": np.array([0, 0, -np.inf])}), "intercept 2 is -inf"),
    "metadata that is no JSON": (
        safetensors.numpy.save({"intercepts": np.zeros(1)}, {"penstock": "{"}),
        "Invalid JSON",
    ),
    "no metadata": (safetensors.numpy.save({"intercepts": np.zeros(1)}), "has no entry 'penstock'"),
    "nothing": (b"", "has no entry 'penstock'"),
    "a header longer than the file": (b"\xff" * 8 + b"{", "has no entry 'penstock'"),
    "a header that is nested without end": (
        (200_000).to_bytes(8, "little") + b'{"a":' + b"[" * 199_995,
        "has no entry 'penstock'",
    ),
    "cut short": (forged()[:-1], "no whole safetensors file"),
    "bytes too many": (forged() + b"\0", "no whole safetensors file"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_file_is_refused_at_load(tmp_path: Path, name: str) -> None:
    content, words = FORGERIES[name]
    (tmp_path / linear.FILE).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        linear.load(str(tmp_path / linear.FILE), linear.Options())


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_damage_of_any_sort_is_a_model_or_a_refusal(tmp_path_factory: Any, data: st.DataObject) -> None:
    content = bytearray(forged())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        executor = linear.load(str(path), linear.Options())
    except ModelError:
        return
    assert np.isfinite(run(executor, np.zeros((2, 2)))).all()


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read: No such file"):
        linear.load(str(tmp_path / "none"), linear.Options())
