"""A list of transforms as one: names, order, inputs, the matrix and what goes wrong."""

from __future__ import annotations

import copy
import pickle
import time
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from penstock import transforms as t
from penstock.errors import InputError, TransformError

FLIGHTS: dict[str, list[Any]] = {
    "carrier": ["AA", "UA", None, "AA", "B6"],
    "origin": ["JFK", None, "LGA", "JFK", "EWR"],
    "hour": [5, 6, 23, 24, 12],
    "delay": [1.0, None, 3.0, -4.0, 60.0],
    "distance": [1400.0, 733.0, 200.0, 17.0, 2475.0],
    "weekend": [False, True, False, False, True],
    "unused": ["a", "b", "c", "d", "e"],
}


def flights(rows: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(7)
    picks = rng.integers(0, 5, rows)
    return {name: [values[i] for i in picks] for name, values in FLIGHTS.items()}


def delay_features() -> t.Features:
    return t.Features(
        [
            t.Impute(["delay", "distance"], "median", indicator=True),
            t.Impute("origin", "most_frequent"),
            t.OneHot(["carrier", "origin"]),
            t.Log1p("distance"),
            t.Standardize(["delay", "distance"]),
            t.Cyclic("hour", 24),
            t.Select("weekend"),
        ]
    )


@pytest.mark.parametrize(
    ("column", "missing", "empty"),
    [
        (["a", ""], False, True),
        (["a", None], True, False),
        (["a", None, ""], True, True),
        ([b"a", b"", float("nan")], True, True),
        (["a", "b"], False, False),
        (pd.Series(["a", None], dtype="string"), True, False),
        (pl.Series(["", "a"]), False, True),
        (pd.Series(["", "a", None], dtype="category"), True, True),
    ],
)
@pytest.mark.parametrize("make", [t.OneHot, lambda name: t.Ordinal(name, unknown="value", unknown_value=-1)])
def test_fit_records_whether_it_saw_missing_and_empty_strings(
    make: Any, column: Any, missing: bool, empty: bool
) -> None:
    features = t.Features([make("s"), t.Select("n")]).fit({"s": column, "n": [0.0] * len(column)})
    assert {name: (each.missing, each.empty) for name, each in features.strings.items()} == {
        "s": (missing, empty)
    }


def test_what_a_column_was_and_not_what_an_imputation_made_of_it_is_recorded() -> None:
    transforms = [t.Impute("s", "constant", fill_value=""), t.OneHot("s", categories=["", "a"])]
    features = t.Features(transforms).fit({"s": ["a", None]})
    assert (features.strings["s"].missing, features.strings["s"].empty) == (True, False)


def test_fitting_anew_records_anew() -> None:
    features = t.Features([t.OneHot("s")]).fit({"s": ["a", None]})
    again = t.Features(features.transforms).fit({"s": ["a", ""]})
    assert (again.strings["s"].missing, again.strings["s"].empty) == (False, True)
    assert features.strings["s"].missing
    with pytest.raises(TransformError, match="not fitted"):
        _ = t.Features([t.OneHot("s")]).strings


def test_outputs_stand_in_the_place_of_their_column_in_order_of_first_mention() -> None:
    features = delay_features().fit(FLIGHTS)
    assert features.output_names == [
        *("delay", "delay_missing", "distance"),
        *("origin=EWR", "origin=JFK", "origin=LGA"),
        *("carrier=AA", "carrier=B6", "carrier=UA", "carrier_missing"),
        *("hour_sin", "hour_cos", "weekend"),
    ]


def test_inputs_are_the_columns_that_a_transform_names_with_the_frame_s_datatypes() -> None:
    frame = pd.DataFrame(FLIGHTS).astype({"hour": "int32", "distance": "float32", "carrier": "category"})
    features = delay_features().fit(frame)
    assert features.inputs == [
        ("delay", "FP64"),
        ("distance", "FP32"),
        ("origin", "BYTES"),
        ("carrier", "BYTES"),
        ("hour", "INT32"),
        ("weekend", "BOOL"),
    ]
    assert features.program().inputs == [(name, datatype, (-1,)) for name, datatype in features.inputs]
    assert features.program("input", "FP32").outputs == [("input", "FP32", (-1, 13))]


def test_the_matrix_is_scikit_learn_s() -> None:
    frame = pd.DataFrame(flights(300))
    numbers = ["delay", "distance"]
    features = t.Features([t.Impute(numbers), t.Standardize(numbers), t.OneHot(["carrier", "origin"])])
    reference = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("text", OneHotEncoder(sparse_output=False), ["carrier", "origin"]),
        ]
    )
    made = features.fit_transform(frame)
    np.testing.assert_allclose(made, reference.fit_transform(frame), rtol=1e-12, atol=1e-15)
    assert made.flags.c_contiguous
    single = features.transform(frame, "FP32")
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, made.astype(np.float32))


