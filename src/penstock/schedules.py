"""A version's schedule in words, for people who look at a server.

A schedule is a mapping with the fields of penstock.bundle.schedule.Schedule, as ModelConfig's parameter
`penstock_schedule` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def execution(schedule: Mapping[str, Any]) -> str:
    """Where its requests run, in a word or a few: "inline" is on the loop that read them."""
    rows = schedule["inline_rows"]
    if rows is None:
        return "inline"
    return f"inline up to {rows:,} row{'' if rows == 1 else 's'}" if rows > 0 else "pool"


def cost(schedule: Mapping[str, Any]) -> str:
    """What a run was measured to take."""
    return f"{_us(schedule['fixed_ns'])} us a run and {_us(schedule['row_ns'])} us a row"


def described(schedule: Mapping[str, Any]) -> str:
    """Where its requests run and whether they share runs, why, and what a run takes."""
    return f"{schedule['reason']}; {cost(schedule)}"


def _us(ns: int) -> str:
    return f"{ns / 1000:.3g}" if ns < 1_000_000 else f"{ns / 1000:,.0f}"
