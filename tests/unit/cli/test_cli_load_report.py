"""What is told of results that no server gives on demand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from run_results import result_of

from penstock.bench import Body, Load
from penstock.bench.lag import LagRule
from penstock.bench.runs import Runs
from penstock.bench.search import Found, Trial
from penstock.cli.load_report import LoadReport

MS = 1_000_000


def report_of(*results: Any, **options: Any) -> LoadReport:
    rule = LagRule()
    runs = Runs("localhost:1", [Body(b"")], Load(), rule)
    runs.results += results
    return LoadReport({}, Load(), True, runs, rule, **options)


def test_a_rate_that_the_generator_limits_is_at_least_that(capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of([MS] * 98 + [9 * MS], failed=1)
    report = report_of(result, p99_ms=5.0, found=Found(1000.0, None, 0.95, (Trial(1000.0, False, result),)))
    report.print()
    assert capsys.readouterr().out.splitlines()[-1] == (
        "p99 <= 5 ms up to at least 1,000 requests/s, limited by the generator (95% confidence, 1 runs)"
    )
    assert report.to_json()["found"] == {
        "rate": 1000.0,
        "interval": [1000.0, None],
        "limited_by_generator": True,
        "confidence": 0.95,
        "trials": [{"rate": 1000.0, "kept": False, "share_over": 0.02}],
    }


def test_an_interrupted_closed_loop_that_the_generator_held_up_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    busy = result_of([MS], rate=None, processor_seconds=0.95)
    report = report_of(busy)
    report.print()
    assert "void: the generator itself was the limit: it used 95%" in capsys.readouterr().out
    assert report.to_json()["runs"][0]["generator"]["processor_share"] == 0.95