def test_every_kind_of_frame_gives_the_same_matrix() -> None:
    expected = delay_features().fit_transform(FLIGHTS)
    for frame in (pd.DataFrame(FLIGHTS), pl.DataFrame(FLIGHTS), pa.table(FLIGHTS)):
        features = delay_features().fit(frame)
        for other in (FLIGHTS, pd.DataFrame(FLIGHTS), pl.DataFrame(FLIGHTS), pa.table(FLIGHTS)):
            np.testing.assert_array_equal(features.transform(other), expected)


def test_a_numpy_matrix_holds_the_inputs_in_their_order_or_by_given_names() -> None:
    matrix = np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
    features = t.Features([t.Standardize("b"), t.Select("a")]).fit(matrix, names=["a", "b"])
    expected = features.transform({"a": matrix[:, 0], "b": matrix[:, 1]})
    np.testing.assert_array_equal(features.transform(matrix, names=["a", "b"]), expected)
    np.testing.assert_array_equal(features.transform(matrix[:, ::-1]), expected)


def test_rows_do_not_depend_on_their_batch() -> None:
    frame = pd.DataFrame(flights(400))
    features = delay_features().fit(frame)
    whole = features.transform(frame)
    for start, end in ((0, 1), (17, 18), (0, 127), (5, 133), (0, 128), (128, 400)):
        np.testing.assert_array_equal(features.transform(frame[start:end]), whole[start:end])
    assert features.transform(frame[:0]).shape == (0, 13)


def test_text_longer_than_any_category_is_unknown() -> None:
    features = t.Features([t.OneHot("x")]).fit({"x": ["a" * 100_000, "b"]})
    long = ["a" * 100_000, "a" * 99_999, "a" * 100_001, "c" * 3_000_000, "b"]
    np.testing.assert_array_equal(features.transform({"x": long}), [[1, 0], [0, 0], [0, 0], [0, 0], [0, 1]])


def test_thousands_of_categories_find_each_its_own_column() -> None:
    names = [f"N{number}" for number in range(5_000)]
    ids = np.arange(-2_500, 2_500) * 4096
    features = t.Features([t.Ordinal("tail", unknown="value", unknown_value=-1), t.Ordinal("id")])
    made = features.fit_transform({"tail": names, "id": ids})
    assert sorted(made[:, 0]) == list(range(5_000))
    np.testing.assert_array_equal(made[:, 1], np.arange(5_000))
    assert features.transform({"tail": ["N5000"], "id": [0]})[0, 0] == -1


def test_fitting_leaves_the_given_transforms_and_other_features_alone() -> None:
    scale = t.Standardize("x")
    first = t.Features([scale]).fit({"x": [0.0, 2.0]})
    second = t.Features([scale]).fit({"x": [0.0, 20.0]})
    assert not scale.fitted
    np.testing.assert_array_equal(first.transform({"x": [2.0]}), [[1.0]])
    np.testing.assert_array_equal(second.transform({"x": [20.0]}), [[1.0]])


def test_a_fit_that_fails_leaves_the_earlier_one() -> None:
    features = t.Features([t.Standardize("x")]).fit({"x": [0.0, 2.0]})
    with pytest.raises(TransformError, match="standardize: column 'x': it has no value"):
        features.fit({"x": [float("nan")]})
    np.testing.assert_array_equal(features.transform({"x": [2.0]}), [[1.0]])


