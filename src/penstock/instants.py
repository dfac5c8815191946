"""Dates and times as numbers: microseconds since 1970-01-01T00:00:00, whatever held them.

What has a time zone is counted from that moment in UTC. What has none, a naive value, is counted on its own
clock: as if that were UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Times = Literal["naive", "aware"]  # of a time zone, as Python's datetime has the words

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def of_array(instants: Array) -> Array:
    """Of datetime64 [rows] in any unit: INT64 [rows], or FP64 with NaN where one is missing.

    Finer units are rounded down; FP64 holds microseconds of the years 1684 to 2255 exactly. An array with an
    instant that 64 bits do not hold comes back as it is.
    """
    fine = instants.astype("datetime64[us]")
    missing = np.isnat(instants)
    if np.datetime_data(instants.dtype)[0] not in ("ns", "ps", "fs", "as"):
        kept = fine.astype(instants.dtype) == instants
        if not (kept | missing).all():
            return instants
    return _numbers(fine.astype(np.int64), missing)


def of_objects(values: Sequence[date | None]) -> Array:
    """Of Python's datetimes and dates, None where missing; as of_array().

    A date counts as its midnight.
    """
    missing = np.array([value is None for value in values], bool)
    ticks = [0 if value is None else (_instant(value) - _EPOCH) // _MICROSECOND for value in values]
    return _numbers(np.array(ticks, np.int64), missing)


def kinds_of(values: Iterable[date]) -> set[Times]:
    """Which of both there are among Python's datetimes and dates; a date is naive."""
    return {
        "aware" if isinstance(value, datetime) and value.utcoffset() is not None else "naive"
        for value in values
    }


def advice(text: object) -> str:
    """How dates travel, to add to the refusal of a text where numbers are expected; empty for no date."""
    try:
        datetime.fromisoformat(text if isinstance(text, str) and "-" in text else "")
    except ValueError:
        return ""
    return (
        "; dates and times travel as microseconds since 1970: a frame's datetimes, as pandas.to_datetime "
        "makes them, and those of Parquet files become that by themselves"
    )


def _instant(value: date) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.utcoffset() is None else value


def _numbers(ticks: Array, missing: Array) -> Array:
    return np.where(missing, np.nan, ticks.astype(np.float64)) if missing.any() else ticks
