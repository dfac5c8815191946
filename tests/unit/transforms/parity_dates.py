"""DateParts against Python's datetime, zoneinfo and calendar."""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, get_args
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import strategies as st
from parity_cases import Array, Case

from penstock import transforms as t
from penstock.transforms.date_parts import Part

PARTS: tuple[Part, ...] = get_args(Part)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = -62135596800, 253402300799  # seconds of the years 1 to 9999
CYCLE = 146097 * 86400  # 400 years
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
ZONES = [
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
]
Make = Callable[[np.random.Generator, int], Any]
NOTHING = [math.nan] * len(PARTS)

# Changes of New York's clocks, leap days, new years, ends of weeks that belong to another year, and both ends
# of the calendar.
AROUND = [
    *(
        "2024-03-10T07:00:00",
        "2024-11-03T06:00:00",
        "1883-11-18T17:00:00",
        "2037-11-01T06:00:00",
        "2400-11-05T06:00:00",
    ),
    *(
        "2000-02-29T00:00:00",
        "1900-03-01T00:00:00",
        "2023-01-01T00:00:00",
        "2020-12-31T23:59:59",
        "1970-01-01T00:00:00",
    ),
    *(
        "1969-12-31T23:59:59",
        "2011-12-30T10:00:00",
        "2026-12-28T00:00:00",
        "0004-02-29T12:00:00",
        "9996-02-29T12:00:00",
    ),
    *("0001-01-01T00:00:00", "9999-12-31T23:59:59"),
]


def some(make: Make) -> st.SearchStrategy[Any]:
    """By NumPy from a drawn seed. Python's own datetime takes its time, so that these are few."""
    return st.builds(
        lambda seed, rows: make(np.random.default_rng(seed), rows),
        st.integers(0, 2**32 - 1),
        st.integers(1, 90),
    )


def seconds_of(rng: np.random.Generator, rows: int) -> Array:
    """Instants of all years, of those that people live in, and close to the awkward ones."""
    around = [
        round((datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH).total_seconds()) for text in AROUND
    ]
    near = rng.choice(around, rows) + rng.integers(-7300, 7300, rows) * rng.integers(0, 2, rows)
    either = np.where(rng.random(rows) < 0.5, rng.integers(-(2**32), 2**33, rows), near)
    return np.where(rng.random(rows) < 0.2, rng.integers(FIRST - 10**6, LAST + 10**6, rows), either)


def parts_of(seconds: int, fraction: float, zone: str) -> list[float]:
    """Of an instant: NaN where the zone's clock shows no year from 1 to 9999."""
    shift = CYCLE if seconds < FIRST + 3 * 86400 else -CYCLE if seconds > LAST - 3 * 86400 else 0
    if not FIRST - 10**9 < seconds < LAST + 10**9:
        return NOTHING
    local = (EPOCH + timedelta(seconds=seconds + shift)).astimezone(ZoneInfo(zone))
    return parts_of_clock(local, -400 * shift // CYCLE, seconds, fraction)


def parts_of_clock(local: datetime, years: int, seconds: int, fraction: float) -> list[float]:
    iso_year, week, _ = local.isocalendar()
    days = calendar.monthrange(local.year, local.month)[1]
    offset = local.utcoffset()
    if not 1 <= local.year + years <= 9999 or offset is None:
        return NOTHING
    named = {
        "year": local.year + years,
        "iso_year": iso_year + years,
        "quarter": math.ceil(local.month / 3),
        "month": local.month,
        "week": week,
        "day": local.day,
        "day_of_year": local.timetuple().tm_yday,
        "weekday": local.weekday(),
        "hour": local.hour,
        "minute": local.minute,
        "second": local.second,
        "minute_of_day": 60 * local.hour + local.minute,
        "is_weekend": local.isoweekday() in (6, 7),
        "is_month_start": local.day == 1,
        "is_month_end": local.day == days,
        "is_leap_year": calendar.isleap(local.year),
        "days_in_month": days,
        "utc_offset": offset.total_seconds() / 60,
        "epoch_seconds": seconds + fraction,
    }
    return [float(named[part]) for part in PARTS]


def of_ticks(unit: str, zone: str) -> Callable[[Array, Array], Array]:
    def reference(train: Array, rows: Array) -> Array:
        return np.array([_of_tick(value, TICKS[unit], zone) for value in rows.tolist()])

    return reference


def _of_tick(value: float, ticks: int, zone: str) -> list[float]:
    if not math.isfinite(value) or abs(value) >= 2**63:
        return NOTHING
    seconds, rest = divmod(math.floor(value), ticks)
    return parts_of(seconds, rest / ticks + (value - math.floor(value)) / ticks, zone)


FORMAT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d(?::\d\d(?::\d\d)?)?)(?<=:\d\d:\d\d)(?:[.,](\d+))?"
    r"(Z|z|[+-]\d\d(?::?[0-5]\d)?)?|[Tt ](\d\d(?::\d\d)?)(Z|z|[+-]\d\d(?::?[0-5]\d)?)?)?",
    re.ASCII,
)


def of_text(zone: str) -> Callable[[Any, Any], Array]:
    def reference(train: Any, rows: Any) -> Array:
        return np.array([_of_text(text or "", zone) for text in rows])

    return reference


