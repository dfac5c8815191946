"""`penstock predict --local`: files scored in blocks on all cores, without a server."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_program import PROGRAM, Run

import penstock
from penstock import transforms
from penstock.cli import sinks

ROWS = 9001


def table(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(5)
    made = pd.DataFrame({"wind": random.normal(size=rows), "seats": random.integers(1, 300, rows)})
    made.loc[::11, "wind"] = np.nan
    made["carrier"] = random.choice(np.array(["UA", "AA", None], object), rows)
    return made


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repository")
    train = table(300)
    features = transforms.Features([transforms.Select(["wind", "seats"]), transforms.OneHot("carrier")])
    matrix = lightgbm.Dataset(features.fit_transform(train), (train["wind"] > 0).astype(int))
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    model = lightgbm.train(settings, matrix, 30)
    penstock.build(path, name="late", version="1", model=model, features=features, max_rows=1000)
    return path


@pytest.fixture(scope="module")
def expected(repository: Path) -> np.ndarray:
    return penstock.load(repository / "late" / "1").predict(table(), threads=1)["prediction"]


@pytest.mark.parametrize("options", [(), ("--threads", 1), ("--threads", 2, "--batch-rows", 700)])
@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
def test_a_file_is_answered_as_its_frame(
    run: Run, repository: Path, expected: np.ndarray, tmp_path: Path, name: str, options: tuple[object, ...]
) -> None:
    source, target = tmp_path / name, tmp_path / "out.parquet"
    table().to_csv(source, index=False) if name == "in.csv" else table().to_parquet(
        source, row_group_size=2500
    )
    code, out, err = run(
        "predict", "late", source, "--local", "--repository", repository, "-o", target, *options
    )
    assert (code, err) == (0, "")
    assert "9,001 rows by late version 1" in out
    found = pq.read_table(target)["prediction"].to_numpy()
    assert found.tobytes() == expected.tobytes()


def test_blocks_fill_row_groups_of_a_useful_size(
    run: Run, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "GROUP_ROWS", 4000)
    table().to_parquet(tmp_path / "in.parquet")
    target = tmp_path / "out.parquet"
    arguments = ("predict", "late", tmp_path / "in.parquet", "--local", "--repository", repository)
    assert run(*arguments, "-o", target, "--batch-rows", 500)[0] == 0
    metadata = pq.ParquetFile(target).metadata
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert groups == [4000, 4000, 1001]


def test_a_row_that_does_not_fit_is_named_as_the_files(run: Run, repository: Path, tmp_path: Path) -> None:
    bad = table()
    bad["seats"] = bad["seats"].astype(float)
    bad.loc[8123, "seats"] = 0.5
    bad.to_parquet(tmp_path / "in.parquet")
    target = tmp_path / "out.csv"
    code, out, err = run(
        "predict", "late", tmp_path / "in.parquet", "--local", "--repository", repository, "-o", target
    )
    assert (code, out) == (1, "")
    assert err == "penstock: column 'seats': row 8123 is 0.5, which INT64 does not hold\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_a_table_without_rows_gives_one_without_rows(run: Run, repository: Path, tmp_path: Path) -> None:
    table(3)[:0].to_parquet(tmp_path / "in.parquet")
    target = tmp_path / "out.parquet"
    arguments = ("predict", "late", tmp_path / "in.parquet", "--local", "--repository", repository)
    assert run(*arguments, "-o", target)[0] == 0
    assert pq.read_table(target).schema == pa.schema({"prediction": pa.float64()})


def test_threads_are_not_for_a_server(run: Run) -> None:
    code, _, err = run("predict", "late", "in.csv", "--threads", 2)
    assert code == 2
    assert "--threads: it is for --local" in " ".join(err.replace("│", " ").split())


def test_json_on_stdout_has_every_row(
    run: Run, repository: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    table().to_parquet(tmp_path / "in.parquet")
    code, out, _ = run(
        "predict", "late", tmp_path / "in.parquet", "--local", "--repository", repository, "--json"
    )
    assert code == 0
    assert json.loads(out)["outputs"]["prediction"] == expected.tolist()


def endless(folder: Path) -> tuple[Path, subprocess.Popen[bytes]]:
    """A pipe that CSV comes through without an end, from a process of its own."""
    path = folder / "in.csv"
    os.mkfifo(path)
    writer = (
        "import sys\n"
        "with open(sys.argv[1], 'w') as out:\n"
        "    out.write('wind,seats,carrier\\n')\n"
        "    while True: out.write('0.5,3,UA\\n' * 1000)\n"
    )
    return path, subprocess.Popen([sys.executable, "-c", writer, path], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_ctrl_c_ends_it_at_once_and_leaves_nothing_behind(
    repository: Path, tmp_path: Path, name: str
) -> None:
    (source, writer), target = endless(tmp_path), tmp_path / name
    process = subprocess.Popen(
        [*PROGRAM, "predict", "late", source, "--local", "--repository", repository, "-o", target],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    partial = tmp_path / f"{name}.partial"
    try:
        until = time.monotonic() + 60
        while not partial.exists() or partial.stat().st_size == 0:
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
        took = time.monotonic() - began
    finally:
        process.kill()
        writer.kill()
        writer.wait()
    said = [line for line in err.splitlines() if not line.startswith("predicting with")]
    assert (process.returncode, said) == (130, ["penstock: interrupted"])
    assert took < 5
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_terminal_shows_how_far_it_is_and_how_fast(repository: Path, tmp_path: Path) -> None:
    table(200_000).to_parquet(tmp_path / "in.parquet")
    code = (
        "import sys, penstock\n"
        "runner = penstock.load(sys.argv[1])\n"
        "runner.predict(sys.argv[2], progress=True)\n"
    )
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, repository / "late" / "1", tmp_path / "in.parquet"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        shown += read
    os.close(ours)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "scoring with late/1" in text
    assert "200,000 rows" in text
    assert "rows/s" in text


def test_csv_on_stdout_is_in_the_order_of_the_file(run: Run, repository: Path, tmp_path: Path) -> None:
    table(50).to_csv(tmp_path / "in.csv", index=False)
    code, out, _ = run(
        "predict", "late", tmp_path / "in.csv", "--local", "--repository", repository, "--batch-rows", 7
    )
    runner = penstock.load(repository / "late" / "1")
    assert code == 0
    found = [float(row["prediction"]) for row in csv.DictReader(out.splitlines())]
    assert found == runner.predict(table(50))["prediction"].tolist()
