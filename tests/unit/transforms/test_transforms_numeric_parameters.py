"""Transforms of numbers refuse parameters, columns and rows that make no sense, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from penstock import transforms as t
from penstock.errors import InputError, TransformError

NAN, INF = float("nan"), float("inf")
XY, PLACES = ["x", "y"], ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: t.MinMax("x", (1, 1)),
            r"min_max: column 'x': feature_range is \(1, 1\), which is one number",
        ),
        (lambda: t.MinMax("x", (1, 0)), "expected the smaller number first"),
        (lambda: t.MinMax("x", (0, INF)), "expected a finite number"),
        (lambda: t.MinMax("x", 5), "feature_range is 5, expected two numbers"),
        (lambda: t.MinMax("x", clip=1), "clip is 1, expected True or False"),
        (lambda: t.MaxAbs("x", clip=None), "max_abs: column 'x': clip is None"),
        (lambda: t.Robust("x", quantile_range=(75, 25)), "robust: column 'x': .*the smaller number first"),
        (lambda: t.Robust("x", quantile_range=(-1, 50)), "expected two percentages"),
        (lambda: t.Robust("x", quantile_range=(50, 50)), "expected two percentages"),
        (
            lambda: t.Robust("x", quantile_range=(0, 50), unit_variance=True),
            "unit_variance needs both above 0",
        ),
        (lambda: t.Robust("x", with_scaling="no"), "with_scaling is 'no'"),
        (
            lambda: t.Quantile("x", "gaussian"),
            "quantile: column 'x': output is 'gaussian', expected uniform, normal",
        ),
        (lambda: t.Quantile("x", quantiles=0), "quantiles is 0, expected 1 to 100000"),
        (lambda: t.Quantile("x", quantiles=1.5), "quantiles is 1.5, expected a whole number"),
        (
            lambda: t.Power("x", "yeo"),
            "power: column 'x': method is 'yeo', expected yeo_johnson",
        ),
        (lambda: t.Power("x", standardize=0), "standardize is 0"),
        (lambda: t.Clip("x"), "clip: column 'x': neither lower nor upper is given"),
        (lambda: t.Clip("x", 2, 1), "lower is 2.0, above upper, 1.0"),
        (lambda: t.Clip("x", upper=NAN), "upper is nan, expected a finite number"),
        (lambda: t.Clip("x", "1"), "lower is '1', expected a number"),
        (
            lambda: t.Bucketize("x", [1, 0]),
            r"bucketize: column 'x': edges is \[1, 0\], expected numbers in ascending",
        ),
        (lambda: t.Bucketize("x", [0, NAN]), "edges is nan, expected a finite number"),
        (lambda: t.Bucketize("x", "012"), "edges is '012', expected a list of numbers"),
        (lambda: t.Bucketize(XY, {"x": [1]}), "column 'y': edges is None, expected a list"),
        (lambda: t.Bucketize("x", {"x": [1], "z": [2]}), "column 'z': edges are given for it"),
        (lambda: t.Bucketize("x", [1], bins=3), "bins and edges are given"),
        (lambda: t.Bucketize("x", bins=1), "bins is 1, expected 2 to 100000"),
        (lambda: t.Bucketize("x", strategy="kmeans"), "strategy is 'kmeans', expected quantile, uniform"),
        (lambda: t.Binarize("x", INF), "binarize: column 'x': threshold is inf"),
        (lambda: t.Binarize("x", True), "threshold is True, expected a number"),
        (lambda: t.Apply("x", "gamma"), "apply: column 'x': function is 'gamma', expected absolute, arccos"),
        (lambda: t.Apply("x", np.sqrt), "function is <ufunc 'sqrt'>, expected absolute"),
        (lambda: t.Arithmetic("x", "sum"), "arithmetic: column 'x': it takes at least 2 columns, got 1"),
        (lambda: t.Arithmetic(["x", "y", "z"], "ratio"), "it takes 2 columns, got 3"),
        (lambda: t.Arithmetic(XY, "power"), "operation is 'power', expected difference, ratio, sum, product"),
        (lambda: t.Arithmetic(XY, "sum", zero=1), "zero goes with operation='ratio'"),
        (lambda: t.Arithmetic(XY, "sum", name=""), "name is '', expected a name"),
        (lambda: t.Arithmetic(XY, "sum", keep=1), "keep is 1, expected True or False"),
        (lambda: t.Haversine(XY), "haversine: column 'x': it takes 4 columns, got 2"),
        (lambda: t.Haversine(PLACES, "ft"), "unit is 'ft', expected km, m, mi, nmi"),
        (lambda: t.Polynomial(XY, -1), "polynomial: column 'x': degree is -1, expected 0 to 64"),
        (lambda: t.Polynomial(XY, (3, 2)), r"degree is \(3, 2\), expected the lowest first"),
        (lambda: t.Polynomial(XY, (1, 2, 3)), "expected a number, or the lowest and the highest"),
        (lambda: t.Polynomial(XY, 0), "degree is 0, which leaves no term"),
        (
            lambda: t.Polynomial([f"c{i}" for i in range(60)], 9),
            "which makes more than 100000 terms of 60 columns",
        ),
        (lambda: t.Polynomial(XY, powers=[[1]]), r"powers holds \[1\], expected 2 exponents"),
        (lambda: t.Polynomial(XY, powers=[[1, 1], [1, 1]]), r"powers holds \[1, 1\] 2 times"),
        (lambda: t.Polynomial(XY, powers=[[60, 5]]), "of a degree above 64"),
        (lambda: t.Polynomial(XY, powers=[[0, -1]]), "powers is -1, expected 0 to 64"),
        (lambda: t.Polynomial(XY, powers=[]), "powers holds 0 terms"),
        (lambda: t.Polynomial(XY, 2, powers=[[1, 1]]), "powers names the terms"),
        (lambda: t.Normalize(XY, "l3"), "normalize: column 'x': norm is 'l3', expected l2, l1, max"),
        (lambda: t.Spline("x", 1), "spline: column 'x': knots is 1, expected 2 to 10000"),
        (lambda: t.Spline("x", [1.0]), "the number of knots is 1, expected 2"),
        (lambda: t.Spline("x", [1.0, 1.0]), "expected each number above the one before it"),
        (lambda: t.Spline("x", "uniform"), "knots is 'uniform', expected a list of numbers"),
        (lambda: t.Spline(XY, {"x": [0, 1], "y": [0, 1, 2]}), "the columns have 2 and 3 knots"),
        (lambda: t.Spline("x", degree=21), "degree is 21, expected 0 to 20"),
        (
            lambda: t.Spline("x", 3, 3, extrapolation="periodic"),
            "periodic splines need more than their degree",
        ),
        (lambda: t.Spline("x", 2, 0, include_bias=False), "leave no output"),
        (lambda: t.Spline("x", missing="error"), "missing is 'error', expected keep, zeros"),
        (lambda: t.Cast("x", "BYTES"), "cast: column 'x': datatype is 'BYTES', expected FP32, FP64, BOOL"),
        (
            lambda: t.MissingIndicator("x", features="some"),
            "missing_indicator: column 'x': features is 'some'",
        ),
        (lambda: t.MissingIndicator("x", missing_value=[1]), r"missing_value is \[1\], expected a number"),
        (lambda: t.Impute("x", missing_value=True), "impute: column 'x': missing_value is True"),
        (lambda: t.Impute("x", indicator="some"), "indicator is 'some', expected True, False or 'all'"),
    ],
)
def test_parameters_are_checked(make: Callable[[], t.Transform], said: str) -> None:
    with pytest.raises(TransformError, match=said):
        make()


LEARNING = [t.MinMax, t.MaxAbs, t.Robust, t.Quantile, t.Power, t.Bucketize, t.Spline]


@pytest.mark.parametrize("make", LEARNING)
def test_what_learns_from_values_refuses_columns_without_any_and_infinite_ones(
    make: Callable[..., t.Transform],
) -> None:
    for column, said in (([NAN, NAN], "it has no value"), ([1.0, -INF, NAN], "it has infinite values")):
        with pytest.raises(TransformError, match=f"{make('x').kind}: column 'x': {said}"):
            t.Features([make(["y", "x"])]).fit({"x": column, "y": [1.0, 2.0, 3.0][: len(column)]})


@pytest.mark.parametrize(
    "make", [*LEARNING, lambda c: t.Clip(c, 0), lambda c: t.Apply(c, "abs"), t.Normalize]
)
def test_text_is_refused(make: Callable[..., t.Transform]) -> None:
    with pytest.raises(TransformError, match=r"column 'x': it is text \(BYTES\), expected numbers"):
        t.Features([make("x")]).fit({"x": ["a", "b"]})


@pytest.mark.parametrize(
    ("transform", "column", "said"),
    [
        (t.MinMax("x"), [-1.7e308, 1.7e308], "min_max: column 'x': its values, .* are too far apart"),
        (t.Robust("x"), [-1.7e308, 1.7e308] * 4, "robust: column 'x': its values are too large"),
        (
            t.Quantile("x", quantiles=3),
            [-1.7e308, 1.7e308],
            "quantile: column 'x': its values are too far apart",
        ),
        (
            t.Bucketize("x", bins=3),
            [-1.7e308, 1.7e308],
            "bucketize: column 'x': its values, .* are too far apart",
        ),
        (t.Spline("x"), [-1.7e308, 1.7e308], "spline: column 'x': its knots are too far apart"),
        (t.Power("x", "box_cox"), [1.0, 0.0], "power: column 'x': it has 0.0; Box-Cox takes numbers above 0"),
        (t.Power("x", "box_cox"), [2.0, 2.0], "power: column 'x': it is constant"),
        (
            t.Impute("x", missing_value="-"),
            [1.0],
            "impute: column 'x': it is numbers, and missing_value is '-'",
        ),
        (t.Impute("x", "most_frequent", missing_value=-1), ["a"], "it is text, and missing_value is -1.0"),
        (t.Impute("x", missing_value=-1), [-1, -1], "impute: column 'x': it has no value, so no mean"),
        (t.MissingIndicator("x", missing_value=1), ["a"], "missing_indicator: column 'x': it is text"),
    ],
)
def test_columns_that_cannot_be_learned_from_are_refused(
    transform: t.Transform, column: Any, said: str
) -> None:
    with pytest.raises(TransformError, match=said):
        t.Features([transform]).fit({"x": column})


@pytest.mark.parametrize(
    ("transform", "rows", "said"),
    [
        (t.Cast("x", "INT8"), [0.0, 128.0], r"cast\(x\) refused row 1: 128"),
        (t.Cast("x", "INT8"), [0.0, -129.0], r"cast\(x\) refused row 1: -129"),
        (t.Cast("x", "UINT64"), [0.0, 2.0**64], "refused row 1: 18446744073709551616"),
        (t.Cast("x", "INT64"), [0.0, 2.0**63], "refused row 1: 9223372036854775808"),
        (t.Cast("x", "UINT8"), [0.0, -1.0], "refused row 1: -1"),
        (t.Cast("x", "INT32"), [0.0, NAN], "refused row 1: nan"),
        (t.Cast("x", "BOOL"), [0.0, NAN], "refused row 1: nan"),
        (t.Cast("x", "INT32"), [0.0, -INF], "refused row 1: -inf"),
        (t.Spline("x", [0.0, 1.0], extrapolation="error"), [0.5, 1.5], r"spline\(x\) refused row 1: 1.5"),
        (t.Spline("x", [0.0, 1.0], extrapolation="error"), [0.5, -INF], "refused row 1: -inf"),
        (
            t.MissingIndicator("x", new="error", keep=True),
            [0.5, NAN],
            r"missing_indicator\(x\) refused row 1: nan",
        ),
        (t.MissingIndicator("x", missing_value=-9, new="error", keep=True), [0.5, -9.0], "refused row 1: -9"),
    ],
)
def test_rows_are_refused_with_their_value(transform: t.Transform, rows: list[float], said: str) -> None:
    features = t.Features([transform]).fit({"x": [0.0, 1.0]})
    with pytest.raises(InputError, match=said):
        features.transform({"x": rows})
