"""What the reload benchmark makes of its figures."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from open_loop import Histogram, Outcome
from reload import Measured, Phase, checks

MS = 1_000_000


def slice_of(*, slowest: int, late: int = 0, failed: dict[str, int] | None = None) -> Outcome:
    """A hundred requests of 1 ms, and one that took `slowest` ms; the generator was `late` ms late."""
    latency = Histogram(Counter({MS: 100, slowest * MS: 1}), slowest * MS)
    return Outcome(101, 1.0, [101], Counter(failed), latency, Histogram(Counter({late * MS: 101}), late * MS))


def verdicts(quiet: list[Outcome], busy: list[Outcome], resident: list[int] | None = None) -> dict[str, Any]:
    reloader = SimpleNamespace(resident=resident or [100] * 60)
    found = checks(Measured(Phase(quiet), Phase(busy), cast(Any, reloader)))
    names = ("failed", "slowest", "quiet", "typical", "memory")
    return {name: check.met for name, check in zip(names, found, strict=True)}


GOOD = {"failed": True, "slowest": True, "quiet": None, "typical": None, "memory": True}


def test_on_a_quiet_machine_the_slowest_of_all_decides() -> None:
    quiet = [slice_of(slowest=2)] * 3
    assert verdicts(quiet, [slice_of(slowest=3)] * 3) == GOOD
    one_stall = [slice_of(slowest=1), slice_of(slowest=4), slice_of(slowest=1)]
    assert verdicts(quiet, one_stall) == {**GOOD, "slowest": False}


@pytest.mark.parametrize(("quiet", "late"), [([slice_of(slowest=9)] * 3, 0), ([slice_of(slowest=2)] * 3, 8)])
def test_on_a_noisy_machine_the_slowest_of_a_slice_does(quiet: list[Outcome], late: int) -> None:
    hiccup = [slice_of(slowest=2), slice_of(slowest=90, late=late), slice_of(slowest=2)]
    assert verdicts(quiet, hiccup) == {**GOOD, "slowest": None, "typical": True}
    stalls = [slice_of(slowest=90, late=late)] * 3
    assert verdicts(quiet, stalls) == {**GOOD, "slowest": None, "typical": False}


def test_a_failed_request_is_a_breach_with_or_without_reloads() -> None:
    good, bad = slice_of(slowest=2), slice_of(slowest=2, failed={"grpc-status 14": 1})
    assert verdicts([good], [bad]) == verdicts([bad], [good]) == {**GOOD, "failed": False}


@pytest.mark.parametrize(("last", "met"), [(104, True), (106, False), (94, False)])
def test_memory_is_flat_within_a_twentieth_of_what_it_was_after_50_reloads(last: int, met: bool) -> None:
    resident = [50] * 49 + [100] * 20 + [last]
    assert verdicts([slice_of(slowest=2)], [slice_of(slowest=2)], resident) == {**GOOD, "memory": met}
