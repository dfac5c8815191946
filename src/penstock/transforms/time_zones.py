"""The offsets of a time zone from UTC for all time, as arrays that a bundle carries.

A bundle then answers alike whatever time zone data its server has. Changes of the past are those of the
zone's file (TZif, RFC 8536); what comes behind the last of them follows the file's rule, whose calendar
repeats after 400 years, so that so many years of it are enough.
"""

from __future__ import annotations

import importlib.resources
import struct
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from penstock.transforms.saved import Saved

Array = np.ndarray[Any, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86400
_CYCLE = 146097 * _DAY  # 400 years
_STEP = 7 * _DAY  # no rule changes the clock twice in a week
_FIRST, _LAST = -62135596800, 253402300799  # 0001-01-01T00:00:00, 9999-12-31T23:59:59


@dataclass(frozen=True)
class Offsets:
    """`offsets` from UTC in seconds, INT32 [changes + 1]: before the first of the `instants`, and from each
    on.

    `instants`, INT64 [changes], ascending, are seconds since 1970-01-01T00:00:00Z. From `horizon` on an
    offset is that of 400 years before.
    """

    instants: Array
    offsets: Array
    horizon: int


@cache
def offsets_of(name: str) -> Offsets:
    """The offsets of an IANA time zone. LookupError where this machine does not know it."""
    if name == "UTC":
        return Offsets(np.empty(0, np.int64), np.zeros(1, np.int32), _LAST)
    try:
        zone = zoneinfo.ZoneInfo(name)
        with _open(name) as file:
            listed = _instants(file.read())
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, struct.error) as error:
        known = len(zoneinfo.available_timezones())
        raise LookupError(
            f"there is no time zone {name!r} ({error}); expected an IANA name such as 'Europe/Zurich', of "
            f"which this machine knows {known}" + ("" if known else ": install the package tzdata")
        ) from None
    listed = [instant for instant in listed if _FIRST + _DAY < instant < _LAST - _DAY]
    last = listed[-1] if listed else 0
    # Two days more on both sides, because clocks of the zone are ahead of or behind UTC.
    horizon = last + _CYCLE + 3 * _DAY
    changes = [*listed, *_changes(zone, last, horizon + 3 * _DAY)]
    offsets = [_offset(zone, (changes[0] if changes else 0) - 1)]
    kept = []
    for instant in changes:
        offset = _offset(zone, instant)
        if offset != offsets[-1]:
            kept.append(instant)
            offsets.append(offset)
    return Offsets(np.array(kept, np.int64), np.array(offsets, np.int32), horizon)


def save_offsets(offsets: Offsets) -> dict[str, Array]:
    """The arrays."""
    return {
        "zone.instants": offsets.instants,
        "zone.offsets": offsets.offsets,
        "zone.horizon": np.array([offsets.horizon], np.int64),
    }


def restore_offsets(saved: Saved) -> Offsets:
    """What save_offsets() gave. TransformError where that is no zone."""
    instants = saved.array("zone.instants", "INT64")
    offsets = saved.array("zone.offsets", "INT32", instants.size + 1)
    horizon = int(saved.array("zone.horizon", "INT64", 1)[0])
    if (instants[1:] <= instants[:-1]).any() or not _FIRST <= horizon <= _LAST:
        raise saved.error(
            "the array 'zone.instants' is not in ascending order, or 'zone.horizon' in no year to 9999"
        )
    if instants.size and not (instants[0] > _FIRST and instants[-1] < horizon + _CYCLE):
        raise saved.error("the array 'zone.instants' holds an instant of no year that the zone covers")
    if (np.abs(offsets.astype(np.int64)) >= _DAY).any() or (np.diff(offsets.astype(np.int64)) == 0).any():
        raise saved.error("the array 'zone.offsets' holds a day or more, or the same offset twice in a row")
    return Offsets(instants, offsets, horizon)


def _open(name: str) -> IO[bytes]:
    """The zone's file, where zoneinfo looks for it."""
    for folder in zoneinfo.TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return path.open("rb")
    *folders, last = name.split("/")
    try:
        package = importlib.resources.files(".".join(["tzdata", "zoneinfo", *folders]))
    except ImportError:
        raise zoneinfo.ZoneInfoNotFoundError(f"no file of the zone {name}") from None
    return (package / last).open("rb")


def _instants(content: bytes) -> list[int]:
    """The instants of change in a TZif file: of its second block, of 64-bit times, where it has one."""
    version, isutc, isstd, leaps, times, types, characters = _header(content, 0)
    if version == b"\0":
        return list(struct.unpack_from(f">{times}i", content, 44))
    start = 44 + times * 5 + types * 6 + characters + leaps * 8 + isstd + isutc
    times = _header(content, start)[4]
    return list(struct.unpack_from(f">{times}q", content, start + 44))


def _header(content: bytes, start: int) -> tuple[Any, ...]:
    try:
        magic, *counts = struct.unpack_from(">4sc15x6I", content, start)
    except struct.error:
        magic = b""
    if magic != b"TZif":
        raise ValueError("its file is no TZif file")
    return tuple(counts)


def _offset(zone: zoneinfo.ZoneInfo, instant: int) -> int:
    """The offset at an instant, in seconds."""
    offset = (_EPOCH + timedelta(seconds=instant)).astimezone(zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def _changes(zone: zoneinfo.ZoneInfo, start: int, end: int) -> list[int]:
    """The instants after `start`, up to `end`, at which the zone's rule changes the offset."""
    found = []
    before = _offset(zone, start)
    for instant in range(start + _STEP, end + _STEP, _STEP):
        offset = _offset(zone, instant)
        if offset != before:
            low, high = instant - _STEP, instant
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
            found.append(high)
        before = offset
    return found
