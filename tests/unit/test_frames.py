"""One meaning for a value, whatever frame it came in."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penstock.errors import InputError
from penstock.frames import DATATYPES, as_datatype, columns_of, datatype_of, row_count

NAN = float("nan")
CARRIERS = ["AA", None, "Zürich"]


def frames_of(columns: dict[str, list[Any]]) -> list[Any]:
    return [
        columns,
        {name: tuple(values) for name, values in columns.items()},
        pd.DataFrame(columns),
        pl.DataFrame(columns, strict=False),
        pa.table(columns),
        pa.record_batch(columns),
        {name: pd.Series(values) for name, values in columns.items()},
        {name: pl.Series(values, strict=False) for name, values in columns.items()},
        {name: np.array(values, object) for name, values in columns.items()},
    ]


@pytest.mark.parametrize(
    "frame", frames_of({"carrier": CARRIERS, "delay": [1.5, None, 3.0], "hour": [1, 2, 3]})
)
def test_every_kind_of_frame_gives_the_same_columns(frame: Any) -> None:
    columns = columns_of(frame)
    assert list(columns) == ["carrier", "delay", "hour"]
    assert columns.rows == row_count(frame) == 3
    assert {name: datatype_of(columns[name]) for name in columns} == {
        "carrier": "BYTES",
        "delay": "FP64",
        "hour": "INT64",
    }
    assert as_datatype(columns["carrier"], "BYTES", "carrier") == CARRIERS
    np.testing.assert_array_equal(as_datatype(columns["delay"], "FP64", "delay"), [1.5, NAN, 3.0])
    np.testing.assert_array_equal(as_datatype(columns["hour"], "INT64", "hour"), [1, 2, 3])


@pytest.mark.parametrize(
    "column",
    [
        ["AA", None],
        ["AA", NAN],
        ["AA", pd.NA],
        np.array(["AA", None], object),
        pd.Series(["AA", None]),
        pd.Series(["AA", None], dtype="string"),
        pd.Series(["AA", None], dtype=object),
        pd.Series(["AA", None], dtype="category"),
        pl.Series(["AA", None]),
        pl.Series(["AA", None], dtype=pl.Categorical),
        pl.Series(["AA", None], dtype=pl.Enum(["AA"])),
        pa.chunked_array([["AA", None]]),
        pa.chunked_array([pa.array(["AA", None]).dictionary_encode()]),
    ],
)
def test_every_missing_string_is_none(column: Any) -> None:
    assert datatype_of(column) == "BYTES"
    assert as_datatype(column, "BYTES", "x") == ["AA", None]


@pytest.mark.parametrize(
    "column",
    [
        [1, None],
        [1.0, NAN],
        [1, pd.NA],
        [True, None],
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1.0, None], dtype="Float64"),
        pd.Series([True, None], dtype="boolean"),
        pd.Series([True, None], dtype=object),
        pd.Series([1, None], dtype="category"),
        pl.Series([1, None]),
        pl.Series([True, None]),
        pa.chunked_array([[1, None]]),
        np.array([1.0, None], object),
    ],
)
def test_every_missing_number_is_nan_and_makes_the_column_floating_point(column: Any) -> None:
    assert datatype_of(column) == "FP64"
    np.testing.assert_array_equal(as_datatype(column, "FP64", "x"), [1.0, NAN])


@pytest.mark.parametrize(("datatype", "dtype"), DATATYPES.items())
def test_arrays_keep_their_type(datatype: str, dtype: np.dtype[Any]) -> None:
    for column in (
        np.ones(3, dtype),
        np.ones(3, dtype.newbyteorder(">")),
        np.ones((3, 1), dtype),
        np.ones(6, dtype)[::2],
    ):
        assert datatype_of(column) == datatype
        made = as_datatype(column, datatype, "x")
        assert isinstance(made, np.ndarray)
        assert made.dtype == dtype
        assert made.flags.c_contiguous
        np.testing.assert_array_equal(made, np.ones(3, dtype))


def test_text_of_numpy_and_bytes_are_text() -> None:
    assert as_datatype(np.array(["a", "ü"]), "BYTES", "x") == ["a", "ü"]
    assert as_datatype(np.array([b"a", b"b"]), "BYTES", "x") == [b"a", b"b"]
    assert as_datatype([b"\xff", "a", None], "BYTES", "x") == [b"\xff", "a", None]


@pytest.mark.parametrize(
    "column", [pd.Series([None, None], dtype="str"), pl.Series([None, None], dtype=pl.String)]
)
def test_text_without_a_value_is_still_text(column: Any) -> None:
    assert datatype_of(column) == "BYTES"
    assert as_datatype(column, "BYTES", "x") == [None, None]


def test_a_column_of_nothing_fits_text_and_floating_point() -> None:
    assert as_datatype([None, NAN], "BYTES", "x") == [None, None]
    assert np.isnan(np.asarray(as_datatype([None, NAN], "FP32", "x"))).all()
    with pytest.raises(InputError, match="'x': row 0 is nan"):
        as_datatype([None], "INT64", "x")


@pytest.mark.parametrize(
    ("values", "datatype"),
    [
        (np.array([1.0, 2.0]), "INT64"),
        (np.array([1, 2]), "UINT8"),
        (np.array([2**63, 1], np.uint64), "FP32"),
        (np.array([0.0, 1.0]), "BOOL"),
        (np.array([True, False]), "INT8"),
        (np.array([0.1, NAN]), "FP32"),
        (np.array([np.inf, 1.0]), "FP16"),
    ],
)
def test_conversions_that_lose_nothing_but_precision_are_made(values: Any, datatype: str) -> None:
    np.testing.assert_array_equal(as_datatype(values, datatype, "x"), values.astype(DATATYPES[datatype]))


@pytest.mark.parametrize(
    ("values", "datatype", "said"),
    [
        ([1.0, 0.5], "INT64", "row 1 is 0.5, which INT64 does not hold"),
        ([1.0, NAN], "INT64", "row 1 is nan"),
        ([np.inf], "INT32", "row 0 is inf"),
        ([2.0**63], "INT64", "row 0 is 9.22"),
        ([2.0**64], "UINT64", "row 0 is 1.84"),
        ([300], "UINT8", "row 0 is 300"),
        ([-1], "UINT64", "row 0 is -1"),
        (np.array([2**63], np.uint64), "INT64", "row 0 is 9223372036854775808"),
        ([2], "BOOL", "row 0 is 2"),
        ([0.5], "BOOL", "row 0 is 0.5"),
        ([1e300], "FP32", "row 0 is 1e\\+300"),
        (["1"], "INT64", "expected INT64, got text such as '1'"),
        ([1], "BYTES", "expected text \\(BYTES\\), got INT64 such as 1"),
        ([1], "BF16", "NumPy has no BF16"),
        (["a", 1], "BYTES", "values of type int, str came"),
        ([2**70], "INT64", "values of type int came"),
        ([datetime(2013, 1, 1), None], "INT64", "row 1 is nan, which INT64 does not hold"),
        ([datetime(2013, 1, 1), 7], "INT64", "values of type datetime, int came"),
        (
            [datetime(2013, 1, 1), None, datetime(2013, 1, 1, tzinfo=UTC)],
            "INT64",
            "times with a time zone came together with times without one",
        ),
        (
            ["2013-01-01T10:00"],
            "INT64",
            "'2013-01-01T10:00'; dates and times travel as microseconds since 1970",
        ),
        ([timedelta(1)], "INT64", "values of type timedelta came"),
        (np.array([400_000], "datetime64[Y]"), "INT64", r"NumPy type datetime64\[Y\] came"),
        (np.array([1], "timedelta64[s]"), "INT64", r"NumPy type timedelta64\[s\] came"),
        ([[1, 2], [3, 4]], "INT64", "values of type list came"),
        ([1j], "FP64", "values of type complex came"),
        (np.ones((2, 2)), "FP64", r"shape \[2, 2\] came"),
        ("text", "BYTES", "str came, expected one value a row"),
        (7, "INT64", "int came, expected one value a row"),
        ({1, 2}, "INT64", "set came, expected an array"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_column_and_the_value(
    values: Any, datatype: str, said: str
) -> None:
    with pytest.raises(InputError, match=f"'x'.*{said}"):
        as_datatype(values, datatype, "x")


@given(
    hnp.arrays(st.sampled_from([d for d in DATATYPES.values() if d.kind in "iu"]), st.integers(0, 20)),
    st.data(),
)
def test_integers_come_back_from_whatever_type_took_them(
    values: np.ndarray[Any, Any], data: st.DataObject
) -> None:
    datatype = data.draw(st.sampled_from(sorted(DATATYPES)))
    try:
        made = np.asarray(as_datatype(values, datatype, "x"))
    except InputError:
        return
    if not datatype.startswith("FP"):
        assert [int(value) for value in made] == values.tolist()


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"a": [1, 2], "b": [1]}, "column 'b' has 1 rows, column 'a' has 2"),
        ({"a": 1}, "column 'a': int came"),
        (7, "a builtins.int cannot be read as a frame"),
        (pl.DataFrame({"a": [1]}).lazy(), "cannot be read as a frame"),
        (np.ones(3), r"shape \[3\] came"),
        (np.ones((3, 2)), "no column names"),
    ],
)
def test_what_is_no_frame_is_refused(frame: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        columns_of(frame)


def test_a_matrix_takes_its_names_from_the_caller() -> None:
    columns = columns_of(np.array([[1.0, 2.0], [3.0, 4.0]]), ["a", "b"])
    np.testing.assert_array_equal(columns["b"], [2.0, 4.0])
    with pytest.raises(InputError, match="an array of 2 columns came, expected 3: a, b, c"):
        columns_of(np.ones((1, 2)), ["a", "b", "c"])


NOON = datetime(2024, 7, 1, 12, 0, 0, 123456)
NOON_TICKS = 1_719_835_200_123_456  # microseconds since 1970 of its own clock
ZURICH = ZoneInfo("Europe/Zurich")


@pytest.mark.parametrize(
    ("column", "ticks"),
    [
        ([NOON], NOON_TICKS),
        ([NOON.replace(tzinfo=UTC)], NOON_TICKS),
        ([NOON.replace(tzinfo=ZURICH)], NOON_TICKS - 7_200_000_000),
        (pd.Series([NOON], dtype="datetime64[ns]"), NOON_TICKS),
        (pd.Series([NOON]).dt.tz_localize("Europe/Zurich"), NOON_TICKS - 7_200_000_000),
        (pd.Series([NOON]).dt.tz_localize(timezone(timedelta(hours=-3))), NOON_TICKS + 10_800_000_000),
        (
            pd.Series([NOON], dtype="datetime64[ns]").dt.tz_localize("dateutil/Europe/Zurich"),
            NOON_TICKS - 7_200_000_000,
        ),
        (pd.Series([NOON], dtype=pd.ArrowDtype(pa.timestamp("us", "UTC"))), NOON_TICKS),
        (pl.Series([NOON]), NOON_TICKS),
        (pl.Series([NOON], dtype=pl.Datetime("ns")), NOON_TICKS),
        (pl.Series([NOON]).dt.replace_time_zone("Europe/Zurich"), NOON_TICKS - 7_200_000_000),
        (pa.chunked_array([pa.array([NOON], pa.timestamp("ns"))]), NOON_TICKS),
        (pa.chunked_array([pa.array([NOON], pa.timestamp("us", "Europe/Zurich"))]), NOON_TICKS),
        (np.array([NOON], "datetime64[us]"), NOON_TICKS),
        (np.array(["1969-12-31T23:59:59.999999999"], "datetime64[ns]"), -1),
        ([date(2024, 7, 1)], NOON_TICKS - 43_200_123_456),
        (pl.Series([date(2024, 7, 1)]), NOON_TICKS - 43_200_123_456),
        (pa.chunked_array([pa.array([date(2024, 7, 1)], pa.date64())]), NOON_TICKS - 43_200_123_456),
        (pd.Series([date(2024, 7, 1)], dtype=pd.ArrowDtype(pa.date32())), NOON_TICKS - 43_200_123_456),
    ],
)
def test_dates_and_times_are_microseconds_since_1970_in_utc(column: Any, ticks: int) -> None:
    read = columns_of({"at": column})["at"]
    assert datatype_of(read, "at") == "INT64"
    np.testing.assert_array_equal(as_datatype(read, "INT64", "at"), [ticks])
    assert as_datatype(read, "FP64", "at") == [float(ticks)]


@pytest.mark.parametrize(
    "column",
    [
        [NOON, None],
        pd.Series([NOON, None]),
        pd.Series([NOON, None]).dt.tz_localize("UTC"),
        pl.Series([NOON, None]),
        pa.chunked_array([pa.array([NOON, None], pa.timestamp("ns"))]),
        np.array([NOON, "NaT"], "datetime64[us]"),
    ],
)
def test_a_missing_time_is_nan_and_makes_the_column_floating_point(column: Any) -> None:
    read = columns_of({"at": column})["at"]
    assert datatype_of(read, "at") == "FP64"
    np.testing.assert_array_equal(as_datatype(read, "FP64", "at"), [NOON_TICKS, NAN])


def test_times_out_of_a_frame_are_those_out_of_its_columns() -> None:
    frame = pd.DataFrame({"at": pd.Series([NOON, NOON]).dt.tz_localize("Europe/Zurich")})
    for each in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame)):
        read = as_datatype(columns_of(each)["at"], "INT64", "at")
        np.testing.assert_array_equal(read, [NOON_TICKS - 7_200_000_000] * 2)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([NOON, None], "naive"),
        ([date(2024, 7, 1)], "naive"),
        ([None, NOON.replace(tzinfo=ZURICH)], "aware"),
        (np.array([NOON], "datetime64[D]"), "naive"),
        (pd.Series([NOON, None]), "naive"),
        (pd.Series([NOON, None]).dt.tz_localize("UTC"), "aware"),
        (pd.Series([NOON]).dt.tz_localize("dateutil/Europe/Zurich"), "aware"),
        (pd.Series([NOON.replace(tzinfo=ZURICH)], dtype=object), "aware"),
        (pd.Series([NOON], dtype=pd.ArrowDtype(pa.timestamp("us"))), "naive"),
        (pd.Series([date(2024, 7, 1)], dtype=pd.ArrowDtype(pa.date32())), "naive"),
        (pl.Series([NOON]), "naive"),
        (pl.Series([date(2024, 7, 1)]), "naive"),
        (pl.Series([None], dtype=pl.Datetime(time_zone="UTC")), "aware"),
        (pa.chunked_array([pa.array([NOON], pa.timestamp("ns", "UTC"))]), "aware"),
        (pa.chunked_array([pa.array([date(2024, 7, 1)], pa.date64())]), "naive"),
        ([1, 2], None),
        (["2024-07-01"], None),
        ([None], None),
        ([timedelta(1)], None),
        (pl.Series([1.5]), None),
    ],
)
def test_columns_of_times_say_whether_they_have_a_time_zone(column: Any, kind: str | None) -> None:
    assert columns_of({"at": column}).times("at") == kind
    if not isinstance(column, list):
        assert columns_of({"at": column, "x": [1] * len(column)}).between(0, 1).times("at") == kind


def test_times_in_a_zone_are_not_read_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.instants.of_objects", None)
    at = pd.Series(pd.date_range("2024-01-01", periods=3, freq="h", tz="Europe/Zurich"))
    for column in (at, at.astype("datetime64[ns, Europe/Zurich]"), pl.from_pandas(at)):
        read = as_datatype(columns_of({"at": column})["at"], "INT64", "at")
        np.testing.assert_array_equal(np.diff(np.asarray(read)), [3_600_000_000] * 2)


def test_importing_penstock_and_its_transforms_loads_no_frame_library() -> None:
    code = (
        "import sys, penstock, penstock.frames, penstock.transforms;"
        "print([m for m in ('pandas', 'polars', 'pyarrow', 'narwhals', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
