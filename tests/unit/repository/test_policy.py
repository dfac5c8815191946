from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from penstock.repository.policy import newest_first, version_order, wanted

VERSIONS = st.text("0123456789abv.-", min_size=1, max_size=8)
SETS = st.frozensets(VERSIONS, max_size=8)
POLICIES = st.one_of(st.just("latest"), st.just("all"), st.lists(VERSIONS, min_size=1, max_size=4).map(tuple))


def test_numbers_in_versions_are_ordered_as_numbers() -> None:
    assert newest_first(["9", "10", "1.9", "1.10", "v2-rc9", "v2-rc10"]) == [
        "v2-rc10",
        "v2-rc9",
        "10",
        "9",
        "1.10",
        "1.9",
    ]


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_plain_numbers_are_ordered_by_their_value(a: int, b: int) -> None:
    assert (version_order(str(a)) < version_order(str(b))) == (a < b)


@given(st.lists(VERSIONS, unique=True), st.randoms())
def test_the_order_does_not_depend_on_where_versions_stood(versions: list[str], rng: random.Random) -> None:
    shuffled = list(versions)
    rng.shuffle(shuffled)
    assert newest_first(shuffled) == newest_first(versions)


@given(SETS, POLICIES, st.integers(1, 4), SETS)
def test_only_candidates_are_wanted_and_pinned_ones_always_are(
    candidates: frozenset[str], policy: str, count: int, pinned: frozenset[str]
) -> None:
    chosen = wanted(candidates, policy, latest_count=count, pinned=pinned)  # type: ignore[arg-type]
    assert chosen <= candidates
    assert pinned & candidates <= chosen


@given(SETS, st.integers(1, 4))
def test_latest_wants_the_highest_and_nothing_above_is_left_out(
    candidates: frozenset[str], count: int
) -> None:
    chosen = wanted(candidates, "latest", latest_count=count)
    assert len(chosen) == min(count, len(candidates))
    assert all(version_order(left) < version_order(taken) for left in candidates - chosen for taken in chosen)


@given(SETS, st.lists(VERSIONS, min_size=1).map(tuple))
def test_named_versions_are_wanted_exactly_where_they_exist(
    candidates: frozenset[str], names: tuple[str, ...]
) -> None:
    assert wanted(candidates, names) == candidates & set(names)


@given(SETS)
def test_all_wants_every_candidate(candidates: frozenset[str]) -> None:
    assert wanted(candidates, "all") == candidates
