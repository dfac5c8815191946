"""What callers get is what the model gives outside of Penstock."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.grpc as triton
import xgboost
from triton_tensors import frame_inputs, tensor

from sample_bundles import HALVES, MATRIX_COLUMNS, TYPED, Samples, flights, value_of
from server_process import ServerProcess


@pytest.fixture
def client(server: ServerProcess) -> triton.InferenceServerClient:
    with triton.InferenceServerClient(server.address) as client:
        yield client


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("rows", [1, 2, 37])
def test_lightgbm_with_transforms_answers_what_the_booster_predicts(
    client: triton.InferenceServerClient, samples: Samples, version: str, rows: int
) -> None:
    frame = flights(rows, seed=rows)

    answer = client.infer("delay", frame_inputs(frame), model_version=version)

    np.testing.assert_allclose(
        answer.as_numpy("prediction"), samples.delay[version].predict(frame), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("rows", [1, 2, 64])
def test_lightgbm_answers_the_last_bit_of_what_the_booster_predicts(
    client: triton.InferenceServerClient, samples: Samples, rows: int
) -> None:
    matrix = np.random.default_rng(rows).normal(size=(rows, len(MATRIX_COLUMNS)))
    matrix[0, :3] = [np.nan, np.inf, -np.inf]

    whole = client.infer("matrix", [tensor("features", matrix)])
    by_column = client.infer("matrix", [tensor(name, matrix[:, i]) for i, name in enumerate(MATRIX_COLUMNS)])

    expected = samples.matrix.predict(matrix)
    assert whole.as_numpy("prediction").tobytes() == expected.tobytes()
    assert by_column.as_numpy("prediction").tobytes() == expected.tobytes()


def test_single_precision_features_answer_what_the_booster_predicts_of_the_same_numbers(
    client: triton.InferenceServerClient, samples: Samples
) -> None:
    matrix = np.random.default_rng(2).normal(size=(5, len(MATRIX_COLUMNS))).astype(np.float32)

    answer = client.infer("matrix", [tensor("features", matrix)])

    assert answer.as_numpy("prediction").tobytes() == samples.matrix.predict(matrix).tobytes()


@pytest.mark.parametrize("rows", [1, 5])
def test_multiclass_lightgbm_answers_one_row_of_probabilities_each(
    client: triton.InferenceServerClient, samples: Samples, rows: int
) -> None:
    matrix = np.random.default_rng(rows).normal(size=(rows, len(MATRIX_COLUMNS)))

    answer = client.infer("classes", [tensor("features", matrix)])

    assert answer.as_numpy("prediction").shape == (rows, 3)
    assert answer.as_numpy("prediction").tobytes() == samples.classes.predict(matrix).tobytes()


@pytest.mark.parametrize("rows", [1, 2, 37])
def test_a_linear_model_with_transforms_answers_what_its_estimator_predicts(
    client: triton.InferenceServerClient, samples: Samples, rows: int
) -> None:
    frame = flights(rows, seed=rows)

    answer = client.infer("linear", frame_inputs(frame))

    expected = samples.linear.predict_proba(samples.linear_features.transform(frame))
    np.testing.assert_allclose(answer.as_numpy("prediction"), expected, rtol=0, atol=1e-13)
    assert client.get_model_config("linear").config.platform == "linear"


@pytest.mark.parametrize("rows", [1, 2, 37])
def test_a_forest_answers_what_its_booster_predicts(
    client: triton.InferenceServerClient, samples: Samples, rows: int
) -> None:
    matrix = np.random.default_rng(rows).normal(size=(rows, len(MATRIX_COLUMNS)))
    matrix[0, 0] = np.nan

    answer = client.infer("forest", [tensor("features", matrix)])

    data = xgboost.DMatrix(matrix, feature_names=list(MATRIX_COLUMNS))
    np.testing.assert_allclose(answer.as_numpy("prediction"), samples.forest.predict(data), rtol=1e-5)
    assert client.get_model_config("forest").config.platform == "forest"


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_onnx_answers_what_onnxruntime_gives(
    client: triton.InferenceServerClient, samples: Samples, rows: int
) -> None:
    x = np.random.default_rng(rows).normal(size=(rows, 16)).astype(np.float32)

    answer = client.infer("network", [tensor("x", x)])

    (expected,) = samples.sessions["network"].run(["y"], {"x": x})
    np.testing.assert_array_equal(answer.as_numpy("y"), expected)


def test_every_datatype_comes_back_as_it_went(client: triton.InferenceServerClient, samples: Samples) -> None:
    values = {f"in_{kind}": value_of(kind, 4) for kind in TYPED}

    answer = client.infer("typed", [tensor(name, value) for name, value in values.items()])

    for kind in TYPED:
        got = answer.as_numpy(f"out_{kind}")
        assert answer.get_output(f"out_{kind}").datatype == kind
        if kind == "BYTES":
            assert got.tolist() == values["in_BYTES"].tolist()
        else:
            assert got.tobytes() == values[f"in_{kind}"].tobytes(), kind
            (expected,) = samples.sessions["typed"].run(
                [f"out_{kind}"], {n: v if n != "in_BYTES" else _as_text(v) for n, v in values.items()}
            )
            np.testing.assert_array_equal(got, expected)


def _as_text(values: np.ndarray) -> np.ndarray:
    """onnxruntime's Python face takes text, not bytes."""
    return np.array([[word.decode() for word in row] for row in values.tolist()], dtype=object)


def test_half_precision_comes_back_bit_for_bit(server: ServerProcess) -> None:
    values = {kind: value_of(kind, 6) for kind in HALVES}
    inputs = []
    for kind, value in values.items():
        made = triton.InferInput(f"in_{kind}", list(value.shape), kind)
        made._raw_content = value.tobytes()  # its own BF16 path takes floats and rounds them
        inputs.append(made)
    with triton.InferenceServerClient(server.address) as client:
        answer = client.infer("halves", inputs)

    response = answer.get_response()
    raw = {output.name: response.raw_output_contents[i] for i, output in enumerate(response.outputs)}
    for kind, value in values.items():
        assert raw[f"out_{kind}"] == value.tobytes()
    assert answer.as_numpy("out_FP16").tobytes() == values["FP16"].tobytes()
    np.testing.assert_array_equal(
        answer.as_numpy("out_BF16").astype(np.float32).view(np.uint32) >> 16, values["BF16"]
    )
