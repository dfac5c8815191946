"""A user's data as a model's inputs: what is taken, as what, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.fitting import fit, split


class Input(NamedTuple):
    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)


MIXED = (Input("delay", "FP32"), Input("hour", "INT64"), Input("carrier", "BYTES", (-1, 1)))
NUMERIC = (Input("a", "FP32"), Input("b", "INT64"))
MATRIX = Input("x", "FP32", (-1, 2))


def taken(
    data: Any, *inputs: Input, matrix: bool = False
) -> dict[str, tuple[str, tuple[int, ...], list[Any]]]:
    """Datatype, shape and values of each tensor."""
    return {
        tensor.name: (tensor.datatype, tensor.shape, list(tensor.values))
        if isinstance(tensor.values, list)
        else (tensor.datatype, tensor.shape, tensor.values.tolist())
        for tensor in fit(data, inputs, matrix=matrix)
    }


COLUMNS = {"delay": [1.5, None], "hour": [3, 4], "carrier": ["UA", None], "surplus": [0, 0]}


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(COLUMNS),
        pl.DataFrame(COLUMNS),
        pa.table(COLUMNS),
        COLUMNS,
        {name: pd.Series(values) for name, values in COLUMNS.items()},
        {
            "delay": np.array([1.5, np.nan]),
            "hour": np.array([3, 4]),
            "carrier": np.array([b"UA", None], object),
        },
    ],
    ids=["pandas", "polars", "arrow", "lists", "series", "arrays"],
)
def test_every_kind_of_frame_is_taken_as_the_models_columns(frame: Any) -> None:
    found = taken(frame, *MIXED)
    assert list(found) == ["delay", "hour", "carrier"]
    datatype, shape, values = found["delay"]
    assert (datatype, shape, values[0]) == ("FP32", (2,), 1.5)
    assert np.isnan(values[1])
    assert found["hour"] == ("INT64", (2,), [3, 4])
    assert found["carrier"] == ("BYTES", (2, 1), [[b"UA"], [None]])


def test_a_matrix_stands_for_all_numeric_columns() -> None:
    whole = np.array([[1.5, 2], [3, 4]])
    expected = {"a": ("FP32", (2,), [1.5, 3.0]), "b": ("INT64", (2,), [2, 4])}
    for data in (whole, whole.astype("f4"), {"features": whole}, {"features": whole.tolist(), "more": 1}):
        assert taken(data, *NUMERIC) == taken(data, *NUMERIC, matrix=True) == expected
    assert taken(np.array([[1, 2**62 + 1]]), *NUMERIC)["b"][2] == [2**62 + 1]


@pytest.mark.parametrize(
    ("dtype", "datatypes", "sent"),
    [
        ("f8", ("FP64", "FP64"), "FP64"),
        ("i8", ("FP64", "FP64"), "FP64"),
        ("f4", ("FP64", "FP32"), "FP32"),
        ("f2", ("FP32", "FP32"), "FP32"),
        ("f8", ("FP64", "FP32"), None),  # may not fit the second
        ("f4", ("FP64", "INT8"), None),  # so may this, and the refusal should name the column
        ("f4", ("FP64", "FP16"), None),  # a matrix cannot stand for these
        ("f4", ("FP64", "BF16"), None),
        ("O", ("FP64", "FP64"), None),
    ],
)
def test_a_matrix_stays_one_tensor_where_the_model_takes_it_and_no_value_changes(
    dtype: str, datatypes: tuple[str, str], sent: str | None
) -> None:
    inputs = [Input(name, datatype) for name, datatype in zip("ab", datatypes, strict=True)]
    found = taken(np.array([[1, 2], [3, 4]], dtype), *inputs, matrix=True)
    if sent is None:
        assert list(found) == ["a", "b"]
    else:
        assert found == {"features": (sent, (2, 2), [[1, 2], [3, 4]])}


def test_an_input_named_features_is_that_input() -> None:
    inputs = (Input("features", "FP64"), Input("b", "FP64"))
    assert list(taken(np.zeros((1, 2)), *inputs, matrix=True)) == ["features", "b"]
    assert taken({"features": [1.0], "b": [2.0]}, *inputs, matrix=True)["features"] == ("FP64", (1,), [1.0])


def test_an_array_is_the_only_input_of_a_model() -> None:
    assert taken(np.zeros((2, 2)), MATRIX) == {"x": ("FP32", (2, 2), [[0.0] * 2] * 2)}
    words = taken(np.array([["a", "b"]]), Input("x", "BYTES", (-1, 2)))
    assert words == {"x": ("BYTES", (1, 2), [[b"a", b"b"]])}
    assert taken({"x": [[1, 2], [3, 4]]}, Input("x", "INT32", (-1, 2)))["x"][1] == (2, 2)
    assert taken({"x": [np.ones(2), np.zeros(2)]}, MATRIX)["x"][2] == [[1, 1], [0, 0]]


def test_a_column_is_n_or_n_by_1_whichever_the_model_has() -> None:
    for data in (np.array([1.0, 2.0]), np.array([[1.0], [2.0]]), {"x": [1, 2]}, {"x": [[1], [2]]}):
        assert taken(data, Input("x", "FP64"))["x"][1] == (2,)
        assert taken(data, Input("x", "FP64", (-1, 1)))["x"][1] == (2, 1)


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_the_columns_of_a_frame_make_up_a_models_only_matrix(convert: Any) -> None:
    frame = convert({"p": [1.0, 2.0], "q": [3, 4]})
    assert taken(frame, MATRIX) == {"x": ("FP32", (2, 2), [[1.0, 3.0], [2.0, 4.0]])}
    assert taken(frame, Input("x", "BF16", (-1, 2)))["x"][2] == [[0x3F80, 0x4040], [0x4000, 0x4080]]
    words = convert({"p": ["a\0", "b"], "q": ["c", None]})
    assert taken(words, Input("x", "BYTES", (-1, 2)))["x"][2] == [[b"a\0", b"c"], [b"b", None]]


def test_mixed_nested_lists_keep_each_value_as_it_is() -> None:
    with pytest.raises(InputError, match=r"got INT64 such as 1"):
        taken({"x": [["a", 1]]}, Input("x", "BYTES", (-1, 2)))


@pytest.mark.parametrize(
    ("data", "inputs", "words"),
    [
        ({"delay": [1.0], "x": [2]}, MIXED, r"^The data has no 'hour', 'carrier'. It has: delay, x.$"),
        ({}, NUMERIC, "The data has no 'a', 'b'. It has: no columns"),
        (np.zeros((2, 3)), NUMERIC, r"shape \[2, 3\]; expected \[rows, 2\]"),
        ({"features": np.zeros((2, 3))}, NUMERIC, r"shape \[2, 3\]; expected \[rows, 2\]"),
        (np.zeros((2, 3)), MIXED, r"carrier BYTES \[-1, 1\]; give a mapping"),
        ({"features": np.zeros((2, 3))}, MIXED, "The data has no 'delay', 'hour', 'carrier'"),
        (np.zeros((2, 3)), (MATRIX,), r"'x' has the shape \[2, 3\]; expected \[-1, 2\]"),
        (np.zeros(2), (MATRIX,), r"'x' has the shape \[2\]; expected \[-1, 2\]"),
        ({"x": [1.0]}, (MATRIX,), r"'x' has the shape \[1\]; expected \[-1, 2\]"),
        ({"x": [[1.0, 2.0], [3.0]]}, (MATRIX,), "'x' is a list of lists of different lengths"),
        ({"p": [1.0], "q": [2.0], "r": [3.0]}, (MATRIX,), "no 'x'.*p, q, r.*where they are 2, in order"),
        ({"p": [1.0], "q": [2.0, 3.0]}, (MATRIX,), "different numbers of rows: {'p': 1, 'q': 2}"),
        ({"x": np.array([[1, 2], [3, 4.5]])}, (Input("x", "INT8", (-1, 2)),), r"'x\[:, 1\]': row 1 is 4.5"),
        ({"x": 3.0}, (Input("x", "FP32"),), "'x': float came, expected one value a row"),
        (np.array(3.0), (Input("x", "FP32"),), r"'x': shape \[\] came"),
        ({"x": ["a", "\ud800"]}, (Input("x", "BYTES"),), r"'x': row 1 is '\\ud800', which UTF-8 cannot say"),
        (3, NUMERIC, "int cannot be read as a frame"),
        *(
            ({"x": column}, (Input("x", datatype),), "'x'")
            for column, datatype in (
                (["a"], "FP32"),
                ([1.5], "INT64"),
                ([300], "UINT8"),
                ([1], "BYTES"),
                (np.array([0.5]), "BYTES"),
                (np.array([[0.5]]), "INT32"),
                (["a"], "BF16"),
            )
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(data: object, inputs: tuple[Input, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit(data, inputs)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 2)])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8"])
def test_numbers_become_the_bits_of_bfloat16(shape: tuple[int, ...], dtype: str) -> None:
    width = abs(shape[-1])
    given = np.tile(np.array([[1], [-2]], dtype), width)
    ((name, datatype, values, batched),) = [
        (t.name, t.datatype, t.values, t.batched) for t in fit(given, [Input("x", "BF16", shape)])
    ]
    assert (name, datatype, batched) == ("x", "BF16", True)
    assert isinstance(values, np.ndarray)
    assert values.dtype == np.uint16
    assert values.ravel().tolist() == [0x3F80] * width + [0xC000] * width


def test_surplus_columns_are_never_read() -> None:
    data = {"a": [1.0], "b": [2], "odd": [object()], "longer": [1, 2, 3], 7: None}
    assert list(taken(data, *NUMERIC)) == ["a", "b"]


@given(
    rows=st.integers(0, 12),
    size=st.integers(1, 13),
    width=st.integers(1, 3),
)
def test_rows_are_split_in_order_and_none_is_lost(rows: int, size: int, width: int) -> None:
    data: Mapping[str, Any] = {
        "n": np.arange(rows),
        "w": [str(i) for i in range(rows)],
        "m": np.arange(rows * width, dtype="f4").reshape(rows, width),
        "fixed": np.ones((1, 2)),
    }
    inputs = [
        Input("n", "INT64"),
        Input("w", "BYTES"),
        Input("m", "FP32", (-1, width)),
        Input("fixed", "FP64", (1, 2)),
    ]
    fitted = fit(data, inputs)
    starts, parts = zip(*split(fitted, size), strict=True)
    assert len(parts) == max(1, -(-rows // size))
    assert list(starts) == list(range(0, max(rows, 1), size))
    for index in range(3):
        joined = [value for part in parts for value in np.asarray(part[index].values).tolist()]
        assert joined == np.asarray(fitted[index].values).tolist()
    assert all(part[3].shape == (1, 2) for part in parts)
    assert list(split(fitted, None)) == [(0, fitted)]


@pytest.mark.parametrize("max_rows", [0, -1])
def test_parts_without_rows_are_refused(max_rows: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        list(split(fit({"a": [1], "b": [1]}, NUMERIC), max_rows))


def test_columns_of_different_lengths_cannot_be_split() -> None:
    with pytest.raises(InputError, match="input 'b' has 1 rows, input 'a' has 2"):
        list(split(fit({"a": [1, 2], "b": [1]}, NUMERIC), 1))
