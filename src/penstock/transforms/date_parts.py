"""DateParts: year, weekday, hour and the like of points in time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column, Text
from penstock.instants import Times
from penstock.transforms.base import Transform
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array, Block, Step
from penstock.transforms.time_zones import Offsets, offsets_of, restore_offsets, save_offsets

Part = Literal[
    "year",
    "iso_year",
    "quarter",
    "month",
    "week",
    "day",
    "day_of_year",
    "weekday",
    "hour",
    "minute",
    "second",
    "minute_of_day",
    "is_weekend",
    "is_month_start",
    "is_month_end",
    "is_leap_year",
    "days_in_month",
    "utc_offset",
    "epoch_seconds",
]
Unit = Literal["s", "ms", "us", "ns"]
Invalid = Literal["missing", "error"]

_log = logging.getLogger("penstock.transforms")

_TICKS: dict[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # a second
_KINDS: tuple[Times, ...] = get_args(Times)
_EPOCHS = ("INT64", "INT32", "UINT32", "FP64")


@register
class DateParts(Transform):
    """Parts of points in time: numbers or text [rows] to an FP64 column a part, as `x_year` and `x_hour`.

    Parts are those of the clock of `time_zone`, an IANA name. A value that names no zone or offset is what
    that clock shows, be it text or a naive datetime; a date alone is its midnight.

    Columns of dates and times need no `unit`: fit() knows them by the frame, and whether they have a time
    zone. They travel as microseconds since 1970-01-01T00:00:00: of UTC where they have one, of their own
    clock where they have none. Features.transform() refuses the one kind where training had the other; what
    sends bare numbers must count as training did. Other numbers (INT64, INT32, UINT32, FP64) count `unit`s
    since 1970-01-01T00:00:00Z. Text is ISO 8601 in its extended format: a date, `2024-02-29`, or a date and a
    time, `2024-02-29T13:45:00.5+01:00`, with T or a space between, down to hours or to any fraction of a
    second, with Z, an offset (+01:00, +0100, +01) or neither.

    Parts: `year`; `quarter` 1-4; `month` 1-12; `day` 1-31; `day_of_year` 1-366; `week` 1-53 and `iso_year` of
    ISO 8601; `weekday`, Monday 0; `hour`; `minute`; whole `second`; `minute_of_day`; `days_in_month`;
    `is_weekend` (Saturday, Sunday), `is_month_start`, `is_month_end` and `is_leap_year`, 0 or 1;
    `utc_offset`, the clock's minutes ahead of UTC; `epoch_seconds` since 1970-01-01T00:00:00Z, with their
    fraction. Of an hour that the clock shows twice `utc_offset` and `epoch_seconds` take the first; one that
    it leaves out counts as if the clock had not changed yet (PEP 495, fold 0).

    The calendar is the proleptic Gregorian one, as in Python's datetime, of the years 1 to 9999 on the zone's
    clock. Missing values and what is no such point in time give NaN in all parts, or with `invalid="error"`
    an InputError that names the row. There are no leap seconds. The offsets of the zone are learned from the
    time zone data of the machine that fits, and the bundle keeps them: changes up to the last that the data
    lists, and its rule from there on. TransformError for a zone that the machine does not know, for numbers
    without a unit, for a unit of text or of datetimes (but "us"), and for text of which no value is a point
    in time; where some are, the logger `penstock` says how many are not. FP32 cannot tell apart seconds and
    is refused.
    """

    kind = "date_parts"
    accepts = (*_EPOCHS, "BYTES")
    reads_times = True

    def __init__(
        self,
        columns: str | Sequence[str],
        parts: Part | Sequence[Part] = ("year", "month", "day", "weekday", "hour", "minute"),
        *,
        unit: Unit | None = None,
        time_zone: str = "UTC",
        invalid: Invalid = "missing",
    ) -> None:
        super().__init__(columns)
        first = self.columns[0]
        given = (
            (parts,) if isinstance(parts, str) else tuple(parts) if isinstance(parts, (list, tuple)) else ()
        )
        if not given:
            raise self.error(
                f"parts is {parts!r}, expected at least one of {', '.join(get_args(Part))}", first
            )
        for index, part in enumerate(given):
            if not isinstance(part, str) or part not in get_args(Part):
                raise self.error(f"{part!r} is no part, expected one of {', '.join(get_args(Part))}", first)
            if part in given[:index]:
                raise self.error(f"the part {part!r} is named twice", first)
        if unit is not None and (not isinstance(unit, str) or unit not in _TICKS):
            raise self.error(f"unit is {unit!r}, expected one of {', '.join(map(repr, _TICKS))}", first)
        if not isinstance(time_zone, str) or not time_zone:
            raise self.error(f"time_zone is {time_zone!r}, expected a name such as 'Europe/Zurich'", first)
        if not isinstance(invalid, str) or invalid not in get_args(Invalid):
            raise self.error(f"invalid is {invalid!r}, expected 'missing' or 'error'", first)
        self.parts = given
        self.unit = unit
        self.time_zone = time_zone
        self.invalid = invalid
        self._offsets = Offsets(np.empty(0, np.int64), np.zeros(1, np.int32), 0)

    def parameters(self) -> dict[str, Any]:
        """The columns, the parts, how to read the columns, and what becomes of what is no point in time."""
        return {
            "columns": self.columns,
            "parts": self.parts,
            "unit": self.unit,
            "time_zone": self.time_zone,
            "invalid": self.invalid,
        }

    def check_datatypes(self, datatypes: Mapping[str, str]) -> None:
        """TransformError for a column of another datatype, and for a unit of text."""
        for column in self.columns:
            datatype = datatypes[column]
            if datatype not in self.accepts:
                raise self.error(
                    f"it is {datatype}, expected text (BYTES), or {', '.join(_EPOCHS)} since 1970; narrower "
                    "numbers cannot tell apart the seconds of today",
                    column,
                )
            if datatype == "BYTES" and self.unit is not None:
                raise self.error(f"it is text, which has no unit; leave out unit={self.unit!r}", column)

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the offsets of the time zone."""
        self._check_units(datatypes)
        for column in self.columns:
            texts = columns[column]
            if isinstance(texts, list):
                self._check_texts(column, texts)
        try:
            self._offsets = offsets_of(self.time_zone)
        except LookupError as error:
            raise self.error(str(error), self.columns[0]) from None

    def _check_units(self, datatypes: Mapping[str, str]) -> None:
        for column in self.columns:
            if column in self.times and self.unit not in (None, "us"):
                raise self.error(
                    f"unit is {self.unit!r}, but it holds dates and times, which are read as microseconds "
                    "whatever unit they came in; leave unit out",
                    column,
                )
            if datatypes[column] != "BYTES" and column not in self.times and self.unit is None:
                raise self.error(
                    f"it is {datatypes[column]}; say what the numbers count with unit='s', 'ms', 'us' or "
                    "'ns'",
                    column,
                )

    def _check_texts(self, column: str, texts: Text) -> None:
        from penstock._kernels.date_parts import is_moment

        given = [text.encode(errors="replace") if isinstance(text, str) else text for text in texts if text]
        wrong = [text for text in given if not is_moment(text)]
        if not wrong:
            return
        example = repr(wrong[0].decode(errors="replace"))
        if len(wrong) == len(given):
            raise self.error(
                f"none of its texts is a point in time, such as {example}; expected ISO 8601 such as "
                "'2024-02-29' or '2024-02-29T13:45:00+01:00'. Make times of other forms before, as "
                "pandas.to_datetime does",
                column,
            )
        _log.warning(
            "%s: column %r: %d of %d texts (%.2g%%) are no point in time, such as %s",
            self.kind,
            column,
            len(wrong),
            len(given),
            100 * len(wrong) / len(given),
            example,
        )

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column for each part."""
        return [(f"{column}_{part}", "FP64") for part in self.parts]

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call a column."""
        from penstock._kernels.date_parts import PARTS

        refuses = self.invalid == "error"
        steps = []
        for column in self.columns:
            ticks = _TICKS[self.unit or "us"]
            naive = self.times.get(column) == "naive"
            state = (
                np.array([PARTS[part] for part in self.parts], np.int32),
                self._offsets.instants,
                self._offsets.offsets,
                np.array([ticks, self._offsets.horizon, refuses, naive], np.int64),
            )
            block = Block(tuple(name for name, _ in self.outputs(column, datatypes[column])), "FP64")
            name = self.step_name([column])
            steps.append(Step(name, "date_parts", state, (column,), (block,), refuses=refuses))
        return steps

    def learned(self) -> dict[str, Any]:
        """Of each column, whether it held times without a time zone, and whether times with one."""
        return {kind: [self.times.get(column) == kind for column in self.columns] for kind in _KINDS}

    def arrays(self) -> dict[str, Array]:
        """The offsets of the time zone."""
        return save_offsets(self._offsets)

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Numbers of times or with a unit; ascending instants; offsets of less than a day, of UTC none."""
        times: dict[str, Times] = {}
        for kind in _KINDS:
            for column, held in zip(self.columns, saved.flags(kind, len(self.columns)), strict=True):
                if held and (column in times or datatypes[column] not in ("INT64", "FP64")):
                    raise saved.error(f"column {column!r} of {datatypes[column]} does not hold {kind} times")
                if held:
                    times[column] = kind
        self.times = times
        self._check_units(datatypes)
        self._offsets = restore_offsets(saved)
        if self.time_zone == "UTC" and self._offsets.offsets.any():
            raise saved.error("the array 'zone.offsets' holds offsets of UTC from itself")
