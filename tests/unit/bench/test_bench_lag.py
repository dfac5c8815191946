"""Runs whose generator was late say nothing."""

from __future__ import annotations

import re

import pytest
from run_results import result_of

from penstock.bench.lag import RUNS, LagRule, VoidError, steady

MS = 1_000_000


@pytest.mark.parametrize(
    ("rule", "limit_ms"),
    [
        (LagRule(), 1.0),  # half of the median latency of 2 ms
        (LagRule(objective_ns=5 * MS), 0.5),
        (LagRule(limit_ns=3 * MS, objective_ns=5 * MS), 3.0),
    ],
)
def test_the_limit_is_what_is_given_or_of_the_objective_or_of_the_median(
    rule: LagRule, limit_ms: float
) -> None:
    in_time = result_of([2 * MS] * 100, late_ns=[int(limit_ms * 0.98 * MS)] * 100)
    late = result_of([2 * MS] * 100, late_ns=[int(limit_ms * 1.02 * MS)] * 100)
    assert not rule.voids(in_time)
    assert rule.voids(late)


def test_one_late_request_in_a_hundred_voids_nothing() -> None:
    assert not LagRule().voids(result_of([2 * MS] * 100, late_ns=[0] * 99 + [90 * MS]))
    assert LagRule().voids(result_of([2 * MS] * 100, late_ns=[0] * 98 + [90 * MS] * 2))


def test_a_void_run_is_repeated_and_told() -> None:
    runs = iter(
        [result_of([2 * MS], late_ns=[9 * MS]), result_of([3 * MS], late_ns=[8 * MS]), result_of([4 * MS])]
    )
    told: list[str] = []
    assert steady(lambda: next(runs), LagRule(), told.append).latency.max_ns == 4 * MS
    assert len(told) == 2
    assert told[0].startswith("void: the generator was late itself: by 9.0")


def test_a_load_that_is_void_every_time_is_given_up_with_the_reason() -> None:
    tried = []

    def run() -> object:
        tried.append(1)
        return result_of([2 * MS], late_ns=[9 * MS], rate=12_000.0)

    with pytest.raises(VoidError, match=r"5 runs at 12,000 requests/s were void: .* 9\.0.* ms at its p99"):
        steady(run, LagRule())  # type: ignore[arg-type]
    assert len(tried) == RUNS


@pytest.mark.parametrize("rule", [LagRule(), LagRule(objective_ns=MS / 5)])
def test_a_tenth_of_a_millisecond_is_allowed_however_fast_the_server_is(rule: LagRule) -> None:
    assert not rule.voids(result_of([MS // 20] * 100, late_ns=[MS // 11] * 100))
    assert rule.voids(result_of([MS // 20] * 100, late_ns=[MS // 9] * 100))


def test_a_void_run_says_what_would_allow_it() -> None:
    late = result_of([2 * MS] * 100, late_ns=[9 * MS] * 100)
    with pytest.raises(VoidError) as caught:
        steady(lambda: late, LagRule())
    found = re.search(r"allow more: --max-lag ([0-9.]+)\.$", str(caught.value))
    assert found is not None
    assert 9 < float(found[1]) < 15
    assert not LagRule(limit_ns=float(found[1]) * MS).voids(late)


def test_a_closed_loop_that_the_generator_holds_up_is_void() -> None:
    for threads in (1, 3):
        idle = result_of([MS], rate=None, seconds=2.0, processor_seconds=1.7 * threads, threads=threads)
        busy = result_of([MS], rate=None, seconds=2.0, processor_seconds=1.9 * threads, threads=threads)
        assert not LagRule().voids(idle)
        assert LagRule().voids(busy)
    with pytest.raises(VoidError, match=r"5 runs were void: .* used 95% of the processor time .* --threads"):
        steady(lambda: busy, LagRule())
