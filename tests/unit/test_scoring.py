"""Tables of any size: in blocks, on threads, in order, with the answers and the refusals of the whole."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

import penstock
from penstock import scoring, transforms
from penstock.errors import InputError, NotFoundError, PenstockError, RowError
from penstock.runner import Runner

sys.path.insert(0, str(Path(__file__).parent / "bundle"))

from small_models import flights, late, onnx_model

ROWS = 1003  # no multiple of any block


def frame(rows: int = ROWS, seed: int = 3) -> pd.DataFrame:
    made = flights(rows, seed)
    random = np.random.default_rng(seed)
    made["carrier"] = random.choice(np.array(["UA", "AA", "Zürich ✈ a long name", None], object), rows)
    made["seats"] = random.integers(1, 300, rows)
    return made


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Numbers and text, both with missing values; a text that is none of those in `frame` is refused."""
    train = frame(400, 1)
    features = transforms.Features(
        [
            transforms.Select(["distance", "seats"]),
            transforms.Impute("wind", "median"),
            transforms.OneHot("carrier", unknown="error"),
        ]
    ).fit(train)
    model = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_leaves": 7, "num_threads": 1},
        lightgbm.Dataset(features.transform(train), late(train)),
        9,
    )
    repository = tmp_path_factory.mktemp("repository")
    return penstock.load(
        penstock.build(repository, name="late", version="1", model=model, features=features, max_rows=100)
    )


@pytest.fixture(scope="module")
def expected(runner: Runner) -> bytes:
    """One row at a time, as a server answers single requests."""
    whole = frame()
    rows = [runner.predict(whole.iloc[row : row + 1])["prediction"] for row in range(ROWS)]
    return np.concatenate(rows).tobytes()


def write(folder: Path, table: pa.Table, **options: Any) -> Path:
    path = folder / "table.parquet"
    pq.write_table(table, path, **options)
    return path


def written_folder(folder: Path, table: pa.Table) -> Path:
    for index, start in enumerate(range(0, ROWS, 400)):
        pq.write_table(table.slice(start, 400), folder / f"part-{index}.parquet")
    return folder


def reader(table: pa.Table, rows: int) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=rows))


def parts(whole: pd.DataFrame) -> Iterator[object]:
    """Consecutive ones of every kind, one of them without rows."""
    yield whole[:10]
    yield pl.from_pandas(whole[10:500])
    yield whole[500:500]
    yield pa.RecordBatch.from_pandas(whole[500:700])
    yield {name: whole[name][700:].tolist() for name in whole.columns}


SOURCES: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "pandas": lambda whole, folder: whole,
    "pandas on Arrow": lambda whole, folder: whole.convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda whole, folder: pl.from_pandas(whole),
    "Arrow": lambda whole, folder: pa.Table.from_pandas(whole),
    "Arrow in small chunks": lambda whole, folder: reader(pa.Table.from_pandas(whole), 7).read_all(),
    "lists": lambda whole, folder: {name: whole[name].tolist() for name in whole.columns},
    "series": lambda whole, folder: {name: whole[name] for name in whole.columns},
    "a path": lambda whole, folder: write(folder, pa.Table.from_pandas(whole), row_group_size=300),
    "a path as text": lambda whole, folder: str(write(folder, pa.Table.from_pandas(whole))),
    "a folder": lambda whole, folder: written_folder(folder, pa.Table.from_pandas(whole)),
    "a Parquet file": lambda whole, folder: pq.ParquetFile(write(folder, pa.Table.from_pandas(whole))),
    "a dataset": lambda whole, folder: ds.dataset(pa.Table.from_pandas(whole)),
    "a reader": lambda whole, folder: reader(pa.Table.from_pandas(whole), 130),
    "parts": lambda whole, folder: parts(whole),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("source", "block_rows"),
    [*((source, rows) for source in SOURCES for rows in (64, 256, 5000)), ("polars", 1), ("a path", 1)],
)
def test_every_source_is_answered_in_order_as_its_rows_are_one_by_one(
    runner: Runner, expected: bytes, tmp_path: Path, source: str, block_rows: int, threads: int
) -> None:
    data = SOURCES[source](frame(), tmp_path)
    answers = list(runner.score(data, threads=threads, block_rows=block_rows))
    starts = [start for start, _ in answers]
    sizes = [len(outputs["prediction"]) for _, outputs in answers]
    assert starts == [sum(sizes[:index]) for index in range(len(sizes))]
    assert max(sizes) <= block_rows
    assert b"".join(outputs["prediction"].tobytes() for _, outputs in answers) == expected


