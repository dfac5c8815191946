"""ModelStreamInfer through tritonclient's stream, whose answers come to a callback."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.grpc as triton
from triton_tensors import tensor
from tritonclient.utils import InferenceServerException

from server_process import ServerProcess


@pytest.fixture
def client(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


def rows(count: int, value: float = 1.0) -> list[triton.InferInput]:
    return [tensor("x", np.full((count, 16), value, np.float32))]


def test_answers_come_in_the_order_of_the_messages(client: triton.InferenceServerClient) -> None:
    answers: queue.SimpleQueue = queue.SimpleQueue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for index in range(200):
        client.async_stream_infer("network", rows(1 + index % 3, index), request_id=str(index))
    client.stop_stream()

    got = [answers.get(timeout=30) for _ in range(200)]

    assert [result.get_response().id for result, _ in got] == [str(index) for index in range(200)]
    assert all(error is None for _, error in got)
    assert [result.as_numpy("y").shape[0] for result, _ in got] == [1 + index % 3 for index in range(200)]
    assert answers.empty()


def test_an_error_of_one_message_leaves_the_stream_alive(client: triton.InferenceServerClient) -> None:
    answers: queue.SimpleQueue = queue.SimpleQueue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("network", rows(1), request_id="good")
    client.async_stream_infer("nothing", rows(1), request_id="bad")
    client.async_stream_infer("network", [tensor("x", np.zeros((1, 3), np.float32))], request_id="shape")
    client.async_stream_infer("network", rows(2), request_id="good again")
    client.stop_stream()

    got = [answers.get(timeout=30) for _ in range(4)]

    assert [error is None for _, error in got] == [True, False, False, True]
    assert isinstance(got[1][1], InferenceServerException)
    assert "'nothing'" in got[1][1].message()
    assert "[1, 3]" in got[2][1].message()
    assert got[3][0].as_numpy("y").shape == (2, 4)


def test_a_large_stream_message_comes_back(client: triton.InferenceServerClient) -> None:
    answers: queue.SimpleQueue = queue.SimpleQueue()
    x = np.random.default_rng(0).normal(size=(3, 1_000_000)).astype(np.float32)
    client.start_stream(lambda result, error: answers.put((result, error)))
    for _ in range(3):
        client.async_stream_infer("wide", [tensor("x", x)])
    client.stop_stream()

    for _ in range(3):
        result, error = answers.get(timeout=60)
        assert error is None
        np.testing.assert_array_equal(result.as_numpy("y"), -x)


def test_cancelling_a_stream_leaves_the_server_serving(client: triton.InferenceServerClient) -> None:
    answers: queue.SimpleQueue = queue.SimpleQueue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("network", rows(1))
    assert answers.get(timeout=30)[1] is None
    client.stop_stream(cancel_requests=True)

    assert client.infer("network", rows(1)).as_numpy("y").shape == (1, 4)