def _of_text(text: str, zone: str) -> list[float]:
    found = FORMAT.fullmatch(text)
    if found is None:
        return NOTHING
    date, full, digits, full_offset, short, short_offset = found.groups()
    try:
        shown = datetime.fromisoformat(f"{date}T{full or short or '00'}")
        offset = datetime.fromisoformat(
            f"2000-01-01T00{(full_offset or short_offset or '').upper()}"
        ).utcoffset()
    except ValueError:
        return NOTHING
    fraction = float(f"0.{digits[:15]}") if digits else 0.0
    seconds = round((shown.replace(tzinfo=UTC) - EPOCH).total_seconds())
    if offset is not None:
        return parts_of(seconds - round(offset.total_seconds()), fraction, zone)
    local = shown.replace(tzinfo=ZoneInfo(zone))
    ahead = local.utcoffset()
    assert ahead is not None
    return parts_of_clock(local, 0, seconds - round(ahead.total_seconds()), fraction)


def ticks(unit: str, dtype: type) -> st.SearchStrategy[Array]:
    def make(rng: np.random.Generator, rows: int) -> Array:
        per_second = TICKS[unit]
        seconds = np.clip(seconds_of(rng, rows), *(bound // per_second for bound in (-(2**62), 2**62)))
        found = seconds * per_second + rng.integers(0, per_second, rows)
        if dtype is np.float64:
            fractions = found + np.where(rng.random(rows) < 0.5, rng.random(rows), 0.0)
            return np.where(
                rng.random(rows) < 0.1, rng.choice([np.nan, np.inf, -np.inf, 1e300, -0.0], rows), fractions
            )
        wild = rng.random(rows) < 0.1
        info = np.iinfo(dtype)
        any_bits = rng.integers(info.min, info.max, rows, dtype=dtype, endpoint=True)
        return np.where(wild | (found < info.min) | (found > info.max), any_bits, found).astype(dtype)

    return some(make)


def _written(rng: np.random.Generator, seconds: int) -> str | None:
    """A point in time in one of the forms that there are, or something like it."""
    shown = EPOCH + timedelta(seconds=int(np.clip(seconds, FIRST, LAST)))
    date = f"{shown.year:04}{shown:-%m-%d}"
    time = f"{rng.choice(['T', ' ', 't'])}{shown:%H:%M:%S}"[: rng.choice([3, 6, 9, 9, 9])]
    if len(time) == 9 and rng.random() < 0.5:
        time += rng.choice([".", ","]) + "".join(rng.choice([*"0123456789"], rng.integers(1, 25)))
    offset = rng.choice(["", "", "Z", "z", "+01:00", "-0330", "+14", "-23:59", "+00:00"])
    text = date if rng.random() < 0.1 else date + time + offset
    if rng.random() < 0.2:
        at = rng.integers(0, len(text) + 1)
        text = text[:at] + rng.choice([*"0129:-+TZ .W\0é", ""]) + text[at + rng.integers(0, 2) :]
    return None if rng.random() < 0.05 else text


WRONG = [
    "",
    " ",
    "today",
    "2023-02-29",
    "2024-13-01",
    "2024-00-10",
    "0000-01-01",
    "2024-01-01T24:00:00",
    "20240101",
    "2024-W01-1",
]
WRONG += [
    "2024-01-01T12:60",
    "2024-01-01T12:00:60Z",
    "2024-01-01T",
    "2024-01-01T12:00:00.",
    "2024-01-01 12:00+24:00",
]
WRONG += [
    "2024-01-01 12:00 +01:00",
    " 2024-01-01",
    "2024-01-01 ",
    "+2024-01-01",
    "２０２４-01-01",
    "2024-01-01T12:00+01:",
    "9" * 300,
]


def written() -> st.SearchStrategy[Sequence[str | None]]:
    def make(rng: np.random.Generator, rows: int) -> list[str | None]:
        texts = [_written(rng, seconds) for seconds in seconds_of(rng, rows).tolist()]
        return ["2024-01-01", *texts]

    others = st.sampled_from([*WRONG, *AROUND]) | st.text(max_size=30)
    return some(make) | st.lists(others, max_size=20).map(lambda texts: ["2024-01-01", *texts])


def tick_case(unit: Any, zone: str, dtype: type) -> Case:
    make = partial(t.DateParts, "x", PARTS, unit=unit, time_zone=zone)
    drawn = ticks(unit, dtype)
    name = f"{np.dtype(dtype).name} {unit} {zone}"
    return Case(name, make, drawn, drawn, of_ticks(unit, zone))


PARITY: dict[str, list[Case]] = {
    "date_parts": [
        *(tick_case("s", zone, np.int64) for zone in ZONES),
        tick_case("s", "Europe/Zurich", np.int32),
        tick_case("ms", "America/New_York", np.uint32),
        *(tick_case(unit, "America/New_York", np.int64) for unit in ("ms", "us", "ns")),
        *(tick_case(unit, "Europe/Zurich", np.float64) for unit in ("s", "us")),
        *(
            Case(
                f"text {zone}",
                partial(t.DateParts, "x", PARTS, time_zone=zone),
                written(),
                written(),
                of_text(zone),
            )
            for zone in ZONES
        ),
    ],
}