@pytest.mark.parametrize("source", SOURCES)
def test_predict_gives_all_of_it_at_once(
    runner: Runner, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(scoring, "BLOCK_ROWS", 100)
    answered = runner.predict(SOURCES[source](frame(), tmp_path), threads=2)
    assert answered["prediction"].tobytes() == expected


def test_a_matrix_is_scored_in_blocks_too(tmp_path: Path) -> None:
    model = penstock.load(penstock.build(tmp_path, name="matrix", version="1", model=linear_rows()))
    matrix = np.random.default_rng(1).normal(size=(1000, 3)).astype("f4")
    found = scoring.joined(model.score(matrix, threads=2, block_rows=64))["y"]
    assert np.array_equal(found, model.predict(matrix)["y"])


def linear_rows() -> Any:
    """y is the sum of each row of x, [rows]."""
    return onnx_model(
        [helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=0)],
        [("x", TensorProto.FLOAT, [None, 3])],
        [("y", TensorProto.FLOAT, [None])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )


def test_a_model_without_rows_gets_them_all_at_once(tmp_path: Path) -> None:
    total = onnx_model(
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        [("x", TensorProto.INT64, [None])],
        [("y", TensorProto.INT64, [])],
    )
    model = penstock.load(penstock.build(tmp_path, name="total", version="1", model=total))
    rows = np.arange(10_000)
    path = write(tmp_path, pa.table({"x": rows}), row_group_size=1000)
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"x": rows[:5000]}), tmp_path / "in" / "0.parquet")
    pq.write_table(pa.table({"x": rows[5000:].astype(float)}), tmp_path / "in" / "1.parquet")
    for data in ({"x": rows}, path, tmp_path / "in", iter([pa.table({"x": rows})])):
        ((start, outputs),) = model.score(data, threads=2, block_rows=100)
        assert (start, int(outputs["y"])) == (0, rows.sum())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("seats", 0.5, "column 'seats': row 717 is 0.5, which INT64 does not hold"),
        ("carrier", "\ud800", "column 'carrier': row 717 is .*, which UTF-8 cannot say"),
        ("carrier", b"\xff", "input 'carrier': element 717 is not UTF-8"),
        ("carrier", "ZZ", 'refused row 717: "ZZ"'),
    ],
)
def test_a_refusal_names_the_row_of_the_table(
    runner: Runner, threads: int, column: str, value: object, said: str
) -> None:
    bad = {name: frame()[name].astype(object).tolist() for name in frame().columns}
    bad[column][717] = value
    bad["seats"][1002] = "a later block, which must not be told instead"
    for block_rows in (100, 256):  # max_rows is 100: a block runs in several batches
        with pytest.raises(InputError, match=said):
            list(runner.score(bad, threads=threads, block_rows=block_rows))


def test_a_row_that_a_transform_refuses_is_a_row_error(runner: Runner) -> None:
    bad = frame()
    bad.loc[717, "carrier"] = "a row, refused row 3"
    with pytest.raises(RowError, match="refused row 717") as caught:
        list(runner.score(bad, block_rows=256))
    assert (caught.value.column, caught.value.row) == ("carrier", 717)


