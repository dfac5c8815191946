"""Forests against LightGBM's C interface and ONNX Runtime: one thread, one process, in turns.

Three LightGBM classifiers: `gbm`, 500 trees of 31 leaves over 30 columns; `large`, 2,000 of 255; and
`categorical`, 500 of 31 of whose columns 20 are categories. reference/trees.cc runs Penstock's executor,
LightGBM row by row (its single-row fast path), LightGBM's call for a batch, and ONNX Runtime's TreeEnsemble,
on thousands of different rows. At 1 row the ratio is to the single-row fast path; at 256 rows to the fastest
of all three, chosen by the medians of the whole run. What is required stands in budgets.toml.

    python benchmarks/forest.py [--models gbm ...] [--batches 1 256] [--rounds 21] [--save | --short]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import results
import verdicts
from forests import RECIPES, Forest, forest
from penstock.models.libraries import lightgbm_library, onnxruntime_library
from process import on_core
from reference import program

ROWS = 8192
SINGLE = "LightGBM, single-row fast"
# Of the answers, to LightGBM's: ONNX Runtime sums floats.
AGREE = {
    "Penstock": ("relative", 1e-12),
    "LightGBM, batch": ("relative", 1e-12),
    "ONNX Runtime": ("absolute", 1e-4),
}


def measured(made: Forest, batch: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What trees prints: by contender, the median duration of a call in each round, in ns."""
    rows = folder / f"{made.name}.rows"
    rows.write_bytes(np.ascontiguousarray(made.rows).tobytes())
    command = [*on_core(options.core), str(options.program), "--text", str(made.text)]
    command += ["--lightgbm", lightgbm_library(), "--onnx", str(made.onnx)]
    command += ["--onnxruntime", onnxruntime_library(), "--engine", options.engine]
    command += ["--rows", str(rows), "--columns", str(made.rows.shape[1]), "--batch", str(batch)]
    command += ["--rounds", str(options.rounds), "--seconds", f"{options.seconds:g}"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread)
    if done.returncode:
        sys.exit(f"forest: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    for name, (kind, limit) in AGREE.items():
        difference = found["contenders"][name][kind]
        if not difference <= limit:
            sys.exit(
                f"forest: {made.name}: {name} is {difference:g} ({kind}) off LightGBM; at most {limit:g}"
            )
    return found


def reference_of(batch: int, medians: dict[str, float]) -> str:
    """Whom Penstock is compared with."""
    if batch == 1:
        return SINGLE
    return min((name for name in medians if name != "Penstock"), key=lambda name: medians[name])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 256], metavar="ROWS")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each contender in each round")
    parser.add_argument(
        "--engine",
        default="auto",
        choices=["auto", "forest", "library"],
        help="what Penstock runs the model with; with 'library' the budgets are missed, as they must be",
    )
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the core")
    options = results.parsed(
        parser,
        least={"rounds": 21, "seconds": 0.1},
        short={"rounds": 9, "seconds": 0.05},
        judges="a budget is missed when the whole interval lies beyond it",
    )
    if options.save and (set(options.models) != set(RECIPES) or options.engine != "auto"):
        parser.error("--save keeps figures of all models and of the engine that Penstock chooses")
    options.program = program("trees")
    options.core = None if options.no_pin else max(os.sched_getaffinity(0))
    ratios: dict[str, list[float]] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="penstock-forest-") as folder:
        for name in options.models:
            print(f"{name}: {RECIPES[name].trees} trees of {RECIPES[name].leaves} leaves", flush=True)
            made = forest(RECIPES[name], rows=ROWS)
            for batch in options.batches:
                found = measured(made, batch, options, Path(folder))
                times = {who: entry["ns"] for who, entry in found["contenders"].items()}
                medians = {who: statistics.median(values) for who, values in times.items()}
                against = reference_of(batch, medians)
                figure = f"{name}-{batch}"
                pairs = zip(times["Penstock"], times[against], strict=True)
                ratios[figure] = [ours / theirs for ours, theirs in pairs]
                interval = verdicts.Interval.of(ratios[figure])
                for who, median in medians.items():
                    print(f"  {batch:>4} row{'s' * (batch > 1):<2}{who:<28}{median / 1e3:>12,.2f} us")
                print(f"  {batch:>4} row{'s' * (batch > 1):<2}ratio to {against}: {interval}", flush=True)
                rows.append(
                    {
                        "model": name,
                        "rows": batch,
                        "engine": found["engine"],
                        "ns": medians,
                        "against": against,
                        "ratio": [interval.low, interval.median, interval.high],
                    }
                )
    found_verdicts = verdicts.judged("forest", ratios, options)
    record = {
        "core": options.core,
        "rounds": options.rounds,
        "rows": rows,
        "ratios": ratios,
        "verdicts": [verdict.record() for verdict in found_verdicts],
    }
    print(f"\nFigures in {results.keep('forest', record, options)}")
    verdicts.end("forest", found_verdicts)


if __name__ == "__main__":
    main()
