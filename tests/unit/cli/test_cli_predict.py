from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_program import PROGRAM, Run
from inference_peer import PeerServer

ROWS = [
    {"a": 1.5, "b": 10.0, "word": "Ab"},
    {"a": 2.0, "b": 20.0, "word": "c"},
    {"a": 0.25, "b": 1.0, "word": "é"},
]
TOTALS = [11.5, 22.0, 1.25]
LABELS = ["aB", "C", "é"]  # the peer swaps the case of ASCII letters only


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    return path


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("name", ["in.csv", "in.json", "in.jsonl", "in.parquet"])
def test_rows_of_every_format_are_predicted_in_order(
    run: Run, address: str, tmp_path: Path, name: str
) -> None:
    code, out, err = run("predict", "delay", write(tmp_path / name), "--server", address)
    assert (code, err) == (0, "")
    assert [float(row["total"]) for row in read_csv(out)] == TOTALS
    assert [row["label"] for row in read_csv(out)] == LABELS


def test_columns_of_lists_are_json_too(run: Run, address: str, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}))
    code, out, _ = run("predict", "delay", path, "--server", address)
    assert code == 0
    assert [float(row["total"]) for row in read_csv(out)] == TOTALS


@pytest.mark.parametrize("name", ["out.csv", "out.json", "out.parquet"])
def test_results_are_written_in_the_format_of_the_name(
    run: Run, address: str, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    code, out, _ = run("predict", "delay", write(tmp_path / "in.csv"), "--server", address, "-o", target)
    assert code == 0
    assert "3 rows by delay version 1" in out
    if name == "out.csv":
        found = [{**row, "total": float(row["total"])} for row in read_csv(target.read_text())]
    elif name == "out.json":
        found = json.loads(target.read_text())
    else:
        found = pq.read_table(target).to_pylist()
    assert found == [{"total": total, "label": label} for total, label in zip(TOTALS, LABELS, strict=True)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.csv", name])


def test_json_on_stdout_holds_the_outputs_and_who_answered(run: Run, address: str, tmp_path: Path) -> None:
    code, out, _ = run("predict", "delay", write(tmp_path / "in.csv"), "--server", address, "--json")
    found = json.loads(out)
    assert code == 0
    assert found.pop("seconds") >= 0
    assert found == {
        "model": "delay",
        "version": "1",
        "digest": "d1",
        "rows": 3,
        "outputs": {"total": TOTALS, "label": LABELS},
    }


def test_a_file_goes_in_batches_that_one_version_answers(
    run: Run, address: str, peer: PeerServer, tmp_path: Path
) -> None:
    rows = [{"a": float(i), "b": 0.0, "word": "w"} for i in range(10)]
    code, out, _ = run(
        "predict", "delay", write(tmp_path / "in.csv", rows), "--server", address, "--batch-rows", 3
    )
    assert code == 0
    assert [float(row["total"]) for row in read_csv(out)] == [float(i) for i in range(10)]
    assert [request.inputs[0].shape[0] for request in peer.requests] == [3, 3, 3, 1]
    assert [request.model_version for request in peer.requests] == ["", "1", "1", "1"]


def test_a_batch_is_never_larger_than_the_model_takes(
    run: Run, address: str, peer: PeerServer, tmp_path: Path
) -> None:
    rows = [{"a": float(i), "b": 0.0, "word": "w"} for i in range(6)]
    assert run("predict", "delay", write(tmp_path / "in.parquet", rows), "--server", address)[0] == 0
    assert [request.inputs[0].shape[0] for request in peer.requests] == [
        4,
        2,
    ]  # the peer's max_batch_size is 4


@pytest.mark.parametrize(
    "text",
    ["a,b,word\n1.5,10,Ab\n", '[{"a": 1.5, "b": 10, "word": "Ab"}]', '{"a": 1.5, "b": 10, "word": "Ab"}'],
)
def test_stdin_is_csv_or_json_by_what_it_begins_with(address: str, text: str) -> None:
    command = [*PROGRAM, "predict", "delay", "-", "--server", address]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "total,label\n11.5,aB\n"), done.stderr


def test_missing_numbers_of_a_csv_file_are_nan(run: Run, address: str, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("word,a,b\nx,,1\nNA,NA,2\n\n")
    code, out, _ = run("predict", "delay", path, "--server", address)
    assert code == 0
    assert read_csv(out) == [{"total": "", "label": "X"}, {"total": "", "label": "na"}]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "in.csv",
            "a,b,word\n1,2,x\n1,two,x\n",
            "in.csv, line 3, column 'b': 'two' is no number of type FP64",
        ),
        ("in.csv", "a,b,word\n1,2\n", "line 2: 2 fields; the header has 3"),
        ("in.csv", "a,a\n1,2\n", "names the column 'a' twice"),
        ("in.csv", "", "is empty"),
        ("in.csv", "a;b;word\n1;2;x\n", "seem to be separated by ';'; expected commas"),
        ("in.json", " \n", "is empty"),
        ("in.csv", b"a,b,word\n1,2,\xff\n", "not CSV in UTF-8"),
        ("in.csv", "a,b\n1,2\n", "The data has no 'word'. It has: a, b."),
        ("in.json", "[1, 2]", "expected a list of row objects"),
        ("in.json", '{"a": [1, 2], "b": [1]}', "not lists of one length"),
        ("in.json", "[{", "is not JSON"),
        ("in.parquet", "no parquet", "is not a Parquet file"),
        ("in.xlsx", "", "the format of"),
        ("in.csv", "a,b,word\n-100,2,x\n", "input 'a' is negative"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line_that_says_where(
    run: Run, address: str, tmp_path: Path, name: str, content: str | bytes, expected: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    target = tmp_path / "out.csv"
    code, out, err = run("predict", "delay", path, "--server", address, "--output", target)
    assert (code, out) == (1, "")
    assert expected in err
    assert err.startswith("penstock: ")
    assert err.count("\n") == 1
    assert not target.exists()


def test_a_failure_midway_leaves_the_old_result_as_it_was(run: Run, address: str, tmp_path: Path) -> None:
    rows = [{"a": float(i), "b": 0.0, "word": "w"} for i in range(8)] + [{"a": "x", "b": 0.0, "word": "w"}]
    target = tmp_path / "out.csv"
    target.write_text("old")
    code, _, err = run(
        "predict", "delay", write(tmp_path / "in.csv", rows), "--server", address, "-o", target
    )
    assert code == 1
    assert "in.csv, line 10, column 'a'" in err
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_parquet_without_pyarrow_says_what_to_install(
    run: Run, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "in.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = run("predict", "delay", path, "--server", address)
    assert code == 1
    assert "pip install pyarrow" in err


def test_an_unknown_model_is_refused_with_the_servers_words(run: Run, address: str, tmp_path: Path) -> None:
    code, _, err = run("predict", "other", write(tmp_path / "in.csv"), "--server", address)
    assert (code, err) == (1, "penstock: unknown model 'other'; there is: delay\n")


def test_without_a_server_the_error_says_what_to_do(run: Run, tmp_path: Path) -> None:
    code, _, err = run(
        "predict", "delay", write(tmp_path / "in.csv"), "--server", "127.0.0.1:1", "--timeout", 5
    )
    assert code == 1
    assert err == (
        "penstock: no server answers at 127.0.0.1:1 (Connection refused); `penstock serve` starts one, "
        "--server names another address, --local predicts without one\n"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere/in.csv", "there is no file nowhere/in.csv"),
        (
            "in-*.csv",
            "there is no file in-*.csv; patterns are not expanded: give the path of a file, a folder of "
            "Parquet files or, in Python, a pyarrow Dataset",
        ),
        (
            "s3://b/in.csv",
            "s3://b/in.csv is no path; give the path of a file, a folder of Parquet files or, in "
            "Python, a pyarrow Dataset",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_told_before_any_server_is_asked(
    run: Run, name: str, expected: str
) -> None:
    code, _, err = run("predict", "delay", name, "--server", "127.0.0.1:1")
    assert (code, err) == (1, f"penstock: {expected}\n")


@pytest.mark.parametrize(
    "arguments", [("delay:1",), ("delay", "--version", "1"), ("delay:1", "--version", "1")]
)
def test_a_version_is_named_with_the_model_or_apart(
    run: Run, address: str, peer: PeerServer, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    model, *rest = arguments
    code, out, _ = run("predict", model, write(tmp_path / "in.csv"), *rest, "--server", address, "--json")
    assert code == 0
    assert (json.loads(out)["model"], json.loads(out)["version"]) == ("delay", "1")
    assert (peer.requests[-1].model_name, peer.requests[-1].model_version) == ("delay", "1")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("delay:1", "in.csv", "--version", "2"), "'2' is another version than that of delay:1"),
        (("delay:", "in.csv"), "'delay:' is not MODEL or MODEL:VERSION"),
        (("delay:1:2", "in.csv"), "is not MODEL or MODEL:VERSION"),
        (("delay", "in.csv", "--repository", "r"), "--repository: it is for --local"),
        (("delay", "in.csv", "--local", "--server", "a:1"), "--server: it is for a server, not for --local"),
        (("delay", "in.csv", "--local", "--timeout", "1"), "--timeout: it is for a server"),
        (("delay", "in.csv", "--format", "xml"), "--format"),
    ],
)
def test_arguments_that_contradict_are_wrong_use(run: Run, arguments: tuple[str, ...], expected: str) -> None:
    code, out, err = run("predict", *arguments)
    assert (code, out) == (2, "")
    assert expected in err


@pytest.mark.parametrize("name", ["in.csv", "in.json", "in.jsonl", "in.parquet"])
@pytest.mark.parametrize("target", ["out.csv", "out.json", "out.jsonl", "out.parquet"])
def test_no_rows_give_a_whole_table_without_rows(
    run: Run, address: str, tmp_path: Path, name: str, target: str
) -> None:
    source, out = tmp_path / name, tmp_path / target
    if name == "in.parquet":
        pq.write_table(pa.Table.from_pylist(ROWS).slice(0, 0), source)
    else:
        source.write_text("a,b,word\n" if name == "in.csv" else "[]")
    code, _, err = run("predict", "delay", source, "--server", address, "-o", out)
    assert (code, err) == (0, "")
    if target == "out.parquet":
        assert pq.read_table(out).schema == pa.schema({"total": pa.float64()})
        assert pq.read_table(out).num_rows == 0
    else:
        assert out.read_text() == {"out.csv": "total\n", "out.json": "[]\n", "out.jsonl": ""}[target]


def test_json_lines_are_written_as_such(run: Run, address: str, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    assert run("predict", "delay", write(tmp_path / "in.csv"), "--server", address, "-o", target)[0] == 0
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["total"] for line in lines] == TOTALS


def test_what_pandas_writes_as_json_is_read(run: Run, address: str, tmp_path: Path) -> None:
    source = tmp_path / "in.json"
    pd.DataFrame(ROWS, index=[7, 3, 5]).to_json(source)
    code, out, _ = run("predict", "delay", source, "--server", address)
    assert code == 0
    assert [float(row["total"]) for row in read_csv(out)] == TOTALS


def test_a_dash_is_standard_output(run: Run, address: str, tmp_path: Path) -> None:
    code, out, _ = run("predict", "delay", write(tmp_path / "in.csv"), "--server", address, "-o", "-")
    assert (code, len(read_csv(out))) == (0, 3)


@pytest.mark.parametrize(("text", "total"), [("3", 4.0), ("3.0", 4.0), ("2e1", 21.0)])
def test_integers_in_csv_may_be_written_as_floats(
    run: Run, address: str, peer: PeerServer, tmp_path: Path, text: str, total: float
) -> None:
    peer.inputs = [("a", "INT64", [-1]), ("b", "FP64", [-1])]
    (tmp_path / "in.csv").write_text(f"a,b\n{text},1\n")
    code, out, err = run("predict", "delay", tmp_path / "in.csv", "--server", address)
    assert (code, err) == (0, "")
    assert float(read_csv(out)[0]["total"]) == total


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3.5", "'3.5' is no number of type INT64"), ("", "is missing, which INT64 cannot say")],
)
def test_what_is_no_integer_is_refused_with_its_line(
    run: Run, address: str, peer: PeerServer, tmp_path: Path, text: str, expected: str
) -> None:
    peer.inputs = [("a", "INT64", [-1]), ("b", "FP64", [-1])]
    (tmp_path / "in.csv").write_text(f'a,b\n1,1\n"1",2\n{text},1\n')
    code, _, err = run("predict", "delay", tmp_path / "in.csv", "--server", address, "--batch-rows", 2)
    assert code == 1
    assert "in.csv, line 4, column 'a'" in err
    assert expected in err


def test_rows_of_a_later_batch_are_told_as_such(run: Run, address: str, tmp_path: Path) -> None:
    rows = [{"a": 1.0, "b": 1, "word": "w"}] * 6 + [{"a": 1e300, "b": 1, "word": "w"}]
    source = write(tmp_path / "in.json", rows)
    code, _, err = run("predict", "delay", source, "--server", address, "--batch-rows", 3)
    assert code == 1
    assert "column 'a': row 6 is 1e+300, which FP32 does not hold" in err


def test_what_the_server_says_of_a_later_batch_is_told_with_its_rows(
    run: Run, address: str, tmp_path: Path
) -> None:
    rows = [{"a": 1.0, "b": 1, "word": "w"}] * 6 + [{"a": -9.0, "b": 1, "word": "w"}]
    source = write(tmp_path / "in.json", rows)
    code, _, err = run("predict", "delay", source, "--server", address, "--batch-rows", 3)
    assert code == 1
    assert "in.json, in the rows from 6 on: input 'a' is negative" in err


def test_a_folder_of_parquet_files_is_one_table(run: Run, address: str, tmp_path: Path) -> None:
    for index, row in enumerate(ROWS):
        write(tmp_path / f"{index}.parquet", [row])
    code, out, err = run("predict", "delay", tmp_path, "--server", address)
    assert (code, err) == (0, "")
    assert [float(row["total"]) for row in read_csv(out)] == TOTALS
    write(tmp_path / "1.parquet", [{"a": 1.0, "word": "w"}])
    code, out, err = run("predict", "delay", tmp_path, "--server", address)
    assert (code, out) == (1, "")
    assert err == f"penstock: {tmp_path}/1.parquet: The data has no 'b'. It has: a, word.\n"
    code, _, err = run("predict", "delay", tmp_path, "--server", address, "--format", "csv")
    assert (code, err) == (1, f"penstock: {tmp_path} is a folder; as such only Parquet files are taken\n")


def test_a_parquet_result_that_stays_incomplete_leaves_nothing_behind(address: str, tmp_path: Path) -> None:
    rows = [{"a": 1.0, "b": 1, "word": "w"}] * 6 + [{"a": -9.0, "b": 1, "word": "w"}]
    source, target = write(tmp_path / "in.json", rows), tmp_path / "out.parquet"
    command = [*PROGRAM, "predict", "delay", source, "--server", address, "--batch-rows", "3", "-o", target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


def test_an_output_that_cannot_be_written_is_named(run: Run, address: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv")
    for target in (tmp_path / "nowhere" / "out.csv", source / "out.csv"):
        code, _, err = run("predict", "delay", source, "--server", address, "-o", target)
        assert code == 1
        assert f"penstock: {target} cannot be written: " in err


@pytest.mark.parametrize("text", ["", "\n"])
def test_nothing_on_stdin_is_named_as_such(address: str, text: str) -> None:
    command = [*PROGRAM, "predict", "delay", "-", "--server", address]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "penstock: standard input is empty: expected a line of column names\n"


def test_parquet_on_stdin_is_recognised_and_refused(address: str, tmp_path: Path) -> None:
    command = [*PROGRAM, "predict", "delay", "-", "--server", address]
    with write(tmp_path / "in.parquet").open("rb") as stream:
        done = subprocess.run(command, stdin=stream, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "penstock: Parquet cannot be read from standard input: name a file\n"


def test_ctrl_c_leaves_nothing_behind_and_says_so(address: str, peer: PeerServer, tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.csv"), tmp_path / "out.csv"
    peer.wait = threading.Event()
    process = subprocess.Popen(
        [*PROGRAM, "predict", "delay", source, "--server", address, "-o", target],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        until = time.monotonic() + 30
        while not peer.requests:
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        peer.wait.set()
    assert (process.returncode, err) == (130, "penstock: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_terminal_that_shows_the_results_shows_no_progress_among_them(address: str, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "predict", "delay", write(tmp_path / "in.csv"), "--server", address],
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    assert process.wait(60) == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert shown == "total,label\r\n11.5,aB\r\n22.0,C\r\n1.25,é\r\n"


@pytest.mark.parametrize("options", [(), ("--local",)])
def test_a_bundles_folder_in_the_models_place_is_told_how_to_be_named(
    run: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "models" / "delay" / "10"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    source = tmp_path / "in.csv"
    source.write_text("a\n1\n")
    code, _, err = run("predict", folder, source, *options)
    assert code == 2
    message = " ".join(err.replace("│", " ").split())  # Typer wraps it, and may frame it
    assert "is a bundle's folder; give it as delay:10 --local --repository" in message
    assert str(tmp_path / "models") in message.replace(" ", "")


def test_local_names_the_versions_that_there_are(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "delay" / "3"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    source = write(tmp_path / "in.csv")
    code, _, err = run(
        "predict", "delay", source, "--local", "--repository", tmp_path / "repository", "--version", "4"
    )
    assert code == 1
    assert "model 'delay' has no version '4'" in err
    assert "it has: 3" in err
