from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from penstock.bundle.arrays import arrays_of, infer_datatypes, to_wire
from penstock.bundle.examples import DTYPES, Arrays, invent, load_arrays, read_examples, write_examples
from penstock.bundle.golden import batch_size
from penstock.bundle.manifest import Input, Tensor, Tolerance
from penstock.errors import BundleError, InputError


def tensor(name: str, datatype: str, *shape: int, missing: bool = False) -> Input:
    return Input(name=name, datatype=datatype, shape=shape or (-1,), empty_is_missing=missing)  # type: ignore[arg-type]


def texts(*elements: bytes | None) -> np.ndarray[Any, Any]:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


@st.composite
def examples(draw: st.DrawFn) -> tuple[list[Input], Arrays, int]:
    rows = draw(st.integers(1, 4))
    names = draw(
        st.lists(
            st.text(min_size=1, max_size=8).filter(lambda t: t.isprintable()),
            max_size=4,
            min_size=1,
            unique=True,
        )
    )
    inputs, arrays = [], {}
    for name in names:
        datatype = draw(st.sampled_from(sorted(DTYPES)))
        shape = (rows, *draw(st.lists(st.integers(0, 3), max_size=2)))
        if datatype == "BYTES":
            size = int(np.prod(shape))
            arrays[name] = texts(
                *draw(st.lists(st.binary(max_size=5), min_size=size, max_size=size))
            ).reshape(shape)
        else:
            arrays[name] = draw(npst.arrays(DTYPES[datatype], shape))
        inputs.append(tensor(name, datatype, -1, *shape[1:]))
    return inputs, arrays, rows


@given(examples())
def test_examples_read_back_to_the_last_bit(drawn: tuple[list[Input], Arrays, int]) -> None:
    inputs, arrays, rows = drawn
    data = write_examples(arrays, arrays)
    assert data == write_examples(dict(reversed(arrays.items())), arrays)
    for side in read_examples(data, inputs, inputs, rows):
        assert side.keys() == arrays.keys()
        for name, array in side.items():
            assert array.shape == arrays[name].shape
            if array.dtype.kind == "O":
                assert array.tolist() == arrays[name].tolist()
            else:
                assert array.tobytes() == arrays[name].tobytes()


def test_examples_that_are_not_the_manifests_are_refused() -> None:
    number, text = tensor("a", "FP32"), tensor("b", "BYTES")
    arrays = {"a": np.zeros(2, np.float32), "b": texts(b"x", b"yy")}
    data = write_examples(arrays, {"a": arrays["a"]})
    read_examples(data, [number, text], [number], 2)
    for inputs, outputs, rows, words in [
        ([number, text], [number], 3, r"'input/a' has the type float32 and shape \[2\].*FP32 \[3\]"),
        ([tensor("a", "FP64"), text], [number], 2, "has the type float32.*says FP64"),
        ([tensor("a", "FP32", -1, 1), text], [number], 2, "says FP32"),
        ([number, text], [tensor("z", "FP32")], 2, "holds no 'output/z'"),
        ([number], [number], 2, r"holds 'input\.ends/b', which the manifest does not name"),
        ([tensor("a", "BYTES"), text], [number], 2, r"holds no 'input\.text/a'"),
    ]:
        with pytest.raises(BundleError, match=words):
            read_examples(data, inputs, outputs, rows)
    for garbage in (b"", b"\xff" * 50, data[:-1], data[:30]):
        with pytest.raises(BundleError, match="is no safetensors file"):
            read_examples(garbage, [number, text], [number], 2)


@pytest.mark.parametrize("ends", [[0, 4], [3, 1], [-1, 3], [1, 2]])
def test_text_whose_ends_do_not_fit_is_refused(ends: list[int]) -> None:
    import safetensors.numpy

    data = safetensors.numpy.save(
        {"input.text/b": np.frombuffer(b"xyz", np.uint8), "input.ends/b": np.array(ends, np.int64)}
    )
    with pytest.raises(BundleError, match="do not fit together"):
        read_examples(data, [tensor("b", "BYTES")], [], 2)


