"""DateParts: what it reads, what it refuses, and that it answers alike wherever its bundle runs."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_dates import AROUND, PARTS, ZONES
from sklearn.linear_model import LinearRegression

import penstock
from penstock import transforms as t
from penstock.errors import InputError, TransformError
from penstock.fitting import fit
from penstock.transforms import time_zones

Array = np.ndarray[Any, Any]
NOON = datetime(2024, 7, 1, 12, 30)


def of_one(value: Any, *parts: Any, **parameters: Any) -> list[float]:
    features = t.Features([t.DateParts("x", parts, **parameters)]).fit({"x": [value]})
    made: list[float] = features.transform({"x": [value]})[0].tolist()
    return made


@pytest.mark.parametrize(
    ("part", "value"),
    [("hour", 12), ("minute", 30), ("weekday", 0), ("week", 27), ("quarter", 3), ("day_of_year", 183)],
)
def test_parts_are_those_of_the_clock(part: str, value: float) -> None:
    assert of_one("2024-07-01T12:30:00", part) == [value]
    assert of_one("2024-07-01T12:30:00", part, time_zone="Asia/Tokyo") == [value]
    assert of_one("2024-07-01T03:30:00Z", part, time_zone="Asia/Tokyo") == [value]
    assert of_one("2024-07-01T05:30:00+02:00", part, time_zone="Asia/Tokyo") == [value]


def test_clocks_that_are_set_show_hours_twice_and_never() -> None:
    def offsets(text: str) -> list[float]:
        return of_one(text, "hour", "utc_offset", time_zone="Europe/Zurich")

    assert offsets("2024-10-27T00:30:00Z") == [2, 120]
    assert offsets("2024-10-27T01:30:00Z") == [2, 60]
    assert offsets("2024-10-27T02:30:00") == [2, 120]  # the first of the two
    assert offsets("2024-03-31T02:30:00") == [2, 60]  # never shown
    assert offsets("2024-03-31T01:00:00Z") == [3, 120]
    assert offsets("9024-03-31T01:00:00Z") == [3, 120]  # the rule holds on


AWARE = [
    [NOON.replace(tzinfo=UTC)] * 2,
    pd.Series([NOON, NOON]).dt.tz_localize("UTC").dt.tz_convert("America/New_York"),
    pd.Series([NOON, NOON], dtype="datetime64[ns]").dt.tz_localize("UTC"),
    pl.Series([NOON, NOON]).dt.replace_time_zone("UTC"),
    pa.chunked_array([pa.array([NOON, NOON], pa.timestamp("ms", "UTC"))]),
]
NAIVE = [
    [NOON, NOON],
    pd.Series([NOON, NOON]),
    pd.Series([NOON, NOON], dtype="datetime64[ns]"),
    pd.Series([NOON, NOON], dtype=object),
    pl.Series([NOON, NOON]),
    pa.chunked_array([pa.array([NOON, NOON], pa.timestamp("ns"))]),
    np.array([NOON, NOON], "datetime64[s]"),
]


@pytest.mark.parametrize("unit", [None, "us"])
@pytest.mark.parametrize(
    ("column", "hour", "kind"), [(c, 14, "aware") for c in AWARE] + [(c, 12, "naive") for c in NAIVE]
)
def test_times_of_any_frame_are_known_at_training_and_serving(
    column: Any, hour: float, kind: str, unit: Any
) -> None:
    features = t.Features([t.DateParts("at", ("hour", "minute"), unit=unit, time_zone="Europe/Zurich")])
    assert features.fit_transform({"at": column}).tolist() == [[hour, 30]] * 2
    assert features.inputs == [("at", "INT64")]
    assert features.times == {"at": kind}
    again = t.Features.from_saved(json.loads(json.dumps(features.document())), features.arrays())
    assert again.times == {"at": kind}
    assert again.transform({"at": column}).tolist() == [[hour, 30]] * 2

    class At:
        name, datatype, shape = "at", "INT64", (-1,)

    (sent,) = fit({"at": column}, [At()])
    assert np.asarray(sent.values).tolist() == [round(NOON.replace(tzinfo=UTC).timestamp() * 1e6)] * 2
    assert again.transform({"at": sent.values}).tolist() == [[hour, 30]] * 2


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
@pytest.mark.parametrize("column", [AWARE[0], NAIVE[2]])
def test_another_unit_of_times_than_microseconds_is_refused(column: Any, unit: Any) -> None:
    with pytest.raises(
        TransformError, match=f"column 'at': unit is '{unit}', but it holds dates and times.*leave"
    ):
        t.Features([t.DateParts("at", unit=unit)]).fit({"at": column})


@pytest.mark.parametrize("time_zone", ["UTC", "Europe/Zurich"])
@pytest.mark.parametrize(
    ("trained", "served", "said"),
    [
        (
            NAIVE,
            AWARE,
            r"'at': its times have a time zone, those of training had none; .*tz_localize\(None\)",
        ),
        (AWARE, NAIVE, r"'at': its times have no time zone, those of training had one; say which"),
    ],
)
def test_times_of_the_other_kind_than_in_training_are_refused(
    trained: list[Any], served: list[Any], said: str, time_zone: str
) -> None:
    features = t.Features([t.DateParts("at", "hour", time_zone=time_zone)]).fit({"at": trained[0]})
    for column in served:
        with pytest.raises(InputError, match=said):
            features.transform({"at": column})
    for column in trained:
        assert features.transform({"at": column}).shape == (2, 1)


def test_a_loaded_bundle_refuses_times_of_the_other_kind_too(tmp_path: Path) -> None:
    train = pd.DataFrame({"at": pd.date_range("2024-01-01", periods=48, freq="h"), "x": np.arange(48.0)})
    features = t.Features([t.DateParts("at", "hour", time_zone="Europe/Zurich"), t.Select("x")]).fit(train)
    model = LinearRegression().fit(features.transform(train), train["at"].dt.hour)
    bundle = penstock.build(tmp_path, name="m", version="1", model=model, features=features, reference=train)
    runner = penstock.load(bundle)
    aware = train.assign(at=train["at"].dt.tz_localize("UTC"))
    for sent in (train, {"at": train["at"], "x": train["x"]}, pa.Table.from_pandas(train)):
        np.testing.assert_allclose(runner.predict(sent)["prediction"], train["at"].dt.hour, atol=1e-9)
    for sent in (aware, {"at": aware["at"], "x": aware["x"]}, pa.Table.from_pandas(aware)):
        with pytest.raises(InputError, match="'at': its times have a time zone, those of training had none"):
            runner.predict(sent)
    with pytest.raises(InputError, match="text such as '2024-01-01'; dates and times travel as microseconds"):
        runner.predict({"at": ["2024-01-01"], "x": [1.0]})


def test_times_stay_times_under_a_second_name_and_with_gaps_filled() -> None:
    column = pl.Series([NOON, None])
    features = t.Features(
        [
            t.Copy("at", "again"),
            t.DateParts("again", "hour", time_zone="Europe/Zurich"),
            t.Impute("at", "most_frequent"),
            t.DateParts("at", ("hour", "utc_offset"), time_zone="Europe/Zurich"),
        ]
    )
    made = features.fit_transform({"at": column})
    np.testing.assert_array_equal(made, [[12, 120, 12], [12, 120, np.nan]])


@given(
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
    | st.sampled_from(AROUND).map(datetime.fromisoformat),
    st.integers(-7200, 7200),
    st.sampled_from(ZONES),
)
@settings(deadline=None)
def test_a_naive_time_is_what_the_clock_shows_as_text_and_as_a_datetime(
    base: datetime, seconds: int, time_zone: str
) -> None:
    shown = min(max(base, datetime(1, 1, 2)), datetime(9999, 12, 30)) + timedelta(seconds=seconds)
    as_text = t.Features([t.DateParts("x", PARTS, time_zone=time_zone)])
    as_time = t.Features([t.DateParts("x", PARTS, time_zone=time_zone)])
    np.testing.assert_allclose(
        as_time.fit_transform({"x": np.array([shown], "datetime64[us]")}),
        as_text.fit_transform({"x": [shown.isoformat()]}),
        rtol=0,
        atol=1e-9,
    )


def test_text_has_no_unit() -> None:
    with pytest.raises(
        TransformError, match="column 'x': it is text, which has no unit; leave out unit='us'"
    ):
        t.Features([t.DateParts("x", unit="us")]).fit({"x": ["2024-01-01"]})


def test_text_without_a_point_in_time_is_refused_at_training() -> None:
    with pytest.raises(
        TransformError, match=r"column 'x': none of its texts .* such as '01/02/2024'; expected ISO"
    ):
        t.Features([t.DateParts("x")]).fit({"x": [None, "", "01/02/2024", "today"]})


def test_the_log_says_how_much_text_is_no_point_in_time(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "penstock"):
        t.Features([t.DateParts("x")]).fit(
            {"x": ["2024-01-01", None, "today", "2024-01-02T10", "2024-01-03"]}
        )
    (record,) = caplog.records
    assert record.name.startswith("penstock")
    said = "date_parts: column 'x': 1 of 4 texts (25%) are no point in time, such as 'today'"
    assert record.getMessage() == said
    caplog.clear()
    t.Features([t.DateParts("x")]).fit({"x": ["2024-01-01", None, ""]})
    assert not caplog.records


def test_dates_are_midnights_and_a_missing_one_is_missing() -> None:
    features = t.Features([t.DateParts("at", ("day", "hour"))])
    made = features.fit_transform(pl.DataFrame({"at": [date(2024, 7, 1), None]}))
    np.testing.assert_array_equal(made, [[1, 0], [np.nan, np.nan]])
    assert features.inputs == [("at", "FP64")]
    assert features.transform({"at": [NOON]}).tolist() == [[1, 12]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_numbers_count_their_unit_and_nothing_before_1970_is_rounded_up(unit: Any) -> None:
    last = np.array([-1], np.int64)
    features = t.Features([t.DateParts("x", ("year", "second"), unit=unit)]).fit({"x": last})
    assert features.transform({"x": last}).tolist() == [[1969, 59]]


@pytest.mark.parametrize("value", ["", None, "2024-02-30", "9" * 40])
def test_what_is_no_point_in_time_is_missing_or_refused_with_its_row(value: Any) -> None:
    column = ["2024-01-01", value]
    assert np.isnan(t.Features([t.DateParts("x")]).fit_transform({"x": column})[1]).all()
    strict = t.Features([t.DateParts("x", invalid="error")]).fit({"x": column})
    with pytest.raises(InputError, match=r"(?s)date_parts\(x\).*row 1"):
        strict.transform({"x": column})


@pytest.mark.parametrize("value", [np.nan, np.inf, 253402300800.0, -62135596801.0, 1e300])
def test_numbers_of_no_year_are_missing_or_refused_with_their_row(value: float) -> None:
    column = np.array([0.0, 253402300799.0, -62135596800.0, value])
    made = t.Features([t.DateParts("x", "year", unit="s")]).fit_transform({"x": column})
    np.testing.assert_array_equal(made, [[1970], [9999], [1], [np.nan]])
    strict = t.Features([t.DateParts("x", unit="s", invalid="error")]).fit({"x": column[:3]})
    with pytest.raises(InputError, match=r"(?s)date_parts\(x\).*row 3"):
        strict.transform({"x": column})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: t.DateParts("x", []),
            r"date_parts: column 'x': parts is \[\], expected at least one of year",
        ),
        (lambda: t.DateParts("x", 7), "parts is 7"),
        (lambda: t.DateParts("x", ["year", "era"]), "'era' is no part, expected one of year, iso_year"),
        (lambda: t.DateParts("x", [["year"]]), "is no part"),
        (lambda: t.DateParts("x", ["year", "year"]), "the part 'year' is named twice"),
        (lambda: t.DateParts("x", unit="min"), "unit is 'min', expected one of 's', 'ms', 'us', 'ns'"),
        (lambda: t.DateParts("x", unit=1), "unit is 1"),
        (lambda: t.DateParts("x", time_zone=""), "time_zone is ''"),
        (lambda: t.DateParts("x", time_zone=UTC), "time_zone is .*, expected a name"),
        (lambda: t.DateParts("x", invalid="ignore"), "invalid is 'ignore', expected 'missing' or 'error'"),
        (lambda: t.DateParts("x", invalid=[]), "invalid is"),
    ],
)
def test_parameters_are_refused_by_name(make: Callable[[], t.Transform], said: str) -> None:
    with pytest.raises(TransformError, match=said):
        make()


@pytest.mark.parametrize(
    ("transform", "column", "said"),
    [
        (
            t.DateParts("x"),
            np.array([1]),
            "column 'x': it is INT64; say what the numbers count with unit='s'",
        ),
        (
            t.DateParts("x", unit="s"),
            np.array([1.0], np.float32),
            "it is FP32, .* cannot tell apart the seconds",
        ),
        (t.DateParts("x", unit="s"), np.array([True]), "it is BOOL"),
        (t.DateParts("x", time_zone="Europe/Bern"), ["2024-01-01"], "there is no time zone 'Europe/Bern'"),
        (t.DateParts("x", time_zone="../UTC"), ["2024-01-01"], "there is no time zone '../UTC'"),
        (t.DateParts("x", time_zone="Europe"), ["2024-01-01"], "there is no time zone 'Europe'"),
    ],
)
def test_columns_and_zones_that_cannot_be_read_are_refused(
    transform: t.Transform, column: Any, said: str
) -> None:
    with pytest.raises(TransformError, match=said):
        t.Features([transform]).fit({"x": column})


def test_a_machine_without_time_zones_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    monkeypatch.setattr(
        zoneinfo, "ZoneInfo", lambda name: (_ for _ in ()).throw(zoneinfo.ZoneInfoNotFoundError(name))
    )
    with pytest.raises(LookupError, match="knows 0: install the package tzdata"):
        time_zones.offsets_of.__wrapped__("Europe/Zurich")
    assert time_zones.offsets_of.__wrapped__("UTC").offsets.tolist() == [0]


def fitted() -> t.Features:
    return t.Features([t.DateParts("x", time_zone="Europe/Zurich")]).fit({"x": ["2024-01-01"]})


def saved() -> tuple[Any, dict[str, Array]]:
    features = fitted()
    return json.loads(json.dumps(features.document())), {n: a.copy() for n, a in features.arrays().items()}


def test_a_bundle_needs_no_time_zones_where_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    document, arrays = saved()
    expected = fitted().transform({"x": ["2024-07-01T00:00Z"]})
    monkeypatch.setattr(time_zones, "offsets_of", None)
    again = t.Features.from_saved(document, arrays)
    np.testing.assert_array_equal(again.transform({"x": ["2024-07-01T00:00Z"]}), expected)


def put(name: str, values: Any, dtype: Any) -> Callable[[Any, dict[str, Array]], None]:
    return lambda _, arrays: arrays.__setitem__(f"0.zone.{name}", np.array(values, dtype))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _, arrays: arrays.pop("0.zone.offsets"), "'zone.offsets' is missing"),
        (put("offsets", [0], np.int32), "'zone.offsets' has 1 elements, expected"),
        (put("horizon", [], np.int64), "'zone.horizon' has 0 elements, expected 1"),
        (put("horizon", [2**62], np.int64), "in no year to 9999"),
        (
            lambda _, arrays: arrays["0.zone.instants"][:2].sort() or arrays["0.zone.instants"].fill(7),
            "ascending order",
        ),
        (
            lambda _, arrays: arrays["0.zone.instants"].__setitem__(0, -(2**63)),
            "of no year that the zone covers",
        ),
        (
            lambda _, arrays: arrays["0.zone.instants"].__setitem__(-1, 2**63 - 1),
            "of no year that the zone covers",
        ),
        (
            lambda _, arrays: arrays["0.zone.offsets"].__setitem__(3, 86400),
            "a day or more, or the same offset twice",
        ),
        (lambda _, arrays: arrays["0.zone.offsets"].fill(60), "the same offset twice"),
        (
            lambda document, _: document["transforms"][0]["parameters"].update(time_zone="UTC"),
            "holds offsets of UTC from itself",
        ),
        (lambda document, _: document["inputs"][0].__setitem__(1, "INT64"), "say what the numbers count"),
        (
            lambda document, _: document["transforms"][0]["learned"].update(naive=[True]),
            "column 'x' of BYTES does not hold naive times",
        ),
        (
            lambda document, _: (
                document["inputs"][0].__setitem__(1, "INT64"),
                document["transforms"][0]["learned"].update(naive=[True], aware=[True]),
            ),
            "column 'x' of INT64 does not hold aware times",
        ),
        (
            lambda document, _: document["transforms"][0]["learned"].pop("aware"),
            "'aware' is None, expected 1",
        ),
    ],
)
def test_a_spoilt_state_is_refused_by_name(spoil: Callable[[Any, dict[str, Array]], Any], said: str) -> None:
    document, arrays = saved()
    spoil(document, arrays)
    with pytest.raises(TransformError, match=said):
        t.Features.from_saved(document, arrays)


@pytest.mark.parametrize("name", sorted(zoneinfo.available_timezones())[::40])
def test_zones_keep_their_changes_and_repeat_them(name: str) -> None:
    offsets = time_zones.offsets_of(name)
    zone = zoneinfo.ZoneInfo(name)
    assert (np.diff(offsets.instants) > 0).all()
    for instant, before, after in zip(offsets.instants, offsets.offsets, offsets.offsets[1:], strict=False):
        for seconds, offset in ((instant - 1, before), (instant, after)):
            local = pd.Timestamp(int(seconds), unit="s", tz="UTC").to_pydatetime().astimezone(zone)
            shown = local.utcoffset()
            assert shown is not None
            assert shown.total_seconds() == offset


@given(name=st.sampled_from(sorted(saved()[1])), data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_change_of_an_array_is_refused_or_runs(name: str, data: st.DataObject) -> None:
    document, arrays = saved()
    changed = data.draw(st.lists(st.integers(0, arrays[name].size - 1), min_size=1, max_size=3))
    raw = np.frombuffer(data.draw(st.binary(min_size=8, max_size=8)), arrays[name].dtype)
    arrays[name][changed] = raw[0]
    try:
        features = t.Features.from_saved(document, arrays)
    except TransformError:
        return
    made = features.transform({"x": ["1890-01-01T00:00Z", "2024-03-31T02:30", "9999-12-31T23:59:59"]})
    assert made.shape == (3, 6)
