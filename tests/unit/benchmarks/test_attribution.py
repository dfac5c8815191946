"""Machines that stall by themselves, and reloads that stall the server: which of them is told from which."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_machine import BUSY, CALM, MS, ROUGH, Noise, simulated, stalled

from attribution import LEVEL, Attribution, chance
from open_loop import Trace
from reload import LOADS_SLOW, attributed, slowest


def missed(found: Attribution) -> list[str]:
    return [check.what for check in attributed(found, short=False) if check.met is False]


@pytest.mark.parametrize("noise", [Noise(0), CALM, ROUGH])
def test_reloads_that_do_nothing_pass_on_any_machine(noise: Noise) -> None:
    assert [seed for seed in range(40) if missed(simulated(seed, noise, pairs=40))] == []


@pytest.mark.parametrize("noise", [Noise(0), CALM, ROUGH])
def test_a_stall_of_three_milliseconds_at_each_reload_fails(noise: Noise) -> None:
    for seed in range(5):
        found = simulated(seed, noise, stall_ms=3)
        assert 3 * found.p99_ns < 3 * MS, "else that is no slow request"
        assert found.window_chance < LEVEL
        assert "so many more loads, by chance alone" in missed(found)


def test_a_short_run_finds_it_too() -> None:
    assert all(simulated(seed, CALM, pairs=12, stall_ms=3).window_chance < LEVEL for seed in range(20))


def test_a_stall_at_one_reload_of_ten_fails_on_a_calm_machine() -> None:
    found = [simulated(seed, CALM, pairs=100, stall_ms=3, share=0.1) for seed in range(10)]
    assert all(each.window_chance < LEVEL for each in found)


def test_stalls_that_come_in_slices_with_reloads_but_not_while_one_runs_fail() -> None:
    for seed in range(10):
        assert simulated(seed, CALM, pairs=100, stall_ms=3, every_s=0.2).spell_chance < LEVEL


def test_on_a_calm_machine_full_length_shows_how_few_loads_made_a_request_slow() -> None:
    for seed in range(10):
        assert simulated(seed, CALM, pairs=100).window_bound < LOADS_SLOW


def test_the_bound_holds_the_true_share() -> None:
    bounds = [simulated(seed, CALM, pairs=100, stall_ms=3, share=0.04).window_bound for seed in range(60)]
    # Some of the loads that stall would have met one of the machine's own anyway.
    assert sum(bound < 0.036 for bound in bounds) <= 2
    assert np.median(bounds) < 0.1


def test_what_the_generator_alone_delays_is_no_fault_of_the_reloads() -> None:
    calm = simulated(1, CALM)
    trace = calm._trace
    loads = [(float(began + MS), 4.0 * MS) for pair in calm.pairs for began, _ in pair.loads]
    late = stalled(trace.due, loads)
    held_up = Trace(trace.due, trace.late + late, trace.latency + late)
    assert not missed(Attribution(held_up, calm.pairs, apart=True))
    # On the server's core it is no witness.
    assert missed(Attribution(held_up, calm.pairs, apart=False))


def test_nothing_is_judged_where_the_quiet_slices_show_a_busy_machine() -> None:
    found = simulated(1, BUSY, stall_ms=3)
    assert found.too_busy
    assert not simulated(1, ROUGH).too_busy
    required = [check for check in attributed(found, short=False) if check.required]
    assert len(required) == 5
    assert {check.verdict for check in (*required, slowest(found, short=False)[0])} == {"not shown"}


def test_what_meets_most_loads_fails_on_a_busy_machine_too() -> None:
    found = simulated(1, BUSY, stall_ms=20)
    assert found.too_busy
    assert "so many more loads, by chance alone" in missed(found)


@pytest.mark.parametrize(
    ("quiet_ms", "busy_ms", "verdict"),
    [(0, 0, "yes"), (0, 3, "MISSED"), (3, 0, "yes"), (3, 3, "not shown")],
)
def test_the_slowest_of_all_is_judged_unless_the_machine_breaks_it_alone(
    quiet_ms: int, busy_ms: int, verdict: str
) -> None:
    calm = simulated(1, Noise(0))
    trace, pair = calm._trace, calm.pairs[3]
    stalls = [(float(pair.quiet_began), quiet_ms * MS), (float(pair.began), busy_ms * MS)]
    wait = stalled(trace.due, [(began, float(length)) for began, length in stalls])
    found = Attribution(Trace(trace.due, trace.late, trace.latency + wait), calm.pairs, apart=True)
    assert slowest(found, short=False)[0].verdict == verdict
    assert slowest(found, short=True)[0].verdict == ""


def test_a_tail_that_is_longer_with_reloads_fails_and_chance_does_not() -> None:
    calm = simulated(1, CALM)
    trace = calm._trace
    slower = trace.latency.copy()
    for pair in calm.pairs:
        places = trace.span(pair.began, pair.began + pair.length)
        slower[places][::200] += 20 * MS
    found = Attribution(Trace(trace.due, trace.late, slower), calm.pairs, apart=True)
    assert found.tail_ratio(0.999) > 2
    assert found.tail_chance(0.999) < LEVEL
    # One long stall of the machine makes the ratio as large, and is one of two equally likely cases.
    wait = stalled(trace.due, [(float(calm.pairs[7].began), 120.0 * MS)])
    once = Attribution(Trace(trace.due, trace.late, trace.latency + wait), calm.pairs, apart=True)
    assert once.tail_ratio(0.999) > 2
    assert once.tail_chance(0.999) > 10 * LEVEL


def test_chance_is_the_share_of_sign_changes() -> None:
    assert chance(np.ones(3, np.int64)) == pytest.approx(1 / 8, abs=0.01)
    assert chance(np.array([1, -1])) == pytest.approx(3 / 4, abs=0.02)
    assert chance(np.zeros(5, np.int64)) == 1
    assert chance(np.ones(40, np.int64)) < LEVEL < chance(np.ones(8, np.int64))