def test_a_refused_value_is_named_with_its_step_and_row() -> None:
    features = t.Features([t.OneHot(["origin", "carrier"], unknown="error")]).fit(
        {"carrier": ["AA", "UA"], "origin": ["JFK", "LGA"]}
    )
    with pytest.raises(InputError) as refused:
        features.transform({"carrier": ["AA", "UA", "AA", "ZZ"], "origin": ["JFK"] * 4})
    assert str(refused.value) == 'one_hot(carrier) refused row 3: "ZZ"'
    with pytest.raises(InputError, match=r"one_hot\(origin\) refused row 0: a missing value"):
        features.transform({"carrier": ["AA"], "origin": [None]})


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        ([], "the list of transforms is empty"),
        (["delay"], "item 0 is 'delay', expected a transform"),
    ],
)
def test_a_list_that_is_none_is_refused(transforms: list[Any], said: str) -> None:
    with pytest.raises(TransformError, match=said):
        t.Features(transforms)


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        (
            [t.Select("missing")],
            "select: column 'missing': there is no such column; there are 'carrier', 'origin'",
        ),
        (
            [t.Cyclic("hour", 24), t.Select("hour")],
            "select: column 'hour': an earlier transform made hour_sin, hour_cos of it",
        ),
        ([t.Impute("origin", "most_frequent")], "column 'origin' is still text"),
        (
            [t.Standardize("carrier")],
            r"standardize: column 'carrier': it is text \(BYTES\), expected numbers",
        ),
        ([t.OneHot("weekend", categories=[False], drop="first")], "the transforms leave no column"),
        ([t.Cyclic("hour", 24), t.Cyclic("hour_sin", 1), t.Select("hour_sin_sin")], None),
    ],
)
def test_a_list_that_does_not_fit_the_frame_is_refused(transforms: list[Any], said: str | None) -> None:
    features = t.Features(transforms)
    if said is None:
        assert features.fit(FLIGHTS).output_names == ["hour_sin_sin", "hour_sin_cos", "hour_cos"]
        return
    with pytest.raises(TransformError, match=said):
        features.fit(FLIGHTS)