def test_a_row_error_says_where_it_is(runner: Runner) -> None:
    bad = frame()
    bad["seats"] = bad["seats"].astype(float)
    bad.loc[1000, "seats"] = np.nan
    with pytest.raises(RowError) as caught:
        list(runner.score(bad, block_rows=64))
    assert (caught.value.column, caught.value.row) == ("seats", 1000)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_failure_wins_and_what_came_before_it_is_answered(threads: int) -> None:
    failed_second = threading.Event()

    def run(block: int, start: int) -> scoring.Outputs:
        if block == 5:
            if threads > 1:
                assert failed_second.wait(10)
            raise InputError("the first")
        if block == 6:
            failed_second.set()
            raise InputError("the second")
        return {"y": np.array([block])}

    answers = scoring.in_order(((start, start) for start in range(100)), run, threads)
    assert [next(answers)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="the first"):
        next(answers)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_to_read_comes_behind_the_answers_of_what_was_read(threads: int) -> None:
    def blocks() -> Iterator[scoring.Block]:
        yield 0, None
        yield 1, None
        raise InputError("broken off")

    answers = scoring.in_order(blocks(), lambda block, start: {"y": np.array([start])}, threads)
    assert [next(answers)[0], next(answers)[0]] == [0, 1]
    with pytest.raises(InputError, match="broken off"):
        next(answers)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_only_a_few_blocks_are_read_ahead_of_the_answers(threads: int) -> None:
    read = answered = ahead = 0

    def blocks() -> Iterator[scoring.Block]:
        nonlocal read, ahead
        for start in range(200):
            read += 1
            ahead = max(ahead, read - answered)
            yield start, None

    for _ in scoring.in_order(blocks(), lambda block, start: {}, threads):
        answered += 1
    assert answered == 200
    assert ahead <= threads + scoring.AHEAD


def test_an_iterator_that_is_closed_stops_its_threads() -> None:
    ran = 0

    def run(block: None, start: int) -> scoring.Outputs:
        nonlocal ran
        ran += 1
        return {}

    answers = scoring.in_order(((start, None) for start in range(10_000)), run, 2)
    next(answers)
    answers.close()
    after = ran
    time.sleep(0.05)
    assert ran == after <= 1 + 2 + scoring.AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("penstock-scoring")]


def test_blocks_run_at_the_same_time_on_threads_of_their_own() -> None:
    met = threading.Barrier(3, timeout=10)

    def run(block: None, start: int) -> scoring.Outputs:
        met.wait()  # passes only when three blocks run at once
        return {}

    assert len(list(scoring.in_order(((start, None) for start in range(9)), run, 3))) == 9


def test_a_small_table_runs_on_the_calling_thread_alone(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "ThreadPoolExecutor", None)
    assert len(runner.predict(frame(), threads=4)["prediction"]) == ROWS
    assert len(list(runner.score(frame(), threads=1, block_rows=100))) == 11


