"""tritonclient's asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from triton_tensors import frame_inputs, tensor
from tritonclient.utils import InferenceServerException

from sample_bundles import Samples, flights
from server_process import ServerProcess


def run(server: ServerProcess, work: Callable[[triton.InferenceServerClient], Awaitable[Any]]) -> Any:
    async def connected() -> Any:
        async with triton.InferenceServerClient(server.address) as client:
            return await work(client)

    return asyncio.run(connected())


def x(rows: int = 1, value: float = 1.0) -> Any:
    return [tensor("x", np.full((rows, 16), value, np.float32))]


def test_readiness_metadata_and_index(server: ServerProcess) -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("delay", "stable")
        assert (await client.get_server_metadata()).name == "penstock"
        assert (await client.get_model_metadata("network")).inputs[0].name == "x"
        assert (await client.get_model_config("network")).config.input[0].dims == [16]
        assert len((await client.get_model_repository_index()).models) >= 8
        assert (await client.get_inference_statistics("delay")).model_stats

    run(server, ask)


def test_many_calls_at_once_each_get_their_own_answer(server: ServerProcess, samples: Samples) -> None:
    async def ask(client: triton.InferenceServerClient) -> list[Any]:
        return await asyncio.gather(
            *(client.infer("network", x(1, index), request_id=str(index)) for index in range(200))
        )

    answers = run(server, ask)

    batch = np.stack([np.full(16, index, np.float32) for index in range(200)])
    (expected,) = samples.sessions["network"].run(["y"], {"x": batch})
    for index, answer in enumerate(answers):
        assert answer.get_response().id == str(index)
        np.testing.assert_allclose(answer.as_numpy("y")[0], expected[index], rtol=1e-4)


def test_text_columns_and_versions(server: ServerProcess, samples: Samples) -> None:
    frame = flights(11, seed=6)

    async def ask(client: triton.InferenceServerClient) -> Any:
        return await client.infer("delay", frame_inputs(frame), model_version="stable")

    np.testing.assert_allclose(
        run(server, ask).as_numpy("prediction"), samples.delay["1"].predict(frame), rtol=0, atol=1e-12
    )


def test_errors_carry_their_status(server: ServerProcess) -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        with pytest.raises(InferenceServerException, match="'nothing'") as refused:
            await client.infer("nothing", x())
        assert refused.value.status() == "StatusCode.NOT_FOUND"
        with pytest.raises(InferenceServerException) as expired:
            await client.infer("loop", [tensor("rounds", np.array([400_000]))], client_timeout=0.02)
        assert expired.value.status() == "StatusCode.DEADLINE_EXCEEDED"

    run(server, ask)


def test_a_stream_answers_each_message_in_order(server: ServerProcess) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for index in range(50):
            name = "nothing" if index == 25 else "network"
            yield {"model_name": name, "inputs": x(1, index), "request_id": str(index)}

    async def ask(client: triton.InferenceServerClient) -> list[Any]:
        return [answer async for answer in client.stream_infer(requests())]

    answers = run(server, ask)

    assert [error is None for _, error in answers] == [index != 25 for index in range(50)]
    good = [result.get_response().id for result, error in answers if error is None]
    assert good == [str(index) for index in range(50) if index != 25]


def test_cancelling_a_task_cancels_its_call(server: ServerProcess) -> None:
    async def ask(client: triton.InferenceServerClient) -> None:
        slow = asyncio.create_task(client.infer("loop", [tensor("rounds", np.array([100_000]))]))
        await asyncio.sleep(0.01)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert (await client.infer("network", x())).as_numpy("y").shape == (1, 4)

    run(server, ask)
