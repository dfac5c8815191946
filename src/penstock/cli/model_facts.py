"""What runs a model and what its trees are: for `penstock models --details` and `penstock bundle inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_facts(executor: str, forest: Mapping[str, Any] | None, contributions: bool) -> dict[str, str]:
    """Lines by their names. `forest` has the fields of penstock.models.ForestFacts; None for other models."""
    facts = {"runs on": executor}
    if forest is not None:
        facts["forest"] = _described(forest)
        facts["contributions"] = "on request" if contributions else "none"
    return facts


def _described(forest: Mapping[str, Any]) -> str:
    link = "" if forest["link"] == "of the objective" else f", link {forest['link']}"
    return (
        f"{forest['origin']}, {forest['objective']}{link}: {_count(forest['trees'], 'tree')} of at most "
        f"{_count(forest['leaves'], 'leaf', 'leaves')}, {_count(forest['features'], 'feature')}, "
        f"{_count(forest['outputs'], 'output')}"
    )


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"
