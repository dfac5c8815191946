"""The short set can fail: the real forest benchmark against budgets that it keeps and that it cannot keep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "budgets.toml"
    file.write_text(text)
    command = [sys.executable, str(ROOT / "benchmarks" / "budgets.py"), "--file", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


def section(limit: float, *words: str, figure: str = "gbm-1") -> str:
    options = ["--models", "gbm", "--batches", "1", "--rounds", "7", "--seconds", "0.01", *words]
    return f"""
[forest]
options = {options}

[[forest.budget]]
figure = "{figure}"
what = "GBM, 1 row"
at_most = {limit}
"""


def test_a_budget_that_is_kept_passes(tmp_path: Path) -> None:
    done = run(tmp_path, section(0.9))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "<= 0.9" in done.stdout.splitlines()[-3]


@pytest.mark.parametrize(
    ("limit", "words"),
    [(0.001, ()), (0.45, ("--engine", "library"))],
    ids=["a limit that nothing reaches", "Penstock slowed down to LightGBM's library"],
)
def test_a_budget_that_is_broken_fails_and_is_named(
    tmp_path: Path, limit: float, words: tuple[str, ...]
) -> None:
    done = run(tmp_path, section(limit, *words))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "budgets: missed: GBM, 1 row"


def test_a_figure_that_is_not_measured_fails(tmp_path: Path) -> None:
    done = run(tmp_path, section(0.9, figure="gbm-1000"))
    assert done.returncode == 1
    assert "does not measure gbm-1000" in done.stderr


def test_a_program_that_breaks_fails(tmp_path: Path) -> None:
    done = run(tmp_path, section(0.9, "--rounds", "none"))
    assert done.returncode == 1
    assert "ended with 2, and left no figures" in done.stderr
