"""A table scored in this process is answered to the bit as a server answers the same rows over gRPC."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import penstock
from penstock import scoring
from sample_bundles import (
    MATRIX_COLUMNS,
    MODEL_SETTINGS,
    TRIPS_SETTINGS,
    Samples,
    flights,
    trips,
    write_trips,
)
from server_process import ServerProcess

ROWS = 701


@pytest.fixture(scope="module")
def repository(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of the samples that are asked here, and one with every sort of column and code of its own."""
    made = tmp_path_factory.mktemp("repository")
    for model in CASES:
        if model != "trips":
            shutil.copytree(samples.path / model, made / model)
    write_trips(made)
    return made


@pytest.fixture(scope="module")
def client(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[penstock.Client]:
    folder = tmp_path_factory.mktemp("server")
    settings = {**MODEL_SETTINGS, **TRIPS_SETTINGS}
    with (
        ServerProcess(repository, settings=settings, folder=folder) as server,
        penstock.Client(server.address) as made,
    ):
        yield made


def matrix() -> pd.DataFrame:
    random = np.random.default_rng(4)
    frame = pd.DataFrame(random.normal(size=(ROWS, len(MATRIX_COLUMNS))), columns=list(MATRIX_COLUMNS))
    frame.loc[::9, "f2"] = np.nan
    return frame


def missing_text() -> pd.DataFrame:
    frame = flights(ROWS, seed=11)
    frame.loc[::7, "carrier"] = None
    frame.loc[3::11, "carrier"] = "an airline of which training knew nothing"
    return frame


def unseen_trips() -> pd.DataFrame:
    frame = trips(ROWS, seed=11)
    frame.loc[::7, ["carrier", "airport"]] = "what training knew nothing of"
    frame.loc[::13, "departs"] = "no instant"
    frame.loc[5::97, "note"] = "late crew über " * 2000
    frame.loc[::17, "wind"] = np.inf
    return frame


# Of each model: the version, and rows for it.
CASES: dict[str, tuple[str, Any]] = {
    "delay": ("1", missing_text),
    "linear": ("1", missing_text),
    "trips": ("1", unseen_trips),
    "matrix": ("1", matrix),
    "classes": ("1", matrix),
    "network": ("1", lambda: {"x": np.random.default_rng(2).normal(size=(ROWS, 16)).astype("f4")}),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("block_rows", [1, 13, 64, 5000])
@pytest.mark.parametrize("model", CASES)
def test_blocks_of_any_size_on_any_number_of_threads_are_answered_as_by_the_server(
    client: penstock.Client, repository: Path, tmp_path: Path, model: str, block_rows: int, threads: int
) -> None:
    version, make = CASES[model]
    data = make()
    runner = penstock.load(repository / model / version, allow_custom=model == "trips")
    remote = client.infer(model, data, version=version, max_rows=min(block_rows, 64))
    sources: list[Any] = [data]
    if isinstance(data, pd.DataFrame):
        path = tmp_path / "table.parquet"
        pq.write_table(pa.Table.from_pandas(data), path, row_group_size=200)
        sources += [pl.from_pandas(data), pa.Table.from_pandas(data), path]
    for source in sources:
        local = scoring.joined(runner.score(source, threads=threads, block_rows=block_rows))
        assert list(local) == list(remote)
        for name, array in local.items():
            assert array.dtype == remote[name].dtype
            assert array.shape == remote[name].shape
            assert array.tobytes() == remote[name].tobytes()
