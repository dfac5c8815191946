"""In the steady state a request allocates nothing, whatever the transforms, and before a linear model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import steady_state

from penstock import transforms as t

HERE = Path(__file__).parent
COUNTER = HERE.parents[1] / "native" / "malloc_counter.cc"


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """What some hundred runs of each allocate."""
    library = tmp_path_factory.mktemp("counter") / "malloc_counter.so"
    subprocess.run(["g++", "-O2", "-shared", "-fPIC", str(COUNTER), "-o", str(library), "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, steady_state.__file__],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, dict[str, int]] = json.loads(done.stdout)
    return made


def test_no_run_allocates(counted: dict[str, dict[str, int]]) -> None:
    found = counted["nothing"]
    assert set(found) == {*steady_state.MEASURED, steady_state.VERSION}
    assert {case.make().kind for case in steady_state.MEASURED.values()} == set(t.REGISTRY)
    assert {name: count for name, count in found.items() if count} == {}


def test_what_allocates_is_counted(counted: dict[str, dict[str, int]]) -> None:
    found = counted["something"]
    assert set(found) > {steady_state.CONTROL, "malloc", "memalign", "mmap"}
    assert {name: count for name, count in found.items() if count < steady_state.RUNS} == {}
