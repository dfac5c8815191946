"""What the throughput benchmark requires, in full and in the short form."""

from __future__ import annotations

import pytest

from throughput import BUSY, SINGLE, Row, Scenario


def row(scenario: Scenario, judged_by: str, *, values: tuple[float, float], cpu: tuple[float, float]) -> Row:
    required = 20.0 if scenario is BUSY else 0.5
    (ours, theirs), (our_cpu, their_cpu) = values, cpu
    return Row("mlp", scenario, [ours] * 4, [theirs] * 4, [our_cpu] * 4, [their_cpu] * 4, required, judged_by)


@pytest.mark.parametrize(
    ("scenario", "values", "cpu", "clock", "processor"),
    [
        (BUSY, (100_000, 2_500), (8, 360), True, True),
        (BUSY, (40_000, 2_500), (8, 360), False, True),  # others took the time
        (BUSY, (100_000, 2_500), (20, 360), True, False),
        (SINGLE, (100, 400), (50, 370), True, True),
        (SINGLE, (300, 400), (50, 370), False, True),
        (SINGLE, (100, 400), (190, 370), True, False),
    ],
)
def test_the_full_form_judges_the_clock_and_the_short_one_processor_time(
    scenario: Scenario, values: tuple[float, float], cpu: tuple[float, float], clock: bool, processor: bool
) -> None:
    for judged_by, met in (("clock", clock), ("cpu", processor)):
        found = row(scenario, judged_by, values=values, cpu=cpu)
        assert found.met is met
        assert ("MISSED" in found.text()) is not met


def test_what_is_judged_is_printed() -> None:
    assert "cpu 45x >= 20x: yes" in row(BUSY, "cpu", values=(40_000, 2_500), cpu=(8, 360)).text()
    assert "cpu" not in row(BUSY, "clock", values=(40_000, 2_500), cpu=(8, 360)).text()
