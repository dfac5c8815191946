"""Stubs that grpcio-tools generates: unary and streaming calls, raw and typed tensors, large messages."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from generated_stubs import Generated
from infer_requests import FIELD, add_raw, add_typed, network_request, raw_output

from sample_bundles import TYPED, Samples, value_of
from server_process import ServerProcess, StartServer


def typed_request(messages: Any, rows: int, *, raw: bool) -> tuple[Any, dict[str, np.ndarray]]:
    values = {kind: value_of(kind, rows) for kind in TYPED}
    request = messages.ModelInferRequest(model_name="typed", id="t")
    for kind, value in values.items():
        (add_raw if raw else add_typed)(request, f"in_{kind}", kind, value)
    return request, values


def test_typed_contents_of_every_datatype_are_answered_in_kind(stub: Any, generated: Generated) -> None:
    request, values = typed_request(generated.messages, 3, raw=False)

    response = stub.ModelInfer(request)

    assert not response.raw_output_contents
    for output in response.outputs:
        kind = output.datatype
        assert output.name == f"out_{kind}"
        assert list(output.shape) == [3, 2]
        got = getattr(output.contents, FIELD[kind])
        np.testing.assert_array_equal(
            np.array(got, dtype=object if kind == "BYTES" else values[kind].dtype), values[kind].reshape(-1)
        )


def test_raw_contents_of_every_datatype_are_answered_raw(stub: Any, generated: Generated) -> None:
    request, values = typed_request(generated.messages, 3, raw=True)

    response = stub.ModelInfer(request)

    assert len(response.raw_output_contents) == len(TYPED)
    assert not any(output.HasField("contents") for output in response.outputs)
    for kind in (kind for kind in TYPED if kind != "BYTES"):
        assert raw_output(response, f"out_{kind}").tobytes() == values[kind].tobytes()


def test_a_bidirectional_stream_answers_typed_and_raw_messages_one_by_one(
    stub: Any, generated: Generated
) -> None:
    sent = threading.Semaphore(0)

    def requests() -> Iterator[Any]:
        for index in range(20):
            sent.acquire()
            request, _ = typed_request(generated.messages, 1 + index % 3, raw=index % 2 == 0)
            request.id = str(index)
            yield request

    stream = stub.ModelStreamInfer(requests())
    for index in range(20):
        # The next request leaves only after this answer: the server must not wait for more.
        sent.release()
        answer = next(stream)
        assert answer.error_message == ""
        assert answer.infer_response.id == str(index)
        assert bool(answer.infer_response.raw_output_contents) == (index % 2 == 0)
    assert list(stream) == []


def test_a_stream_whose_messages_all_come_first_is_answered_whole(stub: Any, generated: Generated) -> None:
    request, _ = network_request(generated.messages)
    answers = list(stub.ModelStreamInfer(iter([request] * 500)))

    assert len(answers) == 500
    assert {answer.error_message for answer in answers} == {""}


def test_many_threads_and_channels_each_get_their_own_answers(
    server: ServerProcess, generated: Generated, samples: Samples
) -> None:
    def caller(seed: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(server.address, options=options) as channel:
            stub = generated.services.GRPCInferenceServiceStub(channel)
            pending = []
            for index in range(25):
                request, x = network_request(generated.messages, rows=1 + index % 4, seed=seed * 100 + index)
                request.id = f"{seed}-{index}"
                pending.append((request.id, x, stub.ModelInfer.future(request, timeout=60)))
            for sent, x, call in pending:
                response = call.result()
                (expected,) = samples.sessions["network"].run(["y"], {"x": x})
                assert response.id == sent
                np.testing.assert_array_equal(raw_output(response, "y"), expected)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(caller, range(16)))


@pytest.mark.parametrize("raw", [True, False])
def test_tens_of_megabytes_go_both_ways(stub: Any, generated: Generated, raw: bool) -> None:
    x = np.random.default_rng(1).normal(size=(8, 1_000_000)).astype(np.float32)  # 32 MB
    request = generated.messages.ModelInferRequest(model_name="wide")
    (add_raw if raw else add_typed)(request, "x", "FP32", x)

    response = stub.ModelInfer(request, timeout=60)

    got = (
        raw_output(response, "y") if raw else np.array(response.outputs[0].contents.fp32_contents, np.float32)
    )
    assert got.tobytes() == (-x).tobytes()


def test_large_messages_side_by_side_do_not_mix(stub: Any, generated: Generated) -> None:
    calls = []
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(2, 1_000_000)).astype(np.float32)
        request = generated.messages.ModelInferRequest(model_name="wide", id=str(seed))
        add_raw(request, "x", "FP32", x)
        calls.append((x, stub.ModelInfer.future(request, timeout=60)))
    for seed, (x, call) in enumerate(calls):
        assert call.result().id == str(seed)
        assert raw_output(call.result(), "y").tobytes() == (-x).tobytes()


def test_a_message_over_the_limit_is_resource_exhausted_and_names_both_sizes(
    start_server: StartServer, generated: Generated
) -> None:
    server = start_server(settings={"limits": {"max_message_bytes": 100_000}})
    with grpc.insecure_channel(server.address) as channel:
        stub = generated.services.GRPCInferenceServiceStub(channel)
        request = generated.messages.ModelInferRequest(model_name="wide")
        add_raw(request, "x", "FP32", np.zeros((1, 200_000), np.float32))
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(request.ByteSize()) in refused.value.details()
        assert "100000" in refused.value.details()
        assert "limits.max_message_bytes" in refused.value.details()
        with pytest.raises(grpc.RpcError) as streamed:
            list(stub.ModelStreamInfer(iter([request])))
        assert streamed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        good, _ = network_request(generated.messages)
        assert stub.ModelInfer(good).model_name == "network"


def test_the_unix_socket_serves_the_same(server: ServerProcess, generated: Generated) -> None:
    with grpc.insecure_channel(f"unix:{server.unix_socket}") as channel:
        stub = generated.services.GRPCInferenceServiceStub(channel)
        request, _ = network_request(generated.messages)
        assert stub.ModelInfer(request).model_name == "network"
        assert stub.ServerMetadata(generated.messages.ServerMetadataRequest()).name == "penstock"


def test_binary_and_repeated_metadata_disturb_nothing(stub: Any, generated: Generated) -> None:
    request, _ = network_request(generated.messages)
    metadata = [("trace-bin", bytes(range(256))), ("k", "1"), ("k", "2"), ("authorization", "Bearer x")]

    response, call = stub.ModelInfer.with_call(request, metadata=metadata)

    assert response.model_name == "network"
    assert call.code() == grpc.StatusCode.OK


def test_compressed_requests_are_unimplemented_and_the_answer_says_what_is_accepted(
    stub: Any, generated: Generated
) -> None:
    request, _ = network_request(generated.messages, rows=100)
    with pytest.raises(grpc.RpcError, match="identity") as refused:
        stub.ModelInfer(request, compression=grpc.Compression.Gzip)

    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "name", ["TraceSetting", "LogSettings", "SystemSharedMemoryStatus", "CudaSharedMemoryRegister"]
)
def test_optional_rpcs_that_are_not_offered_are_unimplemented(
    stub: Any, generated: Generated, name: str
) -> None:
    with pytest.raises(grpc.RpcError, match=name) as refused:
        getattr(stub, name)(getattr(generated.messages, f"{name}Request")())

    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_known_model_that_is_not_ready_answers_false_and_refuses_as_unavailable(
    start_server: StartServer, samples: Samples, tmp_path: Any, generated: Generated
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(samples.path / "network", repository / "network")
    (repository / "network" / "1" / "model.onnx").write_bytes(b"")
    server = start_server(repository, settings={})
    with grpc.insecure_channel(server.address) as channel:
        stub = generated.services.GRPCInferenceServiceStub(channel)
        ready = stub.ModelReady(generated.messages.ModelReadyRequest(name="network"))
        request, _ = network_request(generated.messages)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request)

    assert ready.ready is False
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
