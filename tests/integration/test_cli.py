"""The command line from a model file to an answer, each command as a process against the real server."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from cli_server import PROGRAM, Program, started

COLUMNS = ["hour", "distance", "temperature"]


def penstock(*arguments: object, code: int = 0, stdin: str | None = None) -> str:
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@dataclass
class Workshop:
    """Rows in files, a model's versions in a repository, and what the model makes of the rows."""

    folder: Path
    expected: dict[str, np.ndarray[Any, Any]]  # by version

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def rows(self) -> Path:
        return self.folder / "rows.csv"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    random = np.random.default_rng(7)
    matrix = np.column_stack(
        [random.integers(0, 24, 800).astype(float), random.normal(800, 300, 800), random.normal(10, 8, 800)]
    )
    matrix[::9, 2] = np.nan
    target = np.sin(matrix[:, 0]) + matrix[:, 1] / 500
    table = pa.table({name: matrix[:, index] for index, name in enumerate(COLUMNS)})
    pq.write_table(table, folder / "train.parquet")
    pq.write_table(table, folder / "rows.parquet")
    with (folder / "rows.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        writer.writerows([["" if np.isnan(v) else repr(v) for v in row] for row in matrix.tolist()])
    pq.write_table(table.slice(0, 32), folder / "examples.parquet")
    expected = {}
    for version, rounds in (("1", 5), ("2", 20)):
        booster = lightgbm.train(
            {"objective": "regression", "num_leaves": 7, "verbose": -1, "num_threads": 1, "seed": 1},
            lightgbm.Dataset(matrix, target, feature_name=COLUMNS),
            rounds,
        )
        booster.save_model(folder / f"model-{version}.txt")
        expected[version] = booster.predict(matrix)
        out = penstock(
            "bundle", "build", "--model", folder / f"model-{version}.txt", "--name", "delay",
            "--version", version, "--repository", folder / "repository",
            "--reference", folder / "train.parquet", "--examples", folder / "examples.parquet",
            "--max-rows", 300,
            "--lineage", "author=Ann", "--lineage", f"parameters.rounds={rounds}", "--json",
        )  # fmt: skip
        assert json.loads(out)["path"] == str(folder / "repository" / "delay" / version)
    return Workshop(folder, expected)


@pytest.fixture(scope="module")
def server(workshop: Workshop) -> Iterator[str]:
    program, address = started(workshop.repository, "--allow-load-unload")
    yield address
    program.stop()


def predictions(text: str) -> np.ndarray[Any, Any]:
    return np.array([float(row["prediction"]) for row in csv.DictReader(io.StringIO(text))])


def test_a_built_bundle_tells_what_went_into_it(workshop: Workshop) -> None:
    found = json.loads(penstock("bundle", "inspect", workshop.repository / "delay" / "2", "--json"))
    assert found["lineage"]["author"] == "Ann"
    assert found["lineage"]["parameters"] == {"rounds": 20}
    assert found["lineage"]["training_data"]["rows"] == 800
    assert [tensor["name"] for tensor in found["inputs"]] == COLUMNS
    assert found["golden"]["rows"] == 32
    text = penstock("bundle", "verify", workshop.repository / "delay" / "2", "--run")
    assert "32 golden examples" in text
    assert found["digest"] in text


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_the_server_and_this_process_predict_what_the_model_does(
    workshop: Workshop, server: str, name: str
) -> None:
    remote = penstock("predict", "delay", workshop.folder / name, "--server", server)
    local = penstock(
        "predict", "delay", workshop.folder / name, "--local", "--repository", workshop.repository
    )
    assert remote == local
    np.testing.assert_allclose(predictions(remote), workshop.expected["2"], rtol=0, atol=1e-12)


def test_a_version_can_be_named(workshop: Workshop, server: str) -> None:
    arguments = ("predict", "delay", workshop.rows, "--server", server, "--json")
    with pytest.raises(
        AssertionError
    ):  # policy `latest` serves one version: the other is there, and not ready
        penstock(*arguments, "--version", "1")
    penstock("load", "delay:1", "--server", server)
    found = json.loads(penstock(*arguments, "--version", "1"))
    assert (found["version"], found["rows"]) == ("1", 800)
    np.testing.assert_allclose(found["outputs"]["prediction"], workshop.expected["1"], rtol=0, atol=1e-12)
    penstock("unload", "delay:1", "--server", server)


def test_results_go_to_a_parquet_file(workshop: Workshop, server: str, tmp_path: Path) -> None:
    target = tmp_path / "scores.parquet"
    out = penstock("predict", "delay", workshop.rows, "--server", server, "--output", target)
    assert out.startswith(f"{target}: 800 rows by delay version 2")
    scores = pq.read_table(target)["prediction"].to_numpy()
    np.testing.assert_allclose(scores, workshop.expected["2"], rtol=0, atol=1e-12)


def test_models_tells_what_is_there(workshop: Workshop, server: str) -> None:
    rows = json.loads(penstock("models", "--server", server, "--json"))
    assert [(row["model"], row["version"]) for row in rows] == [("delay", "1"), ("delay", "2")]
    assert (rows[1]["state"], rows[1]["default"]) == ("READY", True)
    assert rows[0]["state"] != "READY"


def test_loading_what_is_not_there_is_refused_with_the_servers_words(server: str) -> None:
    error = penstock("load", "delay:9", "--server", server, code=1)
    assert error.startswith("penstock: ")
    assert "9" in error


def test_a_server_that_does_not_allow_it_loads_nothing(workshop: Workshop) -> None:
    program, address = started(workshop.repository)
    try:
        error = penstock("load", "delay:1", "--server", address, code=1)
        assert "allow_load_unload" in error
        assert error.count("\n") == 1
    finally:
        program.stop()


def test_a_watching_server_follows_an_alias(workshop: Workshop, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for version in ("1", "2"):
        archive = tmp_path / f"{version}.penstock"
        penstock("bundle", "pack", workshop.repository / "delay" / version, archive)
        penstock("bundle", "unpack", archive, "--repository", repository)
    program, address = started(repository, "--watch")
    try:
        penstock("models", "alias", "delay", "champion=1", "--repository", repository)
        program.wait_for("delay")
        found = json.loads(
            penstock(
                "predict", "delay", workshop.rows, "--server", address, "--version", "champion", "--json"
            )
        )
        assert found["version"] == "1"
    finally:
        program.stop()


def test_a_server_that_dies_during_a_prediction_is_told_and_leaves_no_result(
    workshop: Workshop, tmp_path: Path
) -> None:
    program, address = started(workshop.repository)
    many, target = tmp_path / "many.csv", tmp_path / "out.csv"
    header, *lines = workshop.rows.read_text().splitlines(keepends=True)
    with many.open("w") as out:
        out.write(header)
        for _ in range(2000):
            out.writelines(lines)
    command = [*PROGRAM, "predict", "delay", many, "--server", address, "-o", target, "--batch-rows", "50"]
    client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        partial = tmp_path / "out.csv.partial"
        until = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size):
            assert time.monotonic() < until
            assert client.poll() is None
            time.sleep(0.01)
        program.stop(signal.SIGKILL)
        _, error = client.communicate(timeout=60)
    finally:
        client.kill()
        program.stop()
    assert client.returncode == 1
    assert "penstock: " in error
    assert f"the connection to {address} broke" in error or f"no server answers at {address}" in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["many.csv"]


def test_a_unix_socket_is_served_beside_the_port(workshop: Workshop, tmp_path: Path) -> None:
    program, _ = started(workshop.repository, "--unix-socket", tmp_path / "s")
    try:
        out = penstock(
            "predict", "delay", "-", "--server", f"unix:{tmp_path}/s", stdin=workshop.rows.read_text()
        )
        np.testing.assert_allclose(predictions(out), workshop.expected["2"], rtol=0, atol=1e-12)
    finally:
        program.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_exit_0(workshop: Workshop, number: signal.Signals) -> None:
    program, _ = started(workshop.repository)
    assert program.stop(number) == 0
    assert program.lines[-1] == "stopped"


def test_announcements_are_json_on_demand(workshop: Workshop) -> None:
    program = Program("--repository", workshop.repository, "--json")
    try:
        line = program.wait_for("listening on")
        found = json.loads(line)
        assert found["event"] == "listening"
        assert found["message"].startswith("listening on 127.0.0.1:")
    finally:
        program.stop()


def test_a_repository_that_is_not_there_is_refused(tmp_path: Path) -> None:
    program = Program("--repository", tmp_path / "nowhere")
    assert program.wait() == 1
    assert any("nowhere cannot be read" in line for line in program.lines)