def test_an_output_may_not_take_another_column_s_name() -> None:
    frame = {"x": [1.0, None], "x_missing": [0.0, 1.0]}
    with pytest.raises(TransformError, match="impute: its output 'x_missing' has the name of another column"):
        t.Features([t.Impute("x", indicator=True), t.Select("x_missing")]).fit(frame)
    with pytest.raises(TransformError, match="'x_missing'"):
        t.Features([t.Select("x_missing"), t.Impute("x", indicator=True)]).fit(frame)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"carrier": ["AA"]}, r"column 'hour' \(INT64\) is missing; got 'carrier'"),
        ({"carrier": [1], "hour": [1]}, r"'carrier': expected text \(BYTES\), got INT64"),
        ({"carrier": ["AA"], "hour": [1.5]}, "'hour': row 0 is 1.5, which INT64 does not hold"),
        ({"carrier": ["AA"], "hour": [None]}, "'hour': row 0 is nan"),
        ({"carrier": ["AA"], "hour": ["5"]}, "'hour': expected INT64, got text"),
        ({"carrier": ["AA", "UA"], "hour": [1]}, "column 'hour' has 1 rows"),
        (np.ones((1, 3)), "an array of 3 columns came, expected 2: carrier, hour"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(frame: Any, said: str) -> None:
    features = t.Features([t.OneHot("carrier"), t.Cyclic("hour", 24)]).fit(FLIGHTS)
    with pytest.raises(InputError, match=said):
        features.transform(frame)


def test_what_needs_a_fit_says_so() -> None:
    features = t.Features([t.Select("x")])
    assert not features.fitted
    for use in (
        lambda: features.inputs,
        lambda: features.output_names,
        features.program,
        features.document,
        features.arrays,
        lambda: features.transform({"x": [1]}),
    ):
        with pytest.raises(TransformError, match="not fitted yet"):
            use()


def test_a_frame_without_rows_or_with_another_target_is_no_frame_to_fit_on() -> None:
    features = t.Features([t.Select("x")])
    with pytest.raises(InputError, match="no rows"):
        features.fit({"x": []})
    with pytest.raises(InputError, match="target has 1 rows, the frame has 2"):
        features.fit({"x": [1, 2]}, target=[1])
    with pytest.raises(TransformError, match="FP32 or FP64, not FP16"):
        features.fit({"x": [1, 2]}).program(dtype="FP16")


def test_plain_columns_are_cast_to_a_matrix() -> None:
    plan = t.cast_plan([("a", "INT32"), ("b", "BOOL"), ("c", "FP64")], output="data", dtype="FP32")
    columns = {"a": np.array([1, -2], np.int32), "b": np.array([True, False]), "c": np.array([0.1, np.nan])}
    program = plan.program()
    made = program.run(columns)["data"]
    np.testing.assert_array_equal(made, np.array([[1, 1, 0.1], [-2, 0, np.nan]], np.float32))
    assert program.outputs == [("data", "FP32", (-1, 3))]
    with pytest.raises(TransformError, match="column 'b' is BYTES"):
        t.cast_plan([("a", "FP64"), ("b", "BYTES")])
    with pytest.raises(TransformError, match="at least one"):
        t.cast_plan([])


def test_a_column_of_integers_that_an_imputation_reads_may_have_gaps_later() -> None:
    features = t.Features([t.Impute(["n", "flag"]), t.Select("other")])
    features.fit({"n": [1, 2, 3], "flag": [True, False, True], "other": [1, 2, 3]})
    assert dict(features.inputs) == {"n": "FP64", "flag": "FP64", "other": "INT64"}
    made = features.transform({"n": [None, 7], "flag": [False, None], "other": [4, 5]})
    np.testing.assert_array_equal(made, [[2, 0, 4], [7, 2 / 3, 5]])


def test_datatypes_of_inputs_can_be_given() -> None:
    frame = {"n": [1, 2, 3], "m": [1.0, 2.0, 3.0]}
    features = t.Features([t.Impute("n"), t.Select("m")])
    features.fit(frame, datatypes={"n": "INT32", "m": "FP32"})
    assert dict(features.inputs) == {"n": "INT32", "m": "FP32"}
    for given, said in (({"o": "FP64"}, "names 'o'"), ({"n": "FLOAT"}, "expected one of BOOL")):
        with pytest.raises(InputError, match=said):
            features.fit(frame, datatypes=given)


def test_a_misspelt_column_is_told_with_the_nearest_one_and_those_of_the_frame() -> None:
    frame = {"temperature": [1.0, 2.0], "city": ["a", "b"], "x": [1, 2]}
    with pytest.raises(
        TransformError, match=r"did you mean 'temperature'\? There are 'temperature', 'city', 'x'"
    ):
        t.Features([t.Impute("temprature")]).fit(frame)


def test_strings_are_what_a_server_takes_them_for() -> None:
    knew_missing = t.Features([t.OneHot("s")]).fit({"s": ["a", None]})
    np.testing.assert_array_equal(knew_missing.transform({"s": ["", None]}), [[0, 1], [0, 1]])
    np.testing.assert_array_equal(knew_missing.transform({"s": ["", None]}, as_sent=False), [[0, 0], [0, 1]])
    knew_empty = t.Features([t.OneHot("s")]).fit({"s": ["a", ""]})
    np.testing.assert_array_equal(knew_empty.transform({"s": ["", None]}), [[1, 0], [1, 0]])


def test_features_that_have_run_can_be_pickled_and_copied() -> None:
    features = delay_features().fit(FLIGHTS)
    made = features.transform(FLIGHTS)
    for again in (pickle.loads(pickle.dumps(features)), copy.deepcopy(features)):
        np.testing.assert_array_equal(again.transform(FLIGHTS), made)


@pytest.mark.parametrize(
    "transform",
    [
        t.Cyclic(["h", "h_sin"], 24),
        t.MissingIndicator(["h", "h_missing"], features="all"),
        t.OneHot(["h", "h=1"]),
    ],
)
def test_an_output_with_the_name_of_a_column_of_its_transform_is_refused(
    transform: t.Transform,
) -> None:
    frame = {name: [1, 2, 3] for name in transform.columns}
    with pytest.raises(TransformError, match="has the name of another of its columns"):
        t.Features([transform]).fit(frame)


def test_what_a_document_asks_for_is_bounded() -> None:
    with pytest.raises(TransformError, match="has 5,000 characters; at most 4,096"):
        t.Select("x" * 5000)
    columns = [f"c{index}" for index in range(20)]
    wide = t.Features([t.Hash(columns, 65536)])
    with pytest.raises(TransformError, match="more than 1,048,576 columns"):
        wide.fit({name: ["a", "b"] for name in columns})


def test_a_list_of_thousands_is_fitted_and_loaded_in_a_moment() -> None:
    names = [f"x{index}" for index in range(3000)]
    frame = {name: np.arange(3.0) for name in names}
    began = time.process_time()
    features = t.Features([t.Standardize(name) for name in names]).fit(frame)
    again = t.Features.from_saved(features.document(), features.arrays())
    np.testing.assert_array_equal(again.transform(frame), features.transform(frame))
    assert time.process_time() - began < 10.0