def test_a_callable_is_told_the_progress(runner: Runner, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = write(tmp_path, pa.Table.from_pandas(frame()))
    list(runner.score(path, threads=2, block_rows=400, progress=lambda *at: told.append(at)))
    assert told == [(400, ROWS), (800, ROWS), (ROWS, ROWS)]
    told.clear()
    list(runner.score(iter([frame()]), block_rows=600, progress=lambda *at: told.append(at)))
    assert told == [(600, None), (ROWS, None)]
    told.clear()
    runner.predict(frame(), progress=lambda *at: told.append(at))
    assert told == [(ROWS, ROWS)]


def test_without_a_terminal_there_is_no_bar(runner: Runner, capfd: pytest.CaptureFixture[str]) -> None:
    list(runner.score(frame(), block_rows=100, progress=True))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"threads": 0}, "threads is 0; at least 1 was expected"),
        ({"block_rows": 0}, "block_rows is 0; at least 1 was expected"),
        ({"outputs": ["score"]}, "output 'score' is not one of this model's"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(runner: Runner, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(runner.score(frame(), **arguments))


def test_paths_that_lead_to_no_table_are_told_apart(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file .*nowhere\.parquet"):
        runner.predict(tmp_path / "nowhere.parquet")
    (tmp_path / "text.csv").write_text("distance\n1\n")
    with pytest.raises(InputError, match=r"text\.csv is not a Parquet file"):
        runner.predict(str(tmp_path / "text.csv"))
    path = write(tmp_path, pa.table({"distance": [1.0], "hour": [1.0]}))
    with pytest.raises(InputError, match=r"The data has no 'seats', 'wind', 'carrier'\. It has: distance"):
        runner.predict(path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "part-*.parquet",
            r"there is no file part-\*.parquet; patterns are not expanded: give the path of a file",
        ),
        ("s3://bucket/in.parquet", "s3://bucket/in.parquet is no path; give .* a pyarrow Dataset"),
        (
            ["0.parquet", Path("1.parquet")],
            "a list of paths came; give the path of a file, a folder of Parquet",
        ),
    ],
)
def test_what_is_no_path_is_told_what_would_be_taken(runner: Runner, path: Any, said: str) -> None:
    with pytest.raises(PenstockError, match=said):
        runner.predict(path)


def test_a_folder_without_files_is_told_as_such(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no Parquet files"):
        runner.predict(tmp_path)


def two_files(folder: Path, first: pd.DataFrame, second: pd.DataFrame) -> Path:
    for name, part in (("0.parquet", first), ("1.parquet", second)):
        pq.write_table(pa.Table.from_pandas(part, preserve_index=False), folder / name)
    return folder


DRIFTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "no numbers": (lambda part: part.drop(columns="wind"), "The data has no 'wind'"),
    "no text": (lambda part: part.drop(columns="carrier"), "The data has no 'carrier'"),
    "no integers": (lambda part: part.drop(columns="seats"), "The data has no 'seats'"),
    "integers for text": (lambda part: part.assign(carrier=1), "column 'carrier': expected text"),
    "text for numbers": (lambda part: part.assign(wind="12"), "column 'wind': expected FP64, got text"),
}


@pytest.mark.parametrize("file", [0, 1])
@pytest.mark.parametrize("drift", DRIFTS)
def test_a_file_of_a_folder_that_does_not_fit_is_named_before_anything_is_scored(
    runner: Runner, tmp_path: Path, drift: str, file: int
) -> None:
    change, said = DRIFTS[drift]
    halves = [frame()[:500], frame()[500:]]
    halves[file] = change(halves[file])
    folder = two_files(tmp_path, *halves)
    for source in (folder, ds.dataset(folder)):
        with pytest.raises(InputError, match=rf"{file}\.parquet: {said}"):
            runner.score(source)
    with pytest.raises(InputError, match=said):
        runner.predict(halves[file])


@pytest.mark.parametrize("threads", [1, 2])
def test_files_of_other_types_are_scored_as_their_frames(
    runner: Runner, tmp_path: Path, threads: int
) -> None:
    first, second = frame()[:500], frame()[500:]
    first = first.assign(
        wind=np.arange(500), seats=np.arange(500.0), carrier=first["carrier"].astype("category")
    )
    second = second.assign(wind=second["wind"] + 0.5, seats=second["seats"].astype("int16"))
    second = second[second.columns[::-1]]
    expected = [runner.predict(part)["prediction"] for part in (first, second)]
    folder = two_files(tmp_path, first, second)
    for block_rows in (64, 300, 5000):
        answers = list(runner.score(folder, threads=threads, block_rows=block_rows))
        assert [start for start, _ in answers][-1] < ROWS
        found = scoring.joined(iter(answers))["prediction"]
        assert found.tobytes() == np.concatenate(expected).tobytes()


def test_a_text_column_without_any_value_in_one_file_is_missing_there(runner: Runner, tmp_path: Path) -> None:
    first, second = frame()[:500], frame()[500:].assign(carrier=None)
    found = runner.predict(two_files(tmp_path, first, second))["prediction"]
    assert found[500:].tobytes() == runner.predict(second)["prediction"].tobytes()


def test_columns_without_the_models_names_go_by_the_first_files(tmp_path: Path) -> None:
    model = penstock.load(penstock.build(tmp_path, name="matrix", version="1", model=linear_rows()))
    table = pd.DataFrame(np.random.default_rng(1).normal(size=(100, 3)).astype("f4"), columns=["a", "b", "c"])
    (tmp_path / "in").mkdir()
    folder = two_files(tmp_path / "in", table[:60], table[60:][["c", "a", "b"]])
    assert np.array_equal(model.predict(folder)["y"], model.predict(table)["y"])
    two_files(folder, table[:60], table[60:][["c", "a"]])
    with pytest.raises(InputError, match=r"1\.parquet: The data has no 'x'\. It has: c, a\."):
        model.predict(folder)


def test_folders_names_may_be_a_column_and_rows_may_be_filtered(runner: Runner, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(frame().dropna(subset="carrier"), preserve_index=False)
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=["carrier"], partitioning_flavor="hive")
    source = ds.dataset(tmp_path, partitioning="hive")
    whole = source.to_table()
    expected = runner.predict(whole)["prediction"]
    assert runner.predict(source)["prediction"].tobytes() == expected.tobytes()
    few = source.filter(ds.field("seats") < 100)
    kept = whole["seats"].to_numpy() < 100
    assert runner.predict(few)["prediction"].tobytes() == expected[kept].tobytes()


@pytest.mark.parametrize("source", [name for name in SOURCES if name != "a folder"])
def test_a_table_without_rows_gives_outputs_without_rows(runner: Runner, tmp_path: Path, source: str) -> None:
    empty = frame()[:0] if source != "parts" else frame()
    data = SOURCES[source](empty, tmp_path) if source != "parts" else iter([])
    answered = runner.predict(data)
    assert list(answered) == ["prediction"]
    assert (answered["prediction"].dtype, answered["prediction"].shape) == (np.float64, (0,))
    data = SOURCES[source](empty, tmp_path) if source != "parts" else iter([])
    assert list(runner.score(data)) == []


def test_without_rows_what_does_not_fit_is_refused_all_the_same(runner: Runner, tmp_path: Path) -> None:
    empty = frame()[:0].drop(columns="wind")
    for data in (empty, write(tmp_path, pa.Table.from_pandas(empty))):
        with pytest.raises(InputError, match="The data has no 'wind'"):
            runner.predict(data)
    with pytest.raises(InputError, match="output 'score' is not one of this model's; expected: prediction"):
        runner.predict(frame()[:0], ["score"])


def test_without_rows_the_classes_are_still_columns(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    settings = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(random.normal(size=(90, 2)), np.arange(90) % 3, feature_name=["a", "b"])
    model = lightgbm.train(settings, data, 2)
    runner = penstock.load(penstock.build(tmp_path, name="classes", version="1", model=model))
    one = runner.predict(np.zeros((1, 2)))
    none = runner.predict(np.zeros((0, 2)))
    assert {name: (array.dtype, array.shape[1:]) for name, array in none.items()} == {
        name: (array.dtype, array.shape[1:]) for name, array in one.items()
    }
    assert all(len(array) == 0 for array in none.values())


def test_a_file_that_breaks_off_is_named(runner: Runner, tmp_path: Path) -> None:
    path = write(tmp_path, pa.Table.from_pandas(frame()), row_group_size=200, compression="none")
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"table\.parquet cannot be read"):
        runner.predict(path)


def test_without_pyarrow_a_path_says_what_to_install(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PenstockError, match="pip install pyarrow"):
        runner.predict(tmp_path / "table.parquet")


MOST_GROWTH = 40_000_000  # bytes; it is some 25 MB, which buffers, blocks and allocators take
GROWTH = """
import resource, sys, threading
import numpy as np
import penstock, pyarrow as pa

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

runner = penstock.load(sys.argv[1])
small, large, threads = sys.argv[2], sys.argv[3], int(sys.argv[4])
for _ in runner.score(small, threads=threads):  # what is loaded and set up once
    pass
open("/proc/self/clear_refs", "w").write("5")
before, rows = resident(), 0
for start, outputs in runner.score(large, threads=threads):
    rows += len(outputs["prediction"])
status = open("/proc/self/status").read()
peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
print(rows, peak - before)
"""


def test_memory_does_not_grow_with_the_file(runner: Runner, tmp_path: Path) -> None:
    """Of a file that holds many times as much as scoring it may take, all of it in one row group."""
    rows = 4_000_000
    random = np.random.default_rng(1)
    columns: dict[str, Any] = {name: random.normal(size=rows) for name in ("distance", "wind")}
    columns["seats"] = random.integers(1, 300, rows)
    columns["carrier"] = pa.array(["UA", "AA"]).take(pa.array(random.integers(0, 2, rows)))
    table = pa.table(columns)
    large, small = tmp_path / "large.parquet", tmp_path / "small.parquet"
    pq.write_table(table, large, row_group_size=rows, compression="none", use_dictionary=False)
    pq.write_table(table.slice(0, 50_000), small)
    assert large.stat().st_size > 3 * MOST_GROWTH
    command = [sys.executable, "-c", GROWTH, runner._loaded.path, small, large, "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    scored, growth = map(int, done.stdout.split())
    assert scored == rows
    assert growth < MOST_GROWTH, f"{growth / 1e6:.0f} MB"
