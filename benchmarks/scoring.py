"""Rows per second of Runner.predict over one large table: from pandas, polars, Arrow and a Parquet file.

The model is LightGBM behind transforms: 6 numbers, filled in and standardized, and 2 text columns, one-hot.
Beside it stands what one would write without Penstock: these steps of scikit-learn's in one transformer, and
Booster.predict. Each figure comes from a process of its own. Its first run is not counted, and the memory is
what the second one had at its peak beyond what lay there before. Nothing is required of these figures;
where other programs use the cores, read the processor time.

    python benchmarks/scoring.py [--rows 2000000] [--trees 100] [--save | --short]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import results

NUMBERS = [f"n{index}" for index in range(6)]
WORDS = ["carrier", "airport"]
KINDS = ("pandas", "polars", "arrow", "parquet", "scikit-learn")
TRAIN_ROWS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--block-rows", type=int, help="of Penstock's blocks, to try another size")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = results.parsed(
        parser,
        least={"rows": 2_000_000, "trees": 100},
        short={"rows": 200_000, "trees": 20},
        judges="nothing, as in the long form",
    )
    if options.measure:
        print(json.dumps(measured(*options.measure, block_rows=options.block_rows)))
        return
    figures: dict[str, Any] = {"rows": options.rows, "trees": options.trees, "runs": []}
    counts = sorted({1, len(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="penstock-scoring-") as folder:
        prepare(Path(folder), options.rows, options.trees)
        print(f"{options.rows:,} rows, {len(NUMBERS)} numbers and {len(WORDS)} texts, {options.trees} trees")
        print(f"{'from':<14}{'threads':>8}{'rows/s':>12}{'cpu us/row':>12}{'peak MB':>10}")
        for kind in KINDS:
            for threads in counts:
                command = [sys.executable, __file__, "--measure", folder, kind, str(threads)]
                if options.block_rows:
                    command += ["--block-rows", str(options.block_rows)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"scoring: {kind} with {threads} threads failed:\n{done.stderr}")
                run = json.loads(done.stdout)
                figures["runs"].append({"from": kind, "threads": threads, **run})
                rate = options.rows / run["seconds"]
                cpu, peak = run["cpu_seconds"] / options.rows * 1e6, run["peak_bytes"] / 1e6
                print(f"{kind:<14}{threads:>8}{rate:>12,.0f}{cpu:>12.2f}{peak:>10,.0f}")
    answers = {run["digest"] for run in figures["runs"] if run["from"] != "scikit-learn"}
    print(f"Penstock's answers are {'equal to the bit' if len(answers) == 1 else 'NOT EQUAL'} in all runs")
    print(f"Figures in {results.keep('scoring', figures, options)}")
    if len(answers) != 1:
        sys.exit("scoring: the answers differ")


def table(rows: int, seed: int) -> Any:
    """Numbers with a tenth missing, and text of 30 and 300 words with some missing, as an Arrow table."""
    import pyarrow as pa

    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for name in NUMBERS:
        values = random.normal(size=rows)
        values[random.random(rows) < 0.1] = np.nan
        columns[name] = pa.array(values)
    for name, count in zip(WORDS, (30, 300), strict=True):
        words = pa.array([f"{name} {index}" for index in range(count)])
        picked = pa.array(random.integers(0, count, rows), mask=random.random(rows) < 0.05)
        columns[name] = words.take(picked)
    return pa.table(columns)


def prepare(folder: Path, rows: int, trees: int) -> None:
    """Writes the bundle, the same model for scikit-learn, and the table."""
    import lightgbm
    import pyarrow.parquet as pq

    import penstock
    from penstock import transforms as t

    train = table(TRAIN_ROWS, 1).to_pandas()
    features = t.Features(
        [t.Impute(NUMBERS, "median"), t.Standardize(NUMBERS), *(t.OneHot(name) for name in WORDS)]
    ).fit(train)
    target = (train["n0"].fillna(0) + (train["carrier"] == "carrier 3") + train["n1"].fillna(0) > 0).to_numpy(
        int
    )
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": 31}
    booster = lightgbm.train(settings, lightgbm.Dataset(features.transform(train), target), trees)
    booster.save_model(str(folder / "model.txt"))
    penstock.build(folder / "repository", name="score", version="1", model=booster, features=features)
    pq.write_table(table(rows, 2), folder / "table.parquet", row_group_size=250_000)


def measured(folder: str, kind: str, threads: str, *, block_rows: int | None) -> dict[str, Any]:
    """Seconds and peak memory of one run over the prepared table."""
    import hashlib

    run = (by_scikit_learn if kind == "scikit-learn" else by_penstock)(
        Path(folder), kind, int(threads), block_rows
    )
    run()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = memory_bytes("VmRSS")
    began, used = time.perf_counter(), time.process_time()
    answers = run()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    peak = memory_bytes("VmHWM") - before
    digest = hashlib.sha256(answers.tobytes()).hexdigest()
    return {"seconds": seconds, "cpu_seconds": used, "peak_bytes": peak, "digest": digest}


def by_penstock(folder: Path, kind: str, threads: int, block_rows: int | None) -> Callable[[], Any]:
    import penstock
    from penstock import scoring

    runner = penstock.load(folder / "repository" / "score" / "1")
    path = folder / "table.parquet"
    if kind == "pandas":
        import pandas as pd

        data: Any = pd.read_parquet(path)
    elif kind == "polars":
        import polars as pl

        data = pl.read_parquet(path)
    elif kind == "arrow":
        import pyarrow.parquet as pq

        data = pq.read_table(path)
    else:
        data = path
    size = block_rows or scoring.BLOCK_ROWS
    return lambda: scoring.joined(runner.score(data, threads=threads, block_rows=size))["prediction"]


def by_scikit_learn(folder: Path, kind: str, threads: int, block_rows: int | None) -> Callable[[], Any]:
    import lightgbm
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    booster = lightgbm.Booster(model_file=str(folder / "model.txt"))
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("numbers", numbers, NUMBERS), ("words", words, WORDS)])
    columns.fit(table(TRAIN_ROWS, 1).to_pandas().fillna(dict.fromkeys(WORDS, "")))
    frame = pd.read_parquet(folder / "table.parquet")

    def run() -> Any:
        # In parts, or the one-hot matrix alone would take 5 GB for 2 million rows.
        parts = np.array_split(np.arange(len(frame)), max(1, len(frame) // 100_000))
        return np.concatenate([score(frame.iloc[part[0] : part[-1] + 1]) for part in parts])

    def score(part: Any) -> Any:
        return booster.predict(columns.transform(part.fillna(dict.fromkeys(WORDS, ""))), num_threads=threads)

    return run


def memory_bytes(field: str) -> int:
    """Of this process: VmRSS is what is resident now, VmHWM the most that ever was."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(field + ":")[2].split()[0]) * 1024


if __name__ == "__main__":
    main()
