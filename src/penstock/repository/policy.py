"""Which versions of a model should be served. Pure: the same versions and requests give the same set."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

Policy = Literal["latest", "all"] | tuple[str, ...]

_DIGITS = re.compile(r"([0-9]+)")


def version_order(version: str) -> tuple[tuple[str | int, ...], str]:
    """A sort key that reads runs of digits as numbers: "9" < "10", "v2-rc1" < "v2-rc10". A total order."""
    # split() alternates text and digits, so two keys always compare text with text and number with number.
    parts = _DIGITS.split(version)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), version


def newest_first(versions: Iterable[str]) -> list[str]:
    """The versions in natural order, the highest first."""
    return sorted(versions, key=version_order, reverse=True)


def wanted(
    candidates: Collection[str], policy: Policy, *, latest_count: int = 1, pinned: Collection[str] = ()
) -> frozenset[str]:
    """The versions to serve out of `candidates`, those that could be.

    "latest" wants the `latest_count` highest, "all" every one, a tuple of names just those. `pinned` ones
    (asked for by an operator, or named by an alias) are wanted besides. Never more than the candidates.
    """
    held = {version for version in pinned if version in candidates}
    if policy == "all":
        return frozenset(candidates)
    if policy == "latest":
        return frozenset(newest_first(candidates)[:latest_count]) | held
    return frozenset(version for version in policy if version in candidates) | held
