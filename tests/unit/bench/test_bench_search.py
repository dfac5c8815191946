"""The search for the highest rate, on servers whose highest rate is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from run_results import result_of

from penstock.bench.lag import VoidError
from penstock.bench.result import Failure, Result
from penstock.bench.search import TRIES, Objective, Search, SearchError

MS = 1_000_000
OBJECTIVE = Objective(10 * MS)


class Machine:
    """A server that keeps the objective up to `capacity`, with a chance that falls with the logarithm of the
    rate over `width` of it.
    """

    def __init__(self, capacity: float, *, width: float = 0.0, seed: int = 0) -> None:
        self.capacity = capacity
        self.runs = 0
        self._width = width
        self._random = np.random.default_rng(seed)

    def __call__(self, rate: float, number: int) -> Result:
        assert number == self.runs
        self.runs += 1
        distance = math.log(rate / self.capacity)
        if self._width:
            kept = self._random.random() < 1 / (1 + math.exp(min(distance / self._width, 700)))
        else:
            kept = distance <= 0
        return result_of([MS] * 99 + [MS if kept else 50 * MS], rate=rate, failed=0 if kept else 1)


@pytest.mark.parametrize("start", [1.0, 180.0, 1000.0, 123_456.0])
def test_a_sharp_limit_lies_in_an_interval_of_the_precision(start: float) -> None:
    machine = Machine(1000.0)
    search = Search(machine, OBJECTIVE, precision=0.02)
    found = search.highest_rate(start)
    assert found.high is not None
    assert found.low <= 1000 < found.high
    assert found.high / found.low <= 1.02 + 1e-9
    assert found.rate == found.low
    assert len(found.trials) == machine.runs


def test_both_ends_are_confirmed_by_runs_in_a_row_that_take_turns() -> None:
    search = Search(Machine(1000.0), OBJECTIVE, confidence=0.95)
    assert search.row == math.ceil(math.log2(TRIES / 0.025)) == 8
    found = search.highest_rate(900.0)
    last = found.trials[-2 * search.row :]
    assert [t.rate for t in last[:4]] == [found.low, found.high, found.high, found.low]
    for rate, kept in ((found.low, True), (found.high, False)):
        assert [t.kept for t in last if t.rate == rate] == [kept] * search.row


def test_the_interval_holds_the_limit_as_often_as_it_says() -> None:
    """The limit is the rate that half of the runs keep."""
    held, told = 0, 0
    for seed in range(300):
        try:
            found = Search(Machine(1000.0, width=0.03, seed=seed), OBJECTIVE, confidence=0.9).highest_rate(
                700.0
            )
        except SearchError:
            continue
        told += 1
        held += found.low <= 1000 <= (found.high or 0)
    assert told > 200
    assert held / told >= 0.9


def test_a_machine_that_differs_from_run_to_run_is_told() -> None:
    with pytest.raises(SearchError, match="runs still differ"):
        Search(Machine(1000.0, width=3.0, seed=1), OBJECTIVE).highest_rate(1000.0)


def test_a_server_that_never_keeps_the_objective_is_told() -> None:
    with pytest.raises(SearchError, match=r"not even 1 request a second keeps p99 <= 10 ms"):
        Search(Machine(0.1), OBJECTIVE).highest_rate(1000.0)


def test_every_trial_is_told() -> None:
    told = []
    found = Search(Machine(1000.0), OBJECTIVE, told=told.append).highest_rate(1000.0)
    assert tuple(told) == found.trials


@pytest.mark.parametrize(
    ("slow", "failed", "kept"), [(0, 0, True), (1, 0, True), (0, 1, True), (1, 1, False), (2, 0, False)]
)
def test_an_objective_counts_slow_and_failed_requests_alike(slow: int, failed: int, kept: bool) -> None:
    result = result_of([MS] * (100 - slow - failed) + [50 * MS] * slow, failed=failed)
    assert OBJECTIVE.kept(result) is kept


def test_no_request_keeps_no_objective() -> None:
    assert not OBJECTIVE.kept(result_of([]))


class Generator(Machine):
    """In front of such a server, one that can send no more than `most` requests a second in time."""

    def __init__(self, capacity: float, most: float) -> None:
        super().__init__(capacity)
        self._most = most

    def __call__(self, rate: float, number: int) -> Result:
        if rate > self._most:
            raise VoidError("too late")
        return super().__call__(rate, number)


@pytest.mark.parametrize("start", [300.0, 1000.0, 5000.0])
def test_a_limit_just_below_what_the_generator_can_send_is_found(start: float) -> None:
    found = Search(Generator(1000.0, 1100.0), OBJECTIVE, precision=0.05).highest_rate(start)
    assert found.high is not None
    assert found.low <= 1000 < found.high <= 1100


@pytest.mark.parametrize("start", [300.0, 1000.0, 5000.0])
def test_where_the_generator_is_the_limit_there_is_a_confirmed_lower_end_alone(start: float) -> None:
    search = Search(Generator(1e9, 1000.0), OBJECTIVE, precision=0.05)
    found = search.highest_rate(start)
    assert found.high is None
    assert 950 < found.low <= 1000
    assert [t.rate for t in found.trials[-search.row :]] == [found.low] * search.row
    assert all(t.kept for t in found.trials)


def test_a_generator_that_can_send_nothing_in_time_is_told() -> None:
    with pytest.raises(VoidError, match="too late"):
        Search(Generator(1e9, 0.5), OBJECTIVE).highest_rate(1000.0)


def test_a_server_that_fails_ends_the_search_at_once() -> None:
    runs = []

    def failing(rate: float, number: int) -> Result:
        runs.append(rate)
        return result_of([], failed=7, rate=rate)

    with pytest.raises(SearchError, match=r"at 500 requests/s, no request .* 7 RESOURCE_EXHAUSTED: full"):
        Search(failing, OBJECTIVE).highest_rate(500.0)
    assert runs == [500.0]


def test_a_server_that_answers_nothing_within_the_deadline_has_too_much_load() -> None:
    machine = Machine(1000.0)

    def collapsing(rate: float, number: int) -> Result:
        result = machine(rate, number)
        if rate <= 1000:
            return result
        return replace(result_of([], rate=rate), requests=9, failures=(Failure("grpc-status", 4, 9),))

    found = Search(collapsing, OBJECTIVE).highest_rate(1500.0)
    assert found.high is not None
    assert found.low <= 1000 < found.high
