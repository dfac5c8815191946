"""Plots: files that can be drawn again, and a library that is loaded for them alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from run_results import histogram_of, result_of

from penstock.bench import plots
from penstock.errors import PenstockError

VALUES = [int(v) for v in np.random.default_rng(3).exponential(1e6, 5000)]


def texts(path: Path) -> str:
    """What an SVG file writes, which matplotlib keeps as comments beside the outlines."""
    ElementTree.parse(path)
    return "\n".join(re.findall(r"<!-- (.*?) -->", path.read_text()))


def test_percentile_curves_have_a_line_for_each_histogram(tmp_path: Path) -> None:
    curves = {
        "ours": histogram_of(VALUES),
        "theirs": histogram_of([2 * v for v in VALUES]),
        "none": histogram_of([]),
    }
    plots.percentile_curves(curves, tmp_path / "new" / "p.svg")
    found = texts(tmp_path / "new" / "p.svg")
    assert {"ours", "theirs", "99.9 %", "latency, ms"} <= set(found.split("\n"))
    assert "none" not in found.split("\n")


def test_latency_against_load_has_a_line_for_each_percentile_or_server(tmp_path: Path) -> None:
    results = [result_of([v * n for v in VALUES], rate=1000.0 * n) for n in (3, 1, 2)]
    plots.latency_against_load({"": results}, tmp_path / "one.svg", objective_ms=5.0)
    assert {"p50", "p99", "p99.9", "5 ms", "requests a second"} <= set(
        texts(tmp_path / "one.svg").split("\n")
    )
    plots.latency_against_load(
        {"a": results, "b": results[:2]}, tmp_path / "two.svg", percentiles=(50.0, 99.0)
    )
    found = set(texts(tmp_path / "two.svg").split("\n"))
    assert {"a, p99", "b, p99"} <= found
    assert "a, p50" not in found


def test_failures_that_are_left_out_are_told(tmp_path: Path) -> None:
    plots.percentile_curves({"ours": histogram_of(VALUES)}, tmp_path / "p.svg", left_out={"ours": 1200})
    assert "ours (1,200 failed, left out)" in texts(tmp_path / "p.svg")
    plots.percentile_curves({"ours": histogram_of(VALUES)}, tmp_path / "q.svg", left_out={"ours": 0})
    assert "left out" not in texts(tmp_path / "q.svg")
    results = [result_of(VALUES, rate=1000.0), result_of(VALUES, rate=2000.0, failed=3)]
    plots.latency_against_load({"": results}, tmp_path / "l.svg")
    assert "requests failed, and are left out" in texts(tmp_path / "l.svg")
    plots.latency_against_load({"": results[:1]}, tmp_path / "m.svg")
    assert "left out" not in texts(tmp_path / "m.svg")


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plots.percentile_curves({"x": histogram_of(VALUES)}, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    plots.percentile_curves({"x": histogram_of(VALUES)}, tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PenstockError, match="cannot be written"):
        plots.percentile_curves({"x": histogram_of(VALUES)}, tmp_path / "file" / "p.svg")


def test_matplotlib_is_loaded_by_a_plot_alone_and_the_generator_not_by_a_server() -> None:
    program = (
        "import sys; import penstock.bench.plots, penstock.cli.app; assert 'matplotlib' not in sys.modules; "
        "assert 'penstock._loadgen' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    program = (
        "import sys; import penstock.server, penstock.cli.app; assert 'penstock._loadgen' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_matplotlib_it_is_said_how_to_get_it() -> None:
    program = """
import sys
sys.modules["matplotlib"] = None
from penstock.bench import plots
from penstock.errors import PenstockError
try:
    plots.require()
except PenstockError as error:
    assert "penstock[bench]" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True)
