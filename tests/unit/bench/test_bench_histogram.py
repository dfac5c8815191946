"""Histograms against the values that went into them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_results import histogram_of, result_of

from penstock.bench import Failure
from penstock.bench.histogram import ERROR
from penstock.bench.result import merged

VALUES = st.lists(st.integers(0, 2**50), min_size=1, max_size=200)


@given(VALUES, st.floats(0, 1))
def test_a_quantile_is_the_value_of_its_rank_within_the_error(values: list[int], quantile: float) -> None:
    exact = sorted(values)[max(math.ceil(quantile * len(values)), 1) - 1]
    found = histogram_of(values).quantile_ns(quantile)
    assert exact <= found <= exact * (1 + ERROR)


@given(VALUES, st.integers(0, 2**50))
def test_values_over_a_limit_are_never_fewer_than_there_are(values: list[int], limit: int) -> None:
    found = histogram_of(values).over(limit)
    assert sum(value > limit for value in values) <= found
    assert found <= sum(value * (1 + ERROR) + 1 > limit for value in values)


@given(VALUES, VALUES)
def test_two_histograms_together_hold_the_values_of_both(first: list[int], second: list[int]) -> None:
    both, whole = histogram_of(first).plus(histogram_of(second)), histogram_of(first + second)
    assert both.to_json() == whole.to_json()
    assert (both.count, both.max_ns, both.mean_ns) == (
        whole.count,
        whole.max_ns,
        pytest.approx(whole.mean_ns),
    )


def test_the_mean_and_the_maximum_are_those_of_the_values() -> None:
    histogram = histogram_of([1_000_001, 3_000_003])
    assert histogram.mean_ns == 2_000_002
    assert histogram.summary((0.5, 1.0))["max"] == 3000.003
    assert histogram.quantile_ns(1) == 3_000_003


def test_nothing_has_no_quantiles() -> None:
    empty = histogram_of([])
    assert math.isnan(empty.quantile_ns(0.5))
    assert math.isnan(empty.mean_ns)
    assert empty.over(0) == 0
    assert set(empty.summary().values()) == {None}


@given(VALUES)
def test_the_curve_ends_at_all_values_and_their_maximum(values: list[int]) -> None:
    shares, bounds = histogram_of(values).curve()
    assert shares[-1] == 1
    assert bounds[-1] == max(values)
    assert (np.diff(shares) > 0).all()
    assert (np.diff(bounds) >= 0).all()


def test_failed_requests_are_over_any_limit() -> None:
    result = result_of([1000] * 97, failed=3)
    assert result.share_over(10**9) == 0.03
    assert (result.good, result.failed, result.throughput) == (97, 3, 97.0)


def test_runs_of_one_load_are_taken_together() -> None:
    whole = merged([result_of([1000] * 5, failed=2), result_of([9000] * 5, failed=1, seconds=2.0)])
    assert whole.failures == (Failure("grpc-status", 8, 3, "full"),)
    assert (whole.requests, whole.seconds, whole.good) == (13, 3.0, 10)
    assert whole.throughput == 10 / 3.0
    assert whole.latency.max_ns == 9000


def test_statuses_are_told_by_name() -> None:
    assert Failure("grpc-status", 8, 1).text == "RESOURCE_EXHAUSTED"
    assert Failure("grpc-status", 99, 1).text == "grpc-status 99"
    assert Failure("HTTP status", 503, 1).label == "HTTP status 503"
    assert Failure("no answer", 0, 1).label == "no answer"