def test_an_array_of_a_type_that_numpy_has_not_is_refused() -> None:
    header = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    with pytest.raises(BundleError, match="an array of the type BF16, which NumPy has not"):
        load_arrays(struct.pack("<Q", len(header)) + header + bytes(2))


def test_shapes_too_large_to_invent_are_refused() -> None:
    with pytest.raises(BundleError, match="'a' is too large to invent values for"):
        invent([tensor("a", "FP32", -1, 2**40, 2**20)], 1, "a" * 64)


def test_invented_rows_are_the_same_for_the_same_seed() -> None:
    inputs = [
        tensor("a", "FP32", -1, 3),
        tensor("b", "BYTES"),
        tensor("c", "INT64", -1, -1),
        tensor("d", "BOOL"),
    ]
    one, same, other = (invent(inputs, 4, seed * 64) for seed in "aab")
    assert {name: array.shape for name, array in one.items()} == {
        "a": (4, 3),
        "b": (4,),
        "c": (4, 1),
        "d": (4,),
    }
    assert one["b"].tolist() == [b""] * 4
    assert np.array_equal(one["a"], same["a"])
    assert not np.array_equal(one["a"], other["a"])
    assert all(one[t.name].dtype == DTYPES[t.datatype] for t in inputs)


@pytest.mark.parametrize(
    ("shapes", "rows", "limit", "expected"),
    [
        ([(-1,)], 5, 0, 5),
        ([(-1,)], 5, 3, 3),
        ([(-1,)], 2, 3, 2),
        ([(-1,), (1, 4)], 5, 0, 1),
        ([(4, 2)], 8, 0, 4),
    ],
)
def test_a_batch_is_what_the_model_and_the_limit_take(
    shapes: list[tuple[int, ...]], rows: int, limit: int, expected: int
) -> None:
    assert (
        batch_size([tensor(str(i), "FP32", *shape) for i, shape in enumerate(shapes)], rows, limit)
        == expected
    )


@pytest.mark.parametrize(
    ("expected", "got", "fits"),
    [
        (1.0, 1.0, True),
        (1.0, 1.1, True),
        (1.0, 1.3, False),
        (-1.0, -1.1, True),
        (0.0, 0.1, True),
        (0.0, 0.11, False),
        (np.nan, np.nan, True),
        (np.nan, 0.0, False),
        (0.0, np.nan, False),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.inf, 1e300, False),
        (1e300, np.inf, False),
    ],
)
def test_tolerance_is_absolute_plus_relative_and_knows_nan_and_infinity(
    expected: float, got: float, fits: bool
) -> None:
    tolerance = Tolerance(absolute=0.1, relative=0.1)
    assert tolerance.allows(np.array([expected]), np.array([got])).tolist() == [fits]


INPUTS = [tensor("a", "FP64"), tensor("n", "INT64"), tensor("s", "BYTES", missing=True)]


def frame_makers() -> list[Any]:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    return [dict, pd.DataFrame, pl.DataFrame, pa.table]


@pytest.mark.parametrize("make", frame_makers())
def test_every_kind_of_frame_gives_the_same_arrays(make: Any) -> None:
    frame = make({"s": ["x", None, "ü"], "extra": [1, 2, 3], "a": [1.5, None, 2.0], "n": [1, 2, 3]})
    arrays = arrays_of(frame, INPUTS)
    assert list(arrays) == ["a", "n", "s"]
    assert np.array_equal(arrays["a"], [1.5, np.nan, 2.0], equal_nan=True)
    assert arrays["n"].dtype == np.int64
    assert arrays["s"].tolist() == [b"x", None, "ü".encode()]
    assert to_wire(arrays, INPUTS)["s"].tolist() == [b"x", b"", "ü".encode()]


