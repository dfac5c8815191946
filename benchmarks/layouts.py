"""What the layouts of a compiled forest cost beside each other and beside LightGBM's library (ADR 12): the
forests of forest.py through benchmarks/micro/forest.cc, which fails where their sums differ in a bit. Prints;
judges no time.

    python benchmarks/layouts.py [--models gbm ...] [--no-pin]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from forests import RECIPES, forest
from penstock.models.libraries import lightgbm_library
from process import on_core

ROOT = Path(__file__).resolve().parents[1]
ROWS = 2048


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the core")
    options = parser.parse_args()
    core = None if options.no_pin else max(os.sched_getaffinity(0))
    subprocess.run(["make", "-s", "-C", str(ROOT / "benchmarks" / "micro"), "NAMES=forest"], check=True)
    with tempfile.TemporaryDirectory(prefix="penstock-layouts-") as folder:
        for name in options.models:
            made = forest(RECIPES[name], rows=ROWS)
            rows = Path(folder) / f"{name}.rows"
            rows.write_bytes(np.ascontiguousarray(made.rows, np.float32).tobytes())
            print(f"\n{name}:", flush=True)
            program = str(ROOT / "build" / "release" / "micro" / "forest")
            done = subprocess.run([*on_core(core), program, str(made.text), str(rows), lightgbm_library()])
            if done.returncode:
                sys.exit(done.returncode)


if __name__ == "__main__":
    main()
