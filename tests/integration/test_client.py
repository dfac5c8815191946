"""Penstock's Python clients against the real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from cli_server import started

import penstock
from penstock.errors import InputError, NotFoundError, RefusedError

COLUMNS = ["hour", "distance", "temperature"]
ROWS = 500


@dataclass
class Served:
    """A server's address, and a model that it serves with rows and their predictions."""

    address: str
    bundle: Any
    frame: pd.DataFrame
    expected: np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    repository = tmp_path_factory.mktemp("repository")
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "hour": random.integers(0, 24, ROWS).astype(float),
            "distance": random.normal(800, 300, ROWS),
            "temperature": np.where(random.random(ROWS) < 0.1, np.nan, random.normal(10, 8, ROWS)),
        }
    )
    booster = lightgbm.train(
        {"objective": "regression", "num_leaves": 7, "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(frame, np.cos(frame["hour"]) + frame["distance"] / 500),
        20,
    )
    bundle = penstock.build(
        repository, name="delay", version="1", model=booster, examples=frame.head(16), max_rows=128
    )
    program, address = started(repository)
    yield Served(address, bundle, frame, booster.predict(frame))
    program.stop()


@pytest.fixture
def client(served: Served) -> Iterator[penstock.Client]:
    with penstock.Client(served.address) as client:
        yield client


def close(result: Any, expected: np.ndarray[Any, Any]) -> None:
    np.testing.assert_allclose(result["prediction"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame,
        pl.from_pandas,
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        lambda frame: frame.to_dict("list"),
        lambda frame: {name: frame[name].to_numpy() for name in frame},
        lambda frame: {name: frame[[name]].to_numpy() for name in frame},
        lambda frame: frame.to_numpy(),
        lambda frame: np.asfortranarray(frame.to_numpy()),
        lambda frame: {"features": frame.to_numpy()},
        lambda frame: frame.assign(surplus="x")[["surplus", *reversed(COLUMNS)]],
    ],
    ids=[
        "pandas",
        "polars",
        "arrow",
        "lists",
        "arrays",
        "n-by-1",
        "matrix",
        "fortran",
        "features",
        "reordered",
    ],
)
def test_every_form_of_the_same_rows_gets_the_models_answers(
    client: penstock.Client, served: Served, convert: Any
) -> None:
    result = client.infer("delay", convert(served.frame.head(100)), id="r7")
    close(result, served.expected[:100])
    assert (result.version, result.id, result.arm, result.digest) == (
        "1",
        "r7",
        "stable",
        served.bundle.digest,
    )


def test_more_rows_than_the_model_takes_go_in_parts(client: penstock.Client, served: Served) -> None:
    with pytest.raises(InputError, match="128"):
        client.infer("delay", served.frame)
    close(client.infer("delay", served.frame, max_rows=128), served.expected)


def test_a_batch_without_rows_is_refused_as_such(client: penstock.Client, served: Served) -> None:
    with pytest.raises(InputError, match="the batch is empty"):
        client.infer("delay", served.frame.head(0))


def test_what_the_server_refuses_is_told_by_class_and_words(client: penstock.Client, served: Served) -> None:
    with pytest.raises(NotFoundError, match="other"):
        client.infer("other", served.frame)
    with pytest.raises(NotFoundError, match="7"):
        client.infer("delay", served.frame.head(1), version="7")
    with pytest.raises(InputError, match="score"):
        client.infer("delay", served.frame.head(1), outputs=["score"])
    with pytest.raises(RefusedError, match="allow_load_unload"):
        client.unload("delay")


def test_the_server_describes_itself_and_its_model(client: penstock.Client, served: Served) -> None:
    assert client.is_live()
    assert client.is_ready()
    assert client.is_ready("delay")
    assert client.server_metadata().name == "penstock"
    metadata = client.model_metadata("delay")
    assert [(tensor.name, tensor.datatype) for tensor in metadata.inputs] == [
        (name, "FP64") for name in COLUMNS
    ]
    assert client.model_config("delay")["max_batch_size"] == 128
    assert [(state.name, state.version, state.state) for state in client.index()] == [("delay", "1", "READY")]
    before = client.statistics("delay")[0].get("inference_count", 0)
    client.infer("delay", served.frame.head(5))
    assert client.statistics("delay")[0]["inference_count"] == before + 5


def test_a_stream_answers_each_batch_in_order(client: penstock.Client, served: Served) -> None:
    batches = [served.frame[i : i + 10] for i in range(0, ROWS, 10)]
    for index, result in enumerate(client.stream_infer("delay", batches)):
        close(result, served.expected[index * 10 : index * 10 + 10])
    assert index == len(batches) - 1


def test_a_stream_goes_on_after_a_refused_batch(client: penstock.Client, served: Served) -> None:
    batches = [served.frame.head(2), served.frame, served.frame.head(3)]
    first, refused, last = client.stream_infer("delay", batches, return_errors=True)
    close(first, served.expected[:2])
    assert "128" in str(refused)
    close(last, served.expected[:3])


def test_many_tasks_share_an_asyncio_client(served: Served) -> None:
    async def run() -> None:
        async with penstock.AsyncClient(served.address) as client:
            rows = [served.frame[i : i + 1] for i in range(200)]
            results = await asyncio.gather(*(client.infer("delay", row) for row in rows))
            for index, result in enumerate(results):
                close(result, served.expected[index : index + 1])
            streamed = [result async for result in client.stream_infer("delay", rows[:20])]
            assert len(streamed) == 20

    asyncio.run(run())


def test_a_runner_in_this_process_gives_the_servers_answers(client: penstock.Client, served: Served) -> None:
    rows = served.frame.head(64)
    local = penstock.load(served.bundle).predict(rows)["prediction"]
    np.testing.assert_array_equal(client.infer("delay", rows)["prediction"], local)
