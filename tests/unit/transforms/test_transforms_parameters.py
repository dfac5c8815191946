"""Parameters that make no sense are refused at once, with the transform and the column."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from penstock import transforms as t
from penstock.errors import InputError, TransformError

NAN = float("nan")


@pytest.mark.parametrize("make", [t.Select, t.Log1p, t.Impute, t.Standardize, t.Ordinal, t.OneHot])
def test_columns_are_a_name_or_distinct_names(make: Callable[..., t.Transform]) -> None:
    assert make("x").columns == ("x",)
    assert make(["x", "y"]).columns == ("x", "y")
    for columns in ([], "", [""], [1], None, ["x", None]):
        with pytest.raises(TransformError, match="expected a name or a list of names"):
            make(columns)
    with pytest.raises(TransformError, match=f"{make('x').kind}: column 'x': it is named twice"):
        make(["x", "y", "x"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: t.Cyclic("x", 0), "cyclic: column 'x': period is 0, expected more than 0"),
        (lambda: t.Cyclic("x", NAN), "cyclic: column 'x': period is nan"),
        (lambda: t.Cyclic("x", "24"), "cyclic: column 'x': period is '24', expected a number"),
        (lambda: t.Cyclic("x", True), "period is True"),
        (lambda: t.Cyclic("x", 10**400), "cyclic: column 'x': period is beyond double precision"),
        (lambda: t.Impute("x", "mode"), "impute: column 'x': strategy is 'mode', expected mean, median"),
        (lambda: t.Impute("x", "constant"), "fill_value goes with strategy='constant'"),
        (lambda: t.Impute("x", "mean", fill_value=0), "fill_value goes with strategy='constant'"),
        (lambda: t.Impute("x", "constant", fill_value=NAN), "fill_value is nan"),
        (lambda: t.Impute("x", "constant", fill_value=10**400), "impute: column 'x': fill_value is beyond"),
        (lambda: t.Impute("x", missing_value=-(10**400)), "impute: column 'x': missing_value is beyond"),
        (lambda: t.Impute("x", "constant", fill_value=[1]), r"fill_value is \[1\]"),
        (lambda: t.Impute("x", indicator=1), "indicator is 1, expected True, False or 'all'"),
        (lambda: t.Standardize("x", with_mean=None), "standardize: column 'x': with_mean is None"),
        (lambda: t.Ordinal("x", unknown="ignore"), "ordinal: column 'x': unknown is 'ignore'"),
        (lambda: t.Ordinal("x", unknown="value"), "unknown_value goes with unknown='value'"),
        (lambda: t.Ordinal("x", unknown_value=-1), "unknown_value goes with unknown='value'"),
        (lambda: t.Ordinal("x", unknown="value", unknown_value="a"), "unknown_value is 'a'"),
        (lambda: t.Ordinal("x", missing_value=None), "missing_value is None"),
        (
            lambda: t.Ordinal("x", unknown="value", unknown_value=10**400),
            "ordinal: column 'x': unknown_value is beyond double precision",
        ),
        (
            lambda: t.OneHot("x", unknown="value"),
            "one_hot: column 'x': unknown is 'value', expected ignore, error",
        ),
        (lambda: t.OneHot("x", drop="last"), "drop is 'last'"),
        (lambda: t.OneHot("x", categories="AA"), "one_hot: column 'x': categories is 'AA'; expected a list"),
        (
            lambda: t.OneHot(["x", "y"], categories=["AA"]),
            "column 'x': categories is one list for several columns",
        ),
        (lambda: t.OneHot(["x", "y"], categories={"x": ["AA"]}), "column 'y': its categories are None"),
        (lambda: t.OneHot("x", categories={"y": []}), "column 'y': categories are given for it"),
        (lambda: t.OneHot("x", categories=[object]), "is no category"),
        (lambda: t.Select("x", only=1), "select: column 'x': only is 1, expected True or False"),
        (lambda: t.Select("x", only=True, names=[""]), r"select: column 'x': names is \[''\]"),
        (
            lambda: t.Select(["x", "y"], only=True, names=["z", "z"]),
            "select: column 'x': names has 'z' twice",
        ),
        (lambda: t.Haversine(["x", "y", "z", "u"], keep=1), "haversine: column 'x': keep is 1"),
        (lambda: t.Custom("x", plus, name=1), "custom: column 'x': name is 1"),
        (lambda: t.Custom("x", plus, outputs=[]), r"custom: column 'x': outputs is \[\]"),
        (lambda: t.Custom("x", plus, "x", keep=True), "custom: column 'x': the output 'x' is there already"),
        (
            lambda: t.Custom("x", t.Custom("x", plus).parameters()["function"], helpers=[plus]),
            "custom: column 'x': helpers are a part of the function",
        ),
    ],
)
def test_parameters_are_checked(make: Callable[[], t.Transform], said: str) -> None:
    with pytest.raises(TransformError, match=said):
        make()


def plus(x: float) -> float:
    return x + 1.0


@pytest.mark.parametrize(
    ("of_numpy", "of_python"),
    [
        (t.Cyclic("x", np.int64(24)), t.Cyclic("x", 24)),
        (t.Impute("x", "constant", fill_value=np.float32(0.5)), t.Impute("x", "constant", fill_value=0.5)),
        (t.Impute("x", np.str_("median")), t.Impute("x", "median")),
        (
            t.Ordinal("x", unknown="value", unknown_value=np.int64(-1), missing_value=np.float32(-2)),
            t.Ordinal("x", unknown="value", unknown_value=-1, missing_value=-2),
        ),
        (t.OneHot("x", min_frequency=np.int32(2)), t.OneHot("x", min_frequency=2)),
        (t.OneHot("x", min_frequency=np.float32(0.5)), t.OneHot("x", min_frequency=0.5)),
        (
            t.TextHash("x", np.int64(16), ngram_range=(np.int64(1), np.int64(2))),
            t.TextHash("x", 16, ngram_range=(1, 2)),
        ),
        (
            t.TfIdf("x", min_df=np.int64(2), max_df=np.float32(0.5), max_features=np.int16(9)),
            t.TfIdf("x", min_df=2, max_df=0.5, max_features=9),
        ),
    ],
)
def test_parameters_may_be_numpy_scalars(of_numpy: t.Transform, of_python: t.Transform) -> None:
    assert repr(of_numpy) == repr(of_python)
    assert json.dumps(of_numpy.parameters()) == json.dumps(of_python.parameters())


@pytest.mark.parametrize(
    ("transform", "column", "said"),
    [
        (t.Impute("x"), [NAN], "impute: column 'x': it has no value, so no mean"),
        (t.Impute("x"), ["a", None], "it is text, which has no mean; use most_frequent or constant"),
        (t.Impute("x", "median"), [-np.inf, np.inf], "its median is nan"),
        (t.Impute("x"), [1.0, np.inf], "its mean is inf"),
        (t.Impute("x", "constant", fill_value="a"), [1.0], "it is numbers, and fill_value is 'a'"),
        (t.Impute("x", "constant", fill_value=1), ["a"], "it is text, and fill_value is 1"),
        (t.Standardize("x"), [NAN], "standardize: column 'x': it has no value, so there is nothing to learn"),
        (t.Standardize("x"), [1.0, np.inf], "it has infinite values; clip them"),
        (t.Standardize("x"), [1e300, -1e300], "its values are too large for a variance"),
        (t.Ordinal("x", categories=["a", "a"]), ["a"], "a category is given twice"),
        (t.Ordinal("x", categories=[None, NAN]), ["a"], "a category is given twice"),
        (t.Ordinal("x", categories=[1]), ["a"], "the category 1 is no text"),
        (t.Ordinal("x", categories=["a"]), [1], "the category 'a' does not occur in INT64"),
        (t.Ordinal("x", categories=[0.5]), [1], "the category 0.5 does not occur in INT64"),
        (t.Ordinal("x", categories=[np.inf]), [1], "the category inf does not occur in INT64"),
        (t.Ordinal("x", categories=[None, 1]), [1], "INT64 knows no missing value"),
        (t.Ordinal("x", categories=[2**64]), [1], "the category 18446744073709551616 does not fit INT64"),
        (t.Ordinal("x", categories=[10**400]), [1.0], "the category 10* does not fit FP64"),
        (
            t.Ordinal("x", categories=[-(10**400)]),
            np.ones(1, np.float32),
            "the category -10* does not fit FP32",
        ),
        (t.Ordinal("x"), np.array([2**63], np.uint64), "does not fit INT64"),
        (t.Ordinal("x"), [b"\xff"], "is not valid UTF-8"),
        (t.OneHot("x"), ["\ud800"], "is not valid UTF-8"),
        (
            t.Ordinal("x", unknown="value", unknown_value=1),
            ["a", "b"],
            "unknown_value 1 is the index of a category",
        ),
        (t.Ordinal("x", missing_value=0), ["a", None], "missing_value 0 is the index of a category"),
    ],
)
def test_columns_that_cannot_be_learned_from_are_refused(
    transform: t.Transform, column: Any, said: str
) -> None:
    with pytest.raises(TransformError, match=f"{transform.kind}: column 'x': .*{said}|{said}"):
        t.Features([transform]).fit({"x": column})


def test_given_categories_keep_their_order_and_may_hold_missing() -> None:
    features = t.Features([t.OneHot("x", categories=["UA", None, "AA"])]).fit({"x": ["AA", "B6"]})
    assert features.output_names == ["x=UA", "x=AA", "x_missing"]
    np.testing.assert_array_equal(
        features.transform({"x": [None, "UA", "B6"]}), [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    )
    several = t.Ordinal(
        ["x", "y"], categories={"x": [3, 1], "y": ["b", "a"]}, unknown="value", unknown_value=-1
    )
    made = t.Features([several]).fit_transform({"x": [1, 2, 3], "y": ["a", "b", "c"]})
    np.testing.assert_array_equal(made, [[1, 1], [-1, 0], [0, -1]])


def test_ordinal_makes_nan_of_missing_unless_told_otherwise() -> None:
    frame = {"x": ["a", None, "b"]}
    np.testing.assert_array_equal(t.Features([t.Ordinal("x")]).fit_transform(frame)[:, 0], [0, NAN, 1])
    told = t.Ordinal("x", missing_value=-5)
    np.testing.assert_array_equal(t.Features([told]).fit_transform(frame)[:, 0], [0, -5, 1])


def test_the_defaults_for_categories_are_scikit_learns_but_that_one_hot_ignores_unknown_values() -> None:
    rows = [["AA"], ["UA"], [NAN]]
    ordinal = t.Features([t.Ordinal("x")]).fit({"x": ["AA", "UA", None]})
    assert_array_equal(
        ordinal.transform({"x": ["UA", None]}), OrdinalEncoder().fit(rows).transform([["UA"], [NAN]])
    )
    with pytest.raises(InputError, match="row 0"):
        ordinal.transform({"x": ["B6"]})
    with pytest.raises(ValueError, match="unknown categories"):
        OrdinalEncoder().fit(rows).transform([["B6"]])

    one_hot = t.Features([t.OneHot("x")]).fit({"x": ["AA", "UA", None]})
    encoder = OneHotEncoder(sparse_output=False).fit(rows)
    assert_array_equal(one_hot.transform({"x": ["UA", None]}), encoder.transform([["UA"], [NAN]]))
    assert one_hot.output_names == ["x=AA", "x=UA", "x_missing"]
    assert encoder.get_feature_names_out(["x"]).tolist() == ["x_AA", "x_UA", "x_nan"]
    assert_array_equal(one_hot.transform({"x": ["B6"]}), [[0, 0, 0]])
    with pytest.raises(ValueError, match="unknown categories"):
        encoder.transform([["B6"]])


def test_a_constant_column_is_centred_and_keeps_its_scale() -> None:
    made = t.Features([t.Standardize("x")]).fit_transform({"x": [0.1] * 1000})
    assert np.abs(made).max() < 1e-15


def test_values_a_period_apart_are_the_same_point() -> None:
    features = t.Features([t.Cyclic("x", 24)]).fit({"x": [0.0]})
    made = features.transform({"x": [5.0, 29.0, 5.0 + 24.0 * 2**45]})
    assert (made == made[0]).all()
    np.testing.assert_array_equal(features.transform({"x": [0.0, 24.0]}), [[0.0, 1.0], [0.0, 1.0]])


def test_a_transform_shows_how_to_make_it_again() -> None:
    shown = repr(t.Impute("x", "constant", fill_value=1.5))
    assert (
        shown
        == "Impute(columns=('x',), strategy='constant', fill_value=1.5, missing_value=None, indicator=False)"
    )
