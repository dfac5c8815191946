"""The output that comes to those who name it: contributions over gRPC, asked for by tritonclient."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import tritonclient.grpc as triton
import xgboost
from triton_tensors import frame_inputs, tensor
from tritonclient.utils import InferenceServerException

from sample_bundles import MATRIX_COLUMNS, Samples, flights
from server_process import ServerProcess

BOTH = ("contributions", "prediction")


@pytest.fixture
def client(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


def asked(*names: str) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name) for name in names]


def matrix_rows(rows: int = 9) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(rows, len(MATRIX_COLUMNS)))


def test_who_names_no_output_gets_none(client: triton.InferenceServerClient) -> None:
    answer = client.infer("matrix", [tensor("features", matrix_rows())])
    assert [output.name for output in answer.get_response().outputs] == ["prediction"]
    metadata = client.get_model_metadata("matrix", as_json=True)
    assert [output["name"] for output in metadata["outputs"]] == ["prediction"]


def test_those_of_a_model_with_transforms_are_of_its_matrix(
    client: triton.InferenceServerClient, samples: Samples
) -> None:
    delay, frame = samples.delay["2"], flights(20, seed=7)
    answer = client.infer("delay", frame_inputs(frame), "2", outputs=asked(*BOTH))
    assert [output.name for output in answer.get_response().outputs] == list(BOTH)
    explained = answer.as_numpy("contributions")
    expected = delay.booster.predict(delay.features.transform(frame), pred_contrib=True)
    np.testing.assert_allclose(explained, expected, rtol=1e-12, atol=1e-12)
    odds = 1 / (1 + np.exp(-explained.sum(axis=1)))
    np.testing.assert_allclose(odds, answer.as_numpy("prediction"), rtol=1e-12)
    parameters = client.get_model_config("delay", "2").config.parameters
    names = json.loads(parameters["penstock_contributions"].string_value)
    assert names == delay.features.output_names
    assert explained.shape == (20, len(names) + 1)


def test_those_of_several_classes_are_one_block_each(
    client: triton.InferenceServerClient, samples: Samples
) -> None:
    x = matrix_rows()
    answer = client.infer("classes", [tensor("features", x)], outputs=asked("contributions"))
    expected = samples.classes.predict(x, pred_contrib=True)
    assert expected.shape == (9, 3 * (len(MATRIX_COLUMNS) + 1))
    np.testing.assert_allclose(answer.as_numpy("contributions"), expected, rtol=1e-12, atol=1e-12)


def test_those_of_xgboosts_trees_are_xgboosts(client: triton.InferenceServerClient, samples: Samples) -> None:
    x = matrix_rows()
    answer = client.infer("forest", [tensor("features", x)], outputs=asked("contributions"))
    data = xgboost.DMatrix(x, feature_names=list(MATRIX_COLUMNS))
    expected = samples.forest.predict(data, pred_contribs=True)  # in single precision
    np.testing.assert_allclose(answer.as_numpy("contributions"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "outputs", "words"),
    [
        ("network", ("contributions",), "'contributions' is not one of this model's; expected: y"),
        ("linear", ("contributions",), "'contributions' is not one of this model's; expected: prediction"),
        ("matrix", ("shares",), "'shares' is not one of this model's; expected: prediction, contributions"),
        ("matrix", ("contributions", "contributions"), "'contributions' is asked for twice"),
    ],
)
def test_what_cannot_be_given_is_refused_with_what_can(
    client: triton.InferenceServerClient, model: str, outputs: tuple[str, ...], words: str
) -> None:
    inputs = {
        "network": [tensor("x", np.zeros((1, 16), np.float32))],
        "linear": frame_inputs(flights(1)),
        "matrix": [tensor("features", matrix_rows(1))],
    }
    with pytest.raises(InferenceServerException, match=words) as refused:
        client.infer(model, inputs[model], outputs=asked(*outputs))
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_models_that_give_none_name_nothing_that_they_are_of(client: triton.InferenceServerClient) -> None:
    for model in ("network", "linear"):
        assert "penstock_contributions" not in client.get_model_config(model).config.parameters


def test_the_frames_columns_may_come_in_any_order(
    client: triton.InferenceServerClient, samples: Samples
) -> None:
    frame: pd.DataFrame = flights(5, seed=3)
    turned = frame[frame.columns[::-1]]
    answers = [
        client.infer("delay", frame_inputs(given), "1", outputs=asked("contributions"))
        for given in (frame, turned)
    ]
    first, second = (answer.as_numpy("contributions") for answer in answers)
    assert first.tobytes() == second.tobytes()
