"""Parameters that make no sense are refused at once, with the transform and the column."""

from __future__ import annotations

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
        (lambda: t.Impute("x", "mode"), "impute: column 'x': strategy is 'mode', expected mean, median"),
        (lambda: t.Impute("x", "constant"), "fill_value goes with strategy='constant'"),
        (lambda: t.Impute("x", "mean", fill_value=0), "fill_value goes with strategy='constant'"),
        (lambda: t.Impute("x", "constant", fill_value=NAN), "fill_value is NaN"),
        (lambda: t.Impute("x", "constant", fill_value=[1]), r"fill_value is \[1\]"),
        (lambda: t.Impute("x", indicator=1), "indicator is 1, expected True, False or 'all'"),
        (lambda: t.Standardize("x", with_mean=None), "standardize: column 'x': with_mean is None"),
        (lambda: t.Ordinal("x", unknown="ignore"), "ordinal: column 'x': unknown is 'ignore'"),
        (lambda: t.Ordinal("x", unknown="value"), "unknown_value goes with unknown='value'"),
        (lambda: t.Ordinal("x", unknown_value=-1), "unknown_value goes with unknown='value'"),
        (lambda: t.Ordinal("x", unknown="value", unknown_value="a"), "unknown_value is 'a'"),
        (lambda: t.Ordinal("x", missing_value=None), "missing_value is None"),
        (lambda: t.OneHot("x", unknown="value"), "one_hot: column 'x': unknown is 'value'"),
        (lambda: t.OneHot("x", drop="last"), "drop is 'last'"),
        (lambda: t.OneHot("x", categories="AA"), "categories is 'AA'; expected a list"),
        (lambda: t.OneHot(["x", "y"], categories=["AA"]), "one list for several columns"),
        (lambda: t.OneHot(["x", "y"], categories={"x": ["AA"]}), "column 'y': its categories are None"),
        (lambda: t.OneHot("x", categories={"y": []}), "column 'y': categories are given for it"),
        (lambda: t.OneHot("x", categories=[object]), "is no category"),
    ],
)
def test_parameters_are_checked(make: Callable[[], t.Transform], said: str) -> None:
    with pytest.raises(TransformError, match=said):
        make()


@pytest.mark.parametrize(
    ("transform", "column", "said"),
    [
        (t.Impute("x"), [NAN], "impute: column 'x': it has no value, so no mean"),
        (t.Impute("x"), ["a", None], "it is text, which has no mean; use most_frequent or constant"),
        (t.Impute("x", "median"), [-np.inf, np.inf], "its median is nan"),
        (t.Impute("x"), [1.0, np.inf], "its mean is inf"),
        (t.Impute("x", "constant", fill_value="a"), [1.0], "it is numbers, and fill_value is 'a'"),
        (t.Impute("x", "constant", fill_value=1), ["a"], "it is text, and fill_value is 1"),
        (t.Standardize("x"), [1.0, np.inf], "infinite values"),
        (t.Standardize("x"), [1e300, -1e300], "too large ones for a variance"),
        (t.Ordinal("x", categories=["a", "a"]), ["a"], "a category is given twice"),
        (t.Ordinal("x", categories=[None, NAN]), ["a"], "a category is given twice"),
        (t.Ordinal("x", categories=[1]), ["a"], "the category 1 is no text"),
        (t.Ordinal("x", categories=["a"]), [1], "the category 'a' does not occur in INT64"),
        (t.Ordinal("x", categories=[0.5]), [1], "the category 0.5 does not occur in INT64"),
        (t.Ordinal("x", categories=[np.inf]), [1], "the category inf does not occur in INT64"),
        (t.Ordinal("x", categories=[None, 1]), [1], "INT64 knows no missing value"),
        (t.Ordinal("x", categories=[2**64]), [1], "the category 18446744073709551616 does not fit INT64"),
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
