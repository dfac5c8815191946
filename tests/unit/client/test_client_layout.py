from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from inference_peer import strings

from penstock.client.answers import ModelMetadata, TensorSpec
from penstock.client.layout import fit
from penstock.errors import InputError

MIXED = (("delay", "FP32", (-1,)), ("hour", "INT64", (-1,)), ("carrier", "BYTES", (-1, 1)))
NUMERIC = (("a", "FP32", (-1,)), ("b", "INT64", (-1,)))


def model(*inputs: tuple[str, str, tuple[int, ...]]) -> ModelMetadata:
    return ModelMetadata("m", ("1",), "", tuple(TensorSpec(*spec) for spec in inputs), ())


def sent(
    data: Any, *inputs: tuple[str, str, tuple[int, ...]]
) -> dict[str, tuple[str, tuple[int, ...], list[Any]]]:
    found = {}
    for name, datatype, shape, raw in fit(data, model(*inputs)).tensors():
        values = strings(raw) if isinstance(raw, bytes) else raw.tolist()
        found[name] = (datatype, shape, values)
    return found


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
def test_every_kind_of_frame_is_sent_as_the_models_columns(frame: Any) -> None:
    found = sent(frame, *MIXED)
    assert list(found) == ["delay", "hour", "carrier"]
    datatype, shape, values = found["delay"]
    assert (datatype, shape, values[0]) == ("FP32", (2,), 1.5)
    assert np.isnan(values[1])
    assert found["hour"] == ("INT64", (2,), [3, 4])
    assert found["carrier"] == ("BYTES", (2, 1), [b"UA", b""])


def test_a_matrix_stands_for_all_numeric_columns() -> None:
    matrix = np.array([[1.5, 2], [3, 4]])
    assert sent(matrix, *NUMERIC) == {"features": ("FP64", (2, 2), [[1.5, 2.0], [3.0, 4.0]])}
    assert sent(matrix.astype("f4"), *NUMERIC)["features"][0] == "FP32"
    assert sent(matrix.astype("i8"), *NUMERIC)["features"] == ("FP64", (2, 2), [[1.0, 2.0], [3.0, 4.0]])
    assert sent({"features": matrix}, *NUMERIC)["features"][1] == (2, 2)


def test_a_matrix_of_another_width_is_refused_with_the_width_expected() -> None:
    with pytest.raises(InputError, match=r"shape \[2, 3\]; expected \[rows, 2\]"):
        fit(np.zeros((2, 3)), model(*NUMERIC))


def test_a_matrix_cannot_stand_for_columns_of_strings() -> None:
    with pytest.raises(InputError, match=r"carrier \(BYTES\).*as a mapping"):
        fit(np.zeros((2, 3)), model(*MIXED))


def test_an_array_is_the_only_input_of_a_model() -> None:
    assert sent(np.zeros((2, 3)), ("x", "FP32", (-1, 3))) == {"x": ("FP32", (2, 3), [[0.0] * 3] * 2)}
    assert sent(np.array([["a", "b"]]), ("x", "BYTES", (-1, 2))) == {"x": ("BYTES", (1, 2), [b"a", b"b"])}
    assert sent({"x": [[1, 2], [3, 4]]}, ("x", "INT32", (-1, 2)))["x"][1] == (2, 2)


def test_the_columns_of_a_frame_make_up_a_models_only_matrix() -> None:
    frame = pd.DataFrame({"p": [1.0, 2.0], "q": [3, 4]})
    assert sent(frame, ("x", "FP32", (-1, 2))) == {"x": ("FP32", (2, 2), [[1.0, 3.0], [2.0, 4.0]])}


def test_a_missing_column_is_named_with_those_that_came() -> None:
    with pytest.raises(InputError, match=r"model 'm' also needs 'hour', 'carrier'; got the columns delay, x"):
        fit({"delay": [1.0], "x": [2]}, model(*MIXED))


@pytest.mark.parametrize(
    ("column", "datatype"),
    [(["a"], "FP32"), ([1.5], "INT64"), ([300], "UINT8"), ([1], "BYTES"), (np.array([[0.5]]), "INT32")],
)
def test_values_that_would_be_lost_are_refused_by_column(column: Any, datatype: str) -> None:
    with pytest.raises(InputError, match="'x'"):
        fit({"x": column}, model(("x", datatype, (-1,))))


def test_bf16_is_sent_as_the_upper_half_of_float32() -> None:
    ((_, datatype, shape, raw),) = fit({"x": [1.0, -2.0]}, model(("x", "BF16", (-1,)))).tensors()
    assert (datatype, shape) == ("BF16", (2,))
    assert np.asarray(raw).tobytes() == np.array([0x3F80, 0xC000], "<u2").tobytes()


def test_rows_are_split_in_order_and_none_is_lost() -> None:
    fitted = fit({"delay": np.arange(7.0), "hour": np.arange(7), "carrier": list("abcdefg")}, model(*MIXED))
    parts = [part.tensors() for part in fitted.split(3)]
    assert [part[0].shape for part in parts] == [(3,), (3,), (1,)]
    assert np.concatenate([part[0].raw for part in parts]).tolist() == list(range(7))
    assert b"".join(b"".join(strings(part[2].raw)) for part in parts) == b"abcdefg"


def test_no_rows_are_still_one_part() -> None:
    fitted = fit({"a": [], "b": []}, model(*NUMERIC))
    assert [part.tensors()[0].shape for part in fitted.split(3)] == [(0,)]


@pytest.mark.parametrize("max_rows", [0, -1])
def test_parts_without_rows_are_refused(max_rows: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        list(fit({"a": [1], "b": [1]}, model(*NUMERIC)).split(max_rows))


def test_columns_of_different_lengths_cannot_be_split() -> None:
    with pytest.raises(InputError, match=r"'a': 2, 'b': 1"):
        list(fit({"a": [1, 2], "b": [1]}, model(*NUMERIC)).split(1))
