"""In the steady state a request allocates nothing, whatever the transforms, and before a linear model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from penstock import transforms as t

HERE = Path(__file__).parent
COUNTER = HERE.parents[1] / "native" / "malloc_counter.cc"


def test_no_run_allocates(tmp_path: Path) -> None:
    library = tmp_path / "malloc_counter.so"
    subprocess.run(["g++", "-O2", "-shared", "-fPIC", str(COUNTER), "-o", str(library), "-ldl"], check=True)
    paths = os.pathsep.join([str(HERE), *sys.path])
    done = subprocess.run(
        [sys.executable, str(HERE / "steady_state.py")],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert {name.partition(":")[0] for name in counted} >= set(t.REGISTRY)
    assert {name: count for name, count in counted.items() if count} == {}
