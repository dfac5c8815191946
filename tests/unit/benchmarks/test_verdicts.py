"""Budgets: what is a clear breach, and what is not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdicts import BUDGETS, Budget, Interval, Verdict, budgets

AT_MOST = Budget("x", "time", at_most=1.0)
AT_LEAST = Budget("x", "rate", at_least=1.0)


def met(budget: Budget, values: list[float], *, short: bool = True) -> bool | None:
    return Verdict.of(budget, values, short=short).met


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_the_interval_holds_the_median_and_lies_in_the_range(values: list[float]) -> None:
    found = Interval.of(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)


@pytest.mark.parametrize("count", [6, 7, 9, 12, 21])
def test_the_interval_holds_the_true_median_as_often_as_it_says(count: int) -> None:
    # A skewed distribution with the median 1; 4,000 runs tell the share to 0.4 points.
    draws = np.exp(np.random.default_rng(count).gamma(1.0, 1.0, (4000, count)) - math.log(2))
    intervals = [Interval.of(list(run)) for run in draws]
    held = np.mean([found.low <= 1 <= found.high for found in intervals])
    assert intervals[0].confidence >= 0.95
    assert held == pytest.approx(intervals[0].confidence, abs=0.012)


def test_five_rounds_are_too_few_for_a_verdict() -> None:
    assert met(AT_MOST, [9.0] * 5) is None
    assert met(AT_MOST, [9.0] * 5, short=False) is None
    assert met(AT_MOST, [9.0] * 6) is False


@pytest.mark.parametrize(
    ("budget", "values", "expected"),
    [
        (AT_MOST, [0.8, 0.9, 0.9, 0.95, 0.7, 0.8], True),
        (AT_MOST, [0.8, 1.2, 0.9, 1.3, 1.2, 1.4], None),
        (AT_MOST, [1.1, 1.2, 1.2, 1.3, 1.2, 1.4], False),
        (AT_LEAST, [1.1, 1.2, 1.2, 1.3, 1.2, 1.4], True),
        (AT_LEAST, [0.8, 1.2, 0.9, 1.3, 1.2, 1.4], None),
        (AT_LEAST, [0.8, 0.9, 0.9, 0.95, 0.7, 0.8], False),
    ],
)
def test_the_short_form_misses_only_what_lies_beyond_as_a_whole(
    budget: Budget, values: list[float], expected: bool | None
) -> None:
    assert met(budget, values) is expected


def test_the_full_form_goes_by_the_median() -> None:
    values = [0.8, 1.2, 0.9, 1.3, 1.2, 1.4]
    assert met(AT_MOST, values, short=False) is False
    assert met(AT_LEAST, values, short=False) is True


def test_slack_makes_a_near_breach_unclear_and_no_far_one() -> None:
    lenient = Budget("x", "time", at_most=1.0, slack=0.1)
    assert met(lenient, [1.05] * 7) is None
    assert met(lenient, [1.05] * 7, short=False) is False
    assert met(lenient, [1.2] * 7) is False


def test_rounds_that_show_nothing_do_not_count() -> None:
    assert met(AT_MOST, [math.nan] * 7) is None
    assert met(AT_MOST, [math.nan, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]) is False
    assert met(AT_MOST, [math.nan, math.nan, 9.0, 9.0, 9.0, 9.0, 9.0]) is None


def test_what_no_round_showed_is_said_so_and_is_null_in_the_record() -> None:
    verdict = Verdict.of(AT_MOST, [math.nan] * 7, short=False)
    assert "not shown" in verdict.text()
    assert "nan" not in verdict.text()
    assert [verdict.record()[name] for name in ("low", "median", "high", "met")] == [None] * 4


def test_a_figure_of_one_value_is_judged_as_it_is() -> None:
    single = Budget("memory", "memory", at_most=1.0, single=True)
    assert [met(single, [value]) for value in (0.99, 1.01)] == [True, False]


def test_a_budget_needs_one_limit() -> None:
    with pytest.raises(ValueError, match="either"):
        Budget("x", "both", at_most=1, at_least=1)
    with pytest.raises(ValueError, match="either"):
        Budget("x", "none")


def test_every_section_of_the_file_is_a_program_with_budgets_or_rules_of_its_own() -> None:
    import tomllib

    sections = tomllib.loads(BUDGETS.read_text())
    for program, section in sections.items():
        assert (BUDGETS.parent / f"{program}.py").exists()
        assert bool(budgets(program, BUDGETS)) != section.get("judges_itself", False)


def test_each_budget_is_read_with_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text('[forest]\n[[forest.budget]]\nfigure = "gbm-1"\nwhat = "time"\nat_most = 0.45\n')
    (budget,) = budgets("forest", file)
    assert (budget.figure, budget.limit, budget.text) == ("gbm-1", 0.45, "<= 0.45")
