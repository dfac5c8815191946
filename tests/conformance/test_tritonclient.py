"""tritonclient's blocking client, and the callbacks of its asynchronous call."""

from __future__ import annotations

import queue
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tritonclient.grpc as triton
from triton_tensors import frame_inputs, tensor
from tritonclient.utils import InferenceServerException

from sample_bundles import MATRIX_COLUMNS, MAX_ROWS, MODEL_SETTINGS, TYPED, Samples, flights, value_of
from server_process import ServerProcess, StartServer


@pytest.fixture
def client(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


def x(rows: int = 1) -> np.ndarray:
    return np.arange(rows * 16, dtype=np.float32).reshape(rows, 16)


def ab() -> list[triton.InferInput]:
    return [tensor("a", np.full((2, 3), 3, np.float32)), tensor("b", np.full((2, 3), 4, np.float32))]


def test_server_and_models_say_that_they_are_ready(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("delay")
    assert client.is_model_ready("delay", "1")
    assert client.is_model_ready("delay", "champion")


def test_unknown_models_and_versions_are_no_models_that_are_ready(
    client: triton.InferenceServerClient,
) -> None:
    # tritonclient hands the status on where other clients may take it for "not ready".
    for name, version in (("nothing", ""), ("delay", "77")):
        with pytest.raises(InferenceServerException, match=r"nothing|77") as refused:
            client.is_model_ready(name, version)
        assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_server_metadata_names_the_server_and_its_extensions(client: triton.InferenceServerClient) -> None:
    metadata = client.get_server_metadata(as_json=True)

    assert metadata["name"] == "penstock"
    assert metadata["version"]
    assert {"model_repository", "model_configuration", "statistics", "parameters"} <= set(
        metadata["extensions"]
    )


def test_model_metadata_lists_columns_datatypes_and_versions(client: triton.InferenceServerClient) -> None:
    metadata = client.get_model_metadata("delay", as_json=True)

    assert metadata["name"] == "delay"
    assert metadata["versions"] == ["1", "2"]
    inputs = {one["name"]: (one["datatype"], one["shape"]) for one in metadata["inputs"]}
    assert inputs == {
        "distance": ("FP64", ["-1"]),
        "hour": ("INT64", ["-1"]),
        "wind": ("FP64", ["-1"]),
        "carrier": ("BYTES", ["-1"]),
    }
    assert metadata["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": ["-1"]}]


def test_model_config_agrees_with_the_metadata(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("network").config
    limited = client.get_model_config("matrix", "1").config

    assert config.name == "network"
    assert config.platform == "onnxruntime_onnx"
    assert [(one.name, list(one.dims)) for one in config.input] == [("x", [16])]
    assert [(one.name, list(one.dims)) for one in config.output] == [("y", [4])]
    assert limited.max_batch_size == MAX_ROWS
    assert [one.name for one in limited.input] == list(MATRIX_COLUMNS)


def test_statistics_count_rows_executions_and_failures(start_server: StartServer) -> None:
    server = start_server()
    with triton.InferenceServerClient(server.address) as client:
        for rows in (1, 5):
            client.infer("network", [tensor("x", x(rows))])
        with pytest.raises(InferenceServerException):
            client.infer("network", [tensor("x", np.zeros((1, 3), np.float32))])

        (stats,) = client.get_inference_statistics("network").model_stats
        everything = client.get_inference_statistics().model_stats

    assert (stats.name, stats.version) == ("network", "1")
    assert stats.inference_count == 6
    assert stats.execution_count == 2
    assert stats.inference_stats.success.count == 2
    assert stats.inference_stats.fail.count == 1
    assert 0 < stats.inference_stats.compute_infer.ns <= stats.inference_stats.success.ns
    assert stats.last_inference > 1_600_000_000_000
    assert {one.name for one in everything} >= {"network", "delay", "matrix", "typed"}


def test_repository_index_lists_every_version(client: triton.InferenceServerClient) -> None:
    index = client.get_model_repository_index()

    found = {(model.name, model.version): model.state for model in index.models}
    assert found[("delay", "1")] == found[("delay", "2")] == found[("network", "1")] == "READY"


@pytest.mark.parametrize("name", ["load_model", "unload_model"])
def test_loading_and_unloading_are_refused_unless_configured(
    client: triton.InferenceServerClient, name: str
) -> None:
    with pytest.raises(InferenceServerException, match=r"repository\.allow_load_unload") as refused:
        getattr(client, name)("network")

    assert refused.value.status() == "StatusCode.PERMISSION_DENIED"
    assert client.is_model_ready("network")


def test_loading_and_unloading_work_where_they_are_allowed(
    start_server: StartServer, samples: Samples, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(samples.path / "network", repository / "network")
    server = start_server(repository, "--allow-load-unload", settings={})
    with triton.InferenceServerClient(server.address) as client:
        client.unload_model("network")
        with pytest.raises(InferenceServerException) as gone:
            client.infer("network", [tensor("x", x())])
        not_ready = client.is_model_ready("network")
        client.load_model("network")
        answer = client.infer("network", [tensor("x", x())])
        shutil.copytree(samples.path / "wide", repository / "wide")
        client.load_model("wide")
        with pytest.raises(InferenceServerException, match="nothing") as unknown:
            client.load_model("nothing")
        assert client.is_model_ready("wide")

    assert gone.value.status() == "StatusCode.UNAVAILABLE"
    assert not not_ready
    assert answer.as_numpy("y").shape == (1, 4)
    assert unknown.value.status() == "StatusCode.NOT_FOUND"


def test_the_answer_names_model_version_and_request(client: triton.InferenceServerClient) -> None:
    answer = client.infer("network", [tensor("x", x())], request_id="Zürich ✈ 1")

    response = answer.get_response()
    assert response.id == "Zürich ✈ 1"
    assert (response.model_name, response.model_version) == ("network", "1")
    assert response.parameters["penstock_arm"].string_param == "stable"
    assert len(response.parameters["penstock_digest"].string_param) == 64


@pytest.mark.parametrize(
    ("asked", "served", "arm"),
    [
        ("1", "1", "pinned"),
        ("2", "2", "pinned"),
        ("champion", "2", "pinned"),
        ("stable", "1", "stable"),
        ("", "1", "stable"),
    ],
)
def test_versions_and_aliases_pick_the_version_that_answers(
    client: triton.InferenceServerClient, samples: Samples, asked: str, served: str, arm: str
) -> None:
    frame = flights(3, seed=4)

    answer = client.infer("delay", frame_inputs(frame), model_version=asked)

    assert answer.get_response().model_version == served
    assert answer.get_response().parameters["penstock_arm"].string_param == arm
    np.testing.assert_allclose(
        answer.as_numpy("prediction"), samples.delay[served].predict(frame), rtol=0, atol=1e-12
    )


def test_only_requested_outputs_come_in_the_requested_order(client: triton.InferenceServerClient) -> None:
    answer = client.infer("arithmetic", ab(), outputs=[triton.InferRequestedOutput("product")])
    both = client.infer(
        "arithmetic", ab(), outputs=[triton.InferRequestedOutput(name) for name in ("product", "sum")]
    )

    assert [output.name for output in answer.get_response().outputs] == ["product"]
    np.testing.assert_array_equal(answer.as_numpy("product"), np.full((2, 3), 12))
    assert answer.as_numpy("sum") is None
    assert [output.name for output in both.get_response().outputs] == ["product", "sum"]
    np.testing.assert_array_equal(both.as_numpy("sum"), np.full((2, 3), 7))


def test_without_requested_outputs_all_come(client: triton.InferenceServerClient) -> None:
    answer = client.infer("arithmetic", ab())

    np.testing.assert_array_equal(answer.as_numpy("sum"), np.full((2, 3), 7))
    np.testing.assert_array_equal(answer.as_numpy("product"), np.full((2, 3), 12))


def test_the_order_of_inputs_does_not_matter(client: triton.InferenceServerClient) -> None:
    a = np.arange(3, dtype=np.float32).reshape(1, 3)
    answer = client.infer("arithmetic", [tensor("b", a + 1), tensor("a", a)])

    np.testing.assert_array_equal(answer.as_numpy("product"), a * (a + 1))


def test_request_parameters_of_every_kind_are_accepted(client: triton.InferenceServerClient) -> None:
    answer = client.infer(
        "network",
        [tensor("x", x())],
        parameters={"text": "x", "count": 3, "flag": True},
        priority=2,
        sequence_id=7,
        sequence_start=True,
    )

    assert answer.as_numpy("y").shape == (1, 4)


def test_parameters_of_inputs_and_outputs_are_accepted_and_change_nothing(
    client: triton.InferenceServerClient,
) -> None:
    plain = client.infer("network", [tensor("x", x())]).as_numpy("y")
    given, asked = tensor("x", x()), triton.InferRequestedOutput("y")
    given._get_tensor().parameters["scale"].int64_param = 3
    asked._get_tensor().parameters["binary_data"].bool_param = False
    answer = client.infer(
        "network", [given], outputs=[asked], priority=9, sequence_id=8, sequence_start=True, sequence_end=True
    )

    np.testing.assert_array_equal(answer.as_numpy("y"), plain)


def test_headers_of_the_caller_disturb_nothing(client: triton.InferenceServerClient) -> None:
    headers = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "x-long": "v" * 4000}

    assert client.infer("network", [tensor("x", x())], headers=headers).as_numpy("y").shape == (1, 4)


def test_text_columns_go_in_as_bytes_and_empty_text_is_missing(
    client: triton.InferenceServerClient, samples: Samples
) -> None:
    frame = pd.DataFrame(
        {
            "distance": [0.1] * 4,
            "hour": [5] * 4,
            "wind": [np.nan] * 4,
            "carrier": ["Zürich ✈", "", "UA", "AA"],
        }
    )

    answer = client.infer("delay", frame_inputs(frame))

    np.testing.assert_allclose(
        answer.as_numpy("prediction"), samples.delay["1"].predict(frame), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("rows", [1, 64])
def test_text_comes_out_as_it_went_in(client: triton.InferenceServerClient, rows: int) -> None:

    values = {kind: value_of(kind, rows) for kind in TYPED}
    answer = client.infer(
        "typed",
        [tensor(f"in_{kind}", value) for kind, value in values.items()],
        outputs=[triton.InferRequestedOutput("out_BYTES")],
    )

    assert answer.as_numpy("out_BYTES").tolist() == values["BYTES"].tolist()


@pytest.mark.parametrize(
    ("model", "version", "code", "fragment"),
    [
        ("nothing", "", "StatusCode.NOT_FOUND", "nothing"),
        ("network", "9", "StatusCode.NOT_FOUND", "9"),
        ("typed", "", "StatusCode.INVALID_ARGUMENT", "'x'"),
    ],
)
def test_refusals_are_exceptions_with_status_and_message(
    client: triton.InferenceServerClient, model: str, version: str, code: str, fragment: str
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer(model, [tensor("x", x())], model_version=version)

    assert refused.value.status() == code
    assert fragment in refused.value.message()


def test_client_timeout_ends_a_call_that_takes_longer(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as expired:
        client.infer("loop", [tensor("rounds", np.array([400_000]))], client_timeout=0.02)

    assert expired.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert client.is_server_live()


def test_callbacks_get_the_answers_of_calls_in_flight(client: triton.InferenceServerClient) -> None:
    answers: queue.SimpleQueue = queue.SimpleQueue()
    for index in range(32):
        client.async_infer(
            "network",
            [tensor("x", x() + index)],
            callback=lambda result, error: answers.put((result, error)),
            request_id=str(index),
        )

    got = [answers.get(timeout=30) for _ in range(32)]

    assert all(error is None for _, error in got)
    assert {result.get_response().id for result, _ in got} == {str(index) for index in range(32)}


def test_a_cancelled_call_says_so_and_the_server_goes_on(client: triton.InferenceServerClient) -> None:
    answers: queue.SimpleQueue = queue.SimpleQueue()
    call = client.async_infer(
        "loop",
        [tensor("rounds", np.array([200_000]))],
        callback=lambda result, error: answers.put((result, error)),
    )
    call.cancel()

    result, error = answers.get(timeout=30)

    assert result is None
    assert error.status() == "StatusCode.CANCELLED"
    assert client.infer("network", [tensor("x", x())]).as_numpy("y").shape == (1, 4)


def test_a_model_without_settings_serves_its_latest_version(
    start_server: StartServer, samples: Samples
) -> None:
    assert "models.delay" in MODEL_SETTINGS
    server = start_server(samples.path, settings={})
    with triton.InferenceServerClient(server.address) as client:
        assert client.infer("delay", frame_inputs(flights(1))).get_response().model_version == "2"
        with pytest.raises(InferenceServerException) as refused:
            client.infer("delay", frame_inputs(flights(1)), model_version="1")

    assert refused.value.status() in ("StatusCode.NOT_FOUND", "StatusCode.UNAVAILABLE")