def test_missing_strings_need_an_input_that_can_say_so() -> None:
    inputs = [tensor("s", "BYTES")]
    with pytest.raises(InputError, match="'s' has a missing string in row 1, which callers"):
        to_wire(arrays_of({"s": ["x", None]}, inputs), inputs)


def test_tensors_keep_their_dimensions_and_columns_gain_them() -> None:
    inputs = [tensor("x", "FP32", -1, 2, 2), tensor("c", "FP32", -1, 1), tensor("s", "BYTES", -1, 2)]
    given = {"x": np.arange(8).reshape(2, 2, 2), "c": [1.0, 2.0], "s": np.array([["a", "b"], ["c", "d"]])}
    arrays = arrays_of(given, inputs)
    assert {name: array.shape for name, array in arrays.items()} == {"x": (2, 2, 2), "c": (2, 1), "s": (2, 2)}
    assert arrays["x"].dtype == np.float32
    assert arrays["s"][1, 0] == b"c"


def test_a_matrix_serves_as_the_only_input_or_as_all_numeric_columns() -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    assert arrays_of(matrix, [tensor("x", "FP32", -1, 3)])["x"].tolist() == matrix.tolist()
    columns = arrays_of(matrix, [tensor("a", "FP64"), tensor("b", "FP32"), tensor("c", "INT64")])
    assert columns["c"].tolist() == [2, 5]
    with pytest.raises(InputError, match=r"shape \[2, 3\]; expected \[rows, 2\]"):
        arrays_of(matrix, [tensor("a", "FP64"), tensor("b", "FP32")])
    with pytest.raises(InputError, match="give a mapping"):
        arrays_of(matrix, [tensor("a", "FP64"), tensor("b", "BYTES"), tensor("c", "FP64")])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"a": [1.0], "n": [1]}, "The data has no 's'. It has: a, n"),
        ({}, "The data has no 'a', 'n', 's'. It has: no columns"),
        ({"a": [1.0, 2.0], "n": [1], "s": ["x"]}, "'n' has 1 rows, column 'a' has 2"),
        ({"a": ["x"], "n": [1], "s": ["x"]}, "'a': expected FP64, got text"),
        ({"a": [1.0], "n": [1.5], "s": ["x"]}, "'n': row 0 is 1.5, which INT64 does not hold"),
        ({"a": [1.0], "n": [1], "s": [3]}, r"'s': expected text \(BYTES\)"),
        (
            {"a": np.zeros((2, 2)), "n": [1, 2], "s": ["x", "y"]},
            r"'a' has the shape \[2, 2\]; expected \[-1\]",
        ),
    ],
)
def test_data_that_does_not_fit_is_named(data: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        arrays_of(data, INPUTS)


def test_bfloat16_is_the_upper_half_of_a_float_rounded_to_even() -> None:
    values = [1.0, 1.00390625, 1.01171875, -2.5, np.inf, np.nan, 3.4e38]
    bits = arrays_of({"x": values}, [tensor("x", "BF16")])["x"]
    assert bits.tolist() == [0x3F80, 0x3F80, 0x3F82, 0xC020, 0x7F80, 0x7FC0, 0x7F80]


def test_datatypes_follow_the_frame() -> None:
    frame = {"a": np.zeros(1, np.float32), "b": np.zeros(1, np.int16), "c": [True], "s": ["x"]}
    assert infer_datatypes(frame, ["a", "b", "c"]) == {"a": "FP32", "b": "INT16", "c": "BOOL"}
    with pytest.raises(InputError, match="no column 'z'"):
        infer_datatypes(frame, ["z"])
    with pytest.raises(InputError, match="text in 's'"):
        infer_datatypes(frame, ["s"])


def test_outputs_are_tensors_of_any_name() -> None:
    data = write_examples({"a/b": np.zeros(1)}, {"input/x": np.ones(1)})
    output = Tensor(name="input/x", datatype="FP64", shape=(-1,))
    assert read_examples(data, [tensor("a/b", "FP64")], [output], 1)[1]["input/x"].tolist() == [1.0]
