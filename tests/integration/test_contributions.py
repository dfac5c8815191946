"""Contributions as a user asks for them: with the client, in this process, and on the command line."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from cli_server import PROGRAM

import penstock
from penstock.errors import InputError
from sample_bundles import MATRIX_COLUMNS, Samples, flights
from server_process import ServerProcess


def run(*arguments: object, code: int = 0) -> str:
    done = subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    flights(30, seed=7).to_parquet(path)
    return path


def test_the_client_and_this_process_give_the_same(server: ServerProcess, samples: Samples) -> None:
    frame, outputs = flights(12, seed=5), ["contributions", "prediction"]
    runner = penstock.load(samples.path / "delay" / "2")
    local = runner.predict(frame, outputs)
    assert list(local) == outputs
    with penstock.Client(server.address) as client:
        remote = client.infer("delay", frame, version="2", outputs=outputs)
    for name in outputs:
        assert remote[name].tobytes() == local[name].tobytes()
    assert list(runner.predict(frame)) == ["prediction"]
    assert [tensor.name for tensor in runner.outputs] == ["prediction"]
    assert [tensor.name for tensor in runner.optional_outputs] == ["contributions"]
    assert list(runner.matrix_columns) == samples.delay["2"].features.output_names
    assert local["contributions"].shape == (12, len(runner.matrix_columns) + 1)


def test_a_table_without_rows_has_them_too(samples: Samples) -> None:
    runner = penstock.load(samples.path / "classes" / "1")
    none = runner.predict(np.empty((0, len(MATRIX_COLUMNS))), ["contributions"])
    assert none["contributions"].shape == (0, 3 * (len(MATRIX_COLUMNS) + 1))
    assert list(runner.predict(np.empty((0, len(MATRIX_COLUMNS))))) == ["prediction"]


def test_a_model_without_them_refuses(samples: Samples) -> None:
    runner = penstock.load(samples.path / "linear" / "1")
    assert runner.optional_outputs == ()
    with pytest.raises(InputError, match="'contributions' is not one of this model's; expected: prediction"):
        runner.predict(flights(1), ["contributions"])


def test_the_command_line_names_their_columns(
    server: ServerProcess, samples: Samples, rows: Path, tmp_path: Path
) -> None:
    local = ("--local", "--repository", samples.path)
    text = run("predict", "delay:2", rows, *local, "--contributions")
    table = pd.read_csv(io.StringIO(text))
    delay, frame = samples.delay["2"], flights(30, seed=7)
    names = [f"contributions_of_{name}" for name in delay.features.output_names]
    assert list(table.columns) == ["prediction", *names, "contributions_mean"]
    expected = delay.booster.predict(delay.features.transform(frame), pred_contrib=True)
    np.testing.assert_allclose(table[[*names, "contributions_mean"]], expected, rtol=1e-12, atol=1e-12)

    remote = ("--server", server.address, "--contributions")
    assert run("predict", "delay:2", rows, *remote) == text
    run("predict", "delay:2", rows, *remote, "--output", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pandas().equals(table)
    found = json.loads(run("predict", "delay:2", rows, *remote, "--json"))
    assert list(found["outputs"]) == list(table.columns)
    assert list(pd.read_csv(io.StringIO(run("predict", "delay:2", rows, *local)))) == ["prediction"]


def test_the_command_line_names_the_classes_too(
    server: ServerProcess, samples: Samples, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(",".join(MATRIX_COLUMNS) + "\n")
    expected = [
        *(f"prediction_{output}" for output in range(3)),
        *(
            f"contributions_{output}_{name}"
            for output in range(3)
            for name in (*(f"of_{column}" for column in MATRIX_COLUMNS), "mean")
        ),
    ]
    for where in (("--server", server.address), ("--local", "--repository", samples.path)):
        assert run("predict", "classes", rows, "--contributions", *where).strip().split(",") == expected


def test_the_command_line_refuses_where_there_are_none(
    server: ServerProcess, samples: Samples, rows: Path
) -> None:
    for where in (("--server", server.address), ("--local", "--repository", samples.path)):
        said = run("predict", "linear", rows, "--contributions", *where, code=1)
        assert "model 'linear' gives no contributions, only prediction" in said


def test_a_bundle_tells_the_columns_that_they_are_of(samples: Samples) -> None:
    folder = samples.path / "delay" / "2"
    names = samples.delay["2"].features.output_names
    assert json.loads(run("bundle", "inspect", folder, "--plan", "--json"))["matrix_columns"] == names
    assert f"matrix columns  {', '.join(names)}" in run("bundle", "inspect", folder, "--plan")
