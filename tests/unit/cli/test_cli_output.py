from __future__ import annotations

import pytest

from penstock.cli import output


def test_a_long_step_tells_a_line_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(output, "monotonic", lambda: now)
    with output.step("packing") as tell:
        for number in range(120):
            now = 100.0 + number / 10
            tell(f"file {number}")
    assert capsys.readouterr().err.splitlines() == ["file 50", "file 100"]


def test_progress_says_how_far_it_is_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(output, "monotonic", lambda: now)
    with output.progress("predicting", 2000, "rows", results_on_stdout=False) as advance:
        for number in range(60):
            now = 100.0 + number / 10
            advance(number * 30)
    assert capsys.readouterr().err.splitlines() == ["predicting: 1,500 of 2,000 rows"]
