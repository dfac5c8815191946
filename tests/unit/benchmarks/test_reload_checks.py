"""What the reload benchmark makes of its figures."""

from __future__ import annotations

from collections import Counter

import pytest
from simulated_machine import CALM, simulated

from open_loop import Outcome
from reload import Check, Measured, judged, memory

MIB = 1 << 20


def checks(
    failed: dict[str, int] | None = None, resident: list[int] | None = None, *, short: bool = False
) -> list[Check]:
    found = simulated(1, CALM)
    outcome = Outcome(failed=Counter(failed))
    return judged(Measured(outcome, found.pairs, resident or [100 * MIB] * 300), found, short=short)


@pytest.mark.parametrize("short", [False, True])
def test_a_failed_request_is_a_breach(short: bool) -> None:
    assert checks(short=short)[0].verdict == "yes"
    first = checks({"grpc-status 14": 2, "another answer": 1}, short=short)[0]
    assert (first.verdict, first.measured) == ("MISSED", "3")
    assert first.what == "failed requests (2 grpc-status 14, 1 another answer)"


def test_the_short_form_judges_no_single_request_and_the_full_form_does() -> None:
    full = {check.what for check in checks() if check.required}
    short = {check.what for check in checks(short=True) if check.required}
    assert full - short == {
        "slowest with reloads / p99 without",
        "loads that made one slow, at most (99 % confidence)",
        "memory since reload 50",
    }
    assert short - full == {"memory's trend after reload 20"}


@pytest.mark.parametrize(("last", "met"), [(104, True), (106, False), (94, False)])
def test_memory_is_flat_within_a_twentieth_of_what_it_was_after_50_reloads(last: int, met: bool) -> None:
    assert memory([50] * 49 + [100] * 20 + [last], short=False).met is met


@pytest.mark.parametrize(("leak", "met"), [(0, True), (30_000, True), (100_000, False)])
def test_the_short_form_judges_the_trend_of_memory(leak: int, met: bool) -> None:
    settling = [int((60 + 2 * reload) * MIB) for reload in range(20)]
    # One reading in the midst of something is no trend.
    resident = [*settling, *(100 * MIB + leak * reload + (reload % 7 == 6) * 9 * MIB for reload in range(40))]
    assert memory(resident, short=True).met is met
