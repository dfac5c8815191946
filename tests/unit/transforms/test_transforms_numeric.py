"""Transforms of numbers: what they name, compute and learn, beside scikit-learn where it has the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import PowerTransformer, QuantileTransformer, SplineTransformer

from penstock import transforms as t
from penstock.errors import InputError, TransformError
from penstock.transforms.brent import minimize

Array = np.ndarray[Any, Any]
NAN, INF = float("nan"), float("inf")
XY, PLACES = ["x", "y"], ["a", "b", "c", "d"]


def test_the_refusal_of_several_columns_shows_the_column_that_is_refused() -> None:
    features = t.Features([t.Cast(XY, "INT8")]).fit({"x": [1.0], "y": [2.0]})
    with pytest.raises(InputError, match=r"cast\(y\) refused row 0: 300"):
        features.transform({"x": [1.0], "y": [300.0]})
    texts = t.Features([t.MissingIndicator(XY, new="error", keep=True), t.OneHot(XY)])
    texts.fit({"x": ["a"], "y": ["b"]})
    with pytest.raises(InputError, match=r"missing_indicator\(y\) refused row 0: a missing value"):
        texts.transform({"x": ["a"], "y": [None]})


@pytest.mark.parametrize("source", ["int64", "uint64"])
def test_integers_of_64_bits_are_cast_exactly(source: str) -> None:
    values = np.array([0, 2**53 + 1, 2**63 - 1], source)
    target = "UINT64" if source == "int64" else "INT64"
    features = t.Features([t.Cast("x", target), t.Ordinal("x")])
    if target == "UINT64":  # which Ordinal takes up to 2**63 - 1
        assert_array_equal(features.fit_transform({"x": values})[:, 0], [0, 1, 2])
        with pytest.raises(InputError, match=r"cast\(x\) refused row 1: -1"):
            features.transform({"x": np.array([0, -1])})
        return
    assert_array_equal(features.fit_transform({"x": values})[:, 0], [0, 1, 2])
    with pytest.raises(InputError, match=r"cast\(x\) refused row 0: 9223372036854775808"):
        features.transform({"x": np.array([2**63], np.uint64)})


def test_a_cast_column_is_one_of_integers_for_what_follows() -> None:
    made = t.Features([t.Cast("x", "INT32"), t.OneHot("x")]).fit({"x": [1.5, 7.0, -0.5]})
    assert made.output_names == ["x=0", "x=1", "x=7"]
    flags = t.Features([t.Cast("x", "BOOL")]).fit({"x": [0.0, 1.0]})
    assert_array_equal(flags.transform({"x": [0.0, -0.0, 0.25, -3.0, INF]})[:, 0], [0, 0, 1, 1, 1])


def test_outputs_are_named_after_what_they_are() -> None:
    frame = {"a": [1.0, 2], "b": [3.0, 5], "c": [1.0, 1], "d": [0.0, 4]}

    def names(*transforms: t.Transform) -> list[str]:
        return t.Features(transforms).fit(frame).output_names

    assert names(t.Arithmetic(["a", "b"], "ratio")) == ["a/b"]
    assert names(t.Arithmetic(["a", "b", "c"], "sum", name="total"), t.Select("d")) == ["total", "d"]
    assert names(t.Select("d"), t.Arithmetic(["a", "b"], "difference", keep=True)) == ["d", "a", "a-b", "b"]
    assert names(t.Haversine(PLACES, "mi")) == ["distance_mi"]
    assert names(t.Polynomial(["a", "b"], include_bias=True)) == ["1", "a", "b", "a^2", "a*b", "b^2"]
    assert names(t.Polynomial(["a", "b", "c"], (2, 3), interaction_only=True)) == [
        "a*b",
        "a*c",
        "b*c",
        "a*b*c",
    ]
    assert names(t.Spline("a", 2, 1)) == ["a_spline0", "a_spline1"]
    assert names(t.MissingIndicator(["a", "b"], features="all", keep=True)) == [
        "a",
        "a_missing",
        "b",
        "b_missing",
    ]


def test_names_that_are_taken_are_refused() -> None:
    with pytest.raises(TransformError, match="its output 'c' has the name of another column"):
        t.Features([t.Arithmetic(["a", "b"], "sum", name="c"), t.Select("c")]).fit(
            {"a": [1], "b": [2], "c": [3]}
        )


def test_columns_that_became_one_are_gone() -> None:
    features = t.Features([t.Arithmetic(XY, "sum"), t.Clip("y", 0)])
    with pytest.raises(TransformError, match="clip: column 'y': an earlier transform made nothing of it"):
        features.fit({"x": [1.0], "y": [2.0]})


def test_joined_transforms_compute_on_what_comes_before_them() -> None:
    frame = {"x": np.array([1.0, 2.0, 4.0]), "y": np.array([5, 0, 2])}
    transforms = [
        t.MinMax("x"),
        t.Arithmetic(XY, "ratio", zero=NAN),
        t.Clip("x/y", upper=0.4),
        t.Apply("x/y", "sqrt"),
    ]
    made = t.Features(transforms).fit_transform(frame)
    assert_allclose(made[:, 0], [0.0, NAN, np.sqrt(0.4)])


def test_distances_are_those_of_places_that_are_known() -> None:
    berlin, paris = (52.5163, 13.3777), (48.8738, 2.295)
    frame = dict(zip(PLACES, [[value] for value in (*berlin, *paris)], strict=True))
    kilometers = t.Features([t.Haversine(PLACES)]).fit_transform(frame)[0, 0]
    assert kilometers == pytest.approx(878.0, abs=3)  # 877.5 on the ellipsoid
    for unit, meters in (("m", 1), ("mi", 1609.344), ("nmi", 1852)):
        made = t.Features([t.Haversine(PLACES, unit)]).fit_transform(frame)[0, 0]
        assert made == pytest.approx(kilometers * 1000 / meters)
    poles = {"a": [90.0], "b": [0.0], "c": [-90.0], "d": [77.0]}
    assert t.Features([t.Haversine(PLACES)]).fit_transform(poles)[0, 0] == pytest.approx(20015.1, abs=0.1)


def test_a_missing_or_infinite_value_makes_a_normalized_row_what_is_said() -> None:
    made = t.Features([t.Normalize(XY, "l1")]).fit({"x": [1.0], "y": [1.0]})
    rows = made.transform({"x": [1.0, NAN, INF, 0.0], "y": [3.0, 1.0, -2.0, 0.0]})
    assert_array_equal(rows, [[0.25, 0.75], [NAN, NAN], [NAN, -0.0], [0.0, 0.0]])


@pytest.mark.parametrize(("dtype", "least"), [(np.float64, 2.3e-15), (np.float32, 1.2e-6)])
def test_a_norm_of_no_more_than_rounding_leaves_the_row_as_it_is(dtype: Any, least: float) -> None:
    features = t.Features([t.Normalize(XY, "max")]).fit({name: np.ones(1, dtype) for name in XY})
    x, y = np.array([[least, 0.9 * least], [0.0, 0.0]], dtype)
    assert_array_equal(features.transform({"x": x, "y": y}), [[1.0, 0.0], [x[1], 0.0]])


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 300])
def test_blocks_of_many_columns_are_right_in_every_batch(count: int) -> None:
    rng = np.random.default_rng(count)
    frame = {name: rng.normal(0, 1, count) for name in ("x", "y", "z")}
    transforms = [t.Polynomial(["x", "y", "z"], 3), t.Normalize(["x", "y", "z", "x*y"])]
    features = t.Features(transforms).fit(frame)
    whole = features.transform(frame)
    assert_array_equal(features.transform(frame, "FP32"), whole.astype(np.float32))
    for row in {0, count // 2, count - 1}:
        alone = features.transform({name: column[row : row + 1] for name, column in frame.items()})
        assert alone.tobytes() == whole[row : row + 1].tobytes()


def saved_with(transform: t.Transform, frame: dict[str, Array], arrays: dict[str, Array]) -> t.Features:
    """The features of the transform fitted on the frame, but with other arrays."""
    features = t.Features([transform]).fit(frame)
    document = json.loads(json.dumps(features.document()))
    return t.Features.from_saved(document, {f"0.{name}": array for name, array in arrays.items()})


@given(st.integers(0, 2**32 - 1), st.integers(2, 400), st.sampled_from(["yeo_johnson", "box_cox"]))
@settings(deadline=None, max_examples=60)
def test_powers_that_scikit_learn_found_give_its_results(seed: int, rows: int, method: Any) -> None:
    rng = np.random.default_rng(seed)
    columns = np.column_stack([rng.lognormal(0, 1, rows), rng.gamma(2, 30, rows)])
    other = PowerTransformer(method.replace("_", "-")).fit(columns)
    scaler = other._scaler
    arrays = {"lambda": other.lambdas_, "mean": scaler.mean_, "scale": scaler.scale_}
    features = saved_with(t.Power(XY, method), dict(zip(XY, columns.T, strict=True)), arrays)
    fresh = np.column_stack([rng.lognormal(0, 2, 50), rng.gamma(2, 90, 50)])
    made = features.transform(dict(zip(XY, fresh.T, strict=True)))
    # What is near zero is the difference of a power and its mean.
    assert_allclose(made, other.transform(fresh), rtol=1e-10, atol=1e-10)


@given(st.integers(0, 2**32 - 1), st.integers(20, 400), st.sampled_from(["yeo_johnson", "box_cox"]))
@settings(deadline=None, max_examples=60)
def test_powers_are_those_that_scikit_learn_finds(seed: int, rows: int, method: Any) -> None:
    rng = np.random.default_rng(seed)
    column = rng.lognormal(rng.normal(), rng.uniform(0.2, 1.5), rows)
    power = t.Features([t.Power("x", method)]).fit({"x": column})
    other = PowerTransformer(method.replace("_", "-")).fit(column[:, None])
    assert power.arrays()["0.lambda"][0] == pytest.approx(other.lambdas_[0], abs=1e-6)
    assert_allclose(power.transform({"x": column}), other.transform(column[:, None]), atol=1e-6, rtol=1e-6)


def test_powers_below_zero_and_at_it_are_what_the_formula_gives() -> None:
    column = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    box_cox = t.Features([t.Power("x", "box_cox", standardize=False)]).fit({"x": column})
    power = box_cox.arrays()["0.lambda"][0]
    assert power == pytest.approx(0.0, abs=1e-6)  # the logarithms are evenly spaced
    made = box_cox.transform({"x": [-1.0, NAN, 1.0, INF]})[:, 0]
    assert_array_equal(np.isnan(made), [True, True, False, False])
    yeo_johnson = t.Features([t.Power("x", standardize=False)]).fit({"x": [3.0, 3.0, 3.0]})
    assert_allclose(yeo_johnson.transform({"x": [-2.0, 0.0, 3.0, INF]})[:, 0], [-2.0, 0.0, 3.0, INF])


@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(1, 50))
@settings(deadline=None, max_examples=40)
def test_quantiles_are_those_that_scikit_learn_finds(seed: int, rows: int, quantiles: int) -> None:
    rng = np.random.default_rng(seed)
    column = np.where(rng.random(rows) < 0.1, NAN, rng.normal(0, 1, rows))
    column[0] = 1.0
    other = QuantileTransformer(n_quantiles=min(quantiles, rows)).fit(column[:, None])
    features = t.Features([t.Quantile("x", quantiles=quantiles)]).fit({"x": column})
    assert_array_equal(features.arrays()["0.quantiles"], other.quantiles_.T.ravel())


@pytest.mark.parametrize("extrapolation", ["constant", "linear", "continue", "periodic"])
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_knots_are_those_that_scikit_learn_finds(extrapolation: Any, strategy: Any) -> None:
    columns = np.random.default_rng(5).lognormal(0, 1, (50, 2))
    other = SplineTransformer(6, 3, knots=strategy, extrapolation=extrapolation).fit(columns)
    spline = t.Spline(XY, 6, 3, strategy=strategy, extrapolation=extrapolation)
    features = t.Features([spline]).fit(dict(zip(XY, columns.T, strict=True)))
    knots = np.concatenate([each.t for each in other.bsplines_])
    assert_array_equal(features.arrays()["0.knots"], knots)


@pytest.mark.parametrize("extrapolation", ["constant", "linear", "continue", "periodic"])
def test_splines_of_missing_and_infinite_values(extrapolation: Any) -> None:
    kept = t.Features([t.Spline("x", 3, 2, extrapolation=extrapolation)]).fit({"x": [0.0, 1.0]})
    assert np.isnan(kept.transform({"x": [NAN]})).all()
    zeros = t.Features([t.Spline("x", 3, 2, extrapolation=extrapolation, missing="zeros")])
    assert_array_equal(
        zeros.fit({"x": [0.0, NAN, 1.0]}).transform({"x": [NAN]}), np.zeros((1, zeros_of(extrapolation)))
    )
    beyond = kept.transform({"x": [INF, 1.0, -INF, 0.0]})
    if extrapolation == "constant":
        assert_array_equal(beyond[0], beyond[1])
        assert_array_equal(beyond[2], beyond[3])
    elif extrapolation == "linear":
        assert_array_equal(beyond[0], [0.0, 0.0, -INF, INF])
    else:
        assert not np.isfinite(beyond[0]).all()


def zeros_of(extrapolation: str) -> int:
    return 2 if extrapolation == "periodic" else 4


def test_the_sum_of_splines_is_one_inside_and_of_constant_ones_everywhere() -> None:
    features = t.Features([t.Spline("x", [0.0, 0.1, 5.0, 7.0], 3)]).fit({"x": [0.0]})
    made = features.transform({"x": np.linspace(-10, 20, 301)})
    assert_allclose(made.sum(axis=1), 1.0)
    assert (made >= 0).all()


@pytest.mark.parametrize(
    "function", [np.cos, lambda x: (x - 0.3) ** 2, lambda x: np.inf if x < 1 else (x - 2.5) ** 4]
)
def test_the_minimum_is_found(function: Callable[[float], float]) -> None:
    found = minimize(function, -1.0, 6.0, 1e-9)
    around = [function(found + step) for step in (-0.02, 0.02)]
    assert function(found) <= min(around)
    assert found == pytest.approx({np.cos: np.pi}.get(function, found), abs=1e-6)


def test_a_value_that_means_missing_is_filled_flagged_and_not_counted() -> None:
    frame = {"x": np.array([-999, 1, 3, -999]), "y": ["?", None, "b", "b"]}
    features = t.Features(
        [
            t.Impute("x", "mean", missing_value=-999, indicator=True),
            t.Impute("y", "most_frequent", missing_value="?", indicator=True),
            t.OneHot("y"),
        ]
    ).fit(frame)
    assert features.output_names == ["x", "x_missing", "y=b", "y_missing"]
    expected = [[2, 1, 1, 1], [1, 0, 1, 1], [3, 0, 1, 0], [2, 1, 1, 0]]
    assert_array_equal(features.transform(frame), expected)
    assert features.strings["y"].missing


def test_an_indicator_of_all_columns_stands_behind_each() -> None:
    frame = {"x": [1.0, 2.0], "y": [3, 4]}
    features = t.Features([t.Impute(XY, "median", indicator="all")]).fit(frame)
    assert features.output_names == ["x", "x_missing", "y", "y_missing"]
    assert_array_equal(features.transform({"x": [NAN], "y": [9]}), [[1.5, 1, 9, 0]])


@pytest.mark.parametrize("values", [[1e300, 1e300, -3e299, 0.0], [1e200, 2e200, 3e200]])
def test_values_too_large_for_a_variance_are_refused_by_name(values: list[float]) -> None:
    with pytest.raises(TransformError, match="standardize: column 'y': its values are too large"):
        t.Features([t.Standardize(XY)]).fit({"x": [1.0] * len(values), "y": values})


def test_a_constant_column_of_any_size_keeps_its_scale() -> None:
    features = t.Features([t.Standardize("x")]).fit({"x": [1e300, 1e300]})
    assert_array_equal(features.transform({"x": [1e300, 0.0]})[:, 0], [0.0, -1e300])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([("float32", 1.0)], 5.19933758),  # 1e-7 counts
        ([("float32", 6.0)], 1.46523379),  # 6 + 1e-7 is 6 in single precision
        ([("float64", 6.0)], 5.19933758),
        ([("float32", 6.0), ("float64", 6.0)], 5.19933758),  # together they are in double precision
        ([("float64", 6e12)], 1.46523379),
    ],
)
def test_ties_at_the_end_are_the_end_where_the_margin_can_be_told(
    columns: list[tuple[str, float]], expected: float
) -> None:
    ranks = np.array([0.5, 0.5, 0.5, 0.6, 0.7, 1.0, 1.0, 1.0])
    frame = {f"x{index}": (ranks * scale).astype(dtype) for index, (dtype, scale) in enumerate(columns)}
    features = t.Features([t.Quantile(list(frame), "normal", quantiles=8)])
    made = features.fit_transform(frame)
    assert_allclose(made[-3:], expected)
    other = QuantileTransformer(n_quantiles=8, output_distribution="normal")
    matrix = np.column_stack(list(frame.values()))
    assert_allclose(made, other.fit_transform(matrix), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("extrapolation", "expected"), [("constant", [0.0, 0.0, 0.0, 0.0]), ("linear", [0.0, 1.5, 0.0, 0.0])]
)
def test_beyond_repeated_knots_only_the_outermost_splines_go_on(
    extrapolation: Any, expected: list[float]
) -> None:
    spline = t.Spline("x", 4, 1, strategy="quantile", extrapolation=extrapolation)
    features = t.Features([spline]).fit({"x": [0.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert_allclose(features.transform({"x": [-1.0]})[0], expected)


def test_a_constant_column_is_scaled_to_what_is_said() -> None:
    frame = {"x": [5.0, 5.0, NAN]}
    assert_array_equal(t.Features([t.MinMax("x", (2, 3))]).fit_transform(frame)[:, 0], [2, 2, NAN])
    assert_array_equal(t.Features([t.Robust("x")]).fit_transform(frame)[:, 0], [0, 0, NAN])
    assert_array_equal(t.Features([t.Bucketize("x")]).fit_transform(frame)[:, 0], [0, 0, NAN])
    assert_array_equal(t.Features([t.MaxAbs("x")]).fit_transform({"x": [0.0, 0.0]})[:, 0], [0, 0])


@pytest.mark.parametrize(
    "transform", [t.Clip("x", 0, 5), t.Bucketize("x", {"x": [1.5, 2]}), t.Polynomial(XY, 3)]
)
def test_a_transform_shows_how_to_make_it_again(transform: t.Transform) -> None:
    again = eval(repr(transform), {type(transform).__name__: type(transform)})
    assert repr(again) == repr(transform)
