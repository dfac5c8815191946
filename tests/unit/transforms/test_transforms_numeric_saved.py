"""What a bundle holds of the transforms of numbers comes back as it was, or is refused where spoilt."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import transforms as t
from penstock.errors import InputError, TransformError

Array = np.ndarray[Any, Any]
ROWS = 40
RNG = np.random.default_rng(11)
FRAME: dict[str, Any] = {
    **{name: RNG.lognormal(0, 1, ROWS) for name in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")},
    "n": np.arange(ROWS) - 999,
    "text": ["?", "b", *["a"] * (ROWS - 2)],
}
FRAME["a"][3] = np.nan
NAN, INF = float("nan"), float("inf")
SMALL: dict[str, Any] = {
    "x": [1.0, 2.0, 2.0, 4.0],
    "n": np.array([3, 3, 4], np.int8),
    "flag": [True, True, False],
    "s": np.array([0.5, 0.5, 1.0], np.float32),
    "text": ["a", "a", None],
}


def fitted() -> t.Features:
    return t.Features(
        [
            t.MinMax(["a", "b"], clip=True),
            t.MaxAbs("c"),
            t.Robust(["d", "e"], unit_variance=True),
            t.Quantile(["f", "g"], "normal", quantiles=9),
            t.Power(["h", "i"]),
            t.Bucketize(["j", "a"], bins=4),
            t.Bucketize("b", [0.25, 0.5]),
            t.Spline(["k", "c"], 4, 2),
            t.Impute(["n", "d"], missing_value=-999, indicator="all"),
            t.MissingIndicator("text", missing_value="?", new="error"),
            t.Polynomial(["d", "e"], powers=[[2, 0], [1, 1]]),
            t.Arithmetic(["f", "g"], "ratio", zero=float("inf"), keep=True),
            t.Cast("n", "FP32"),
            t.Apply("h", "tanh"),
            t.Clip("i", -1.0),
            t.Normalize(["f", "g"]),
        ]
    ).fit(FRAME)


def through_a_file(features: t.Features) -> tuple[Any, dict[str, Array]]:
    document = json.loads(json.dumps(features.document(), allow_nan=False, sort_keys=True))
    return document, {name: array.copy() for name, array in features.arrays().items()}


def test_saved_features_come_back_as_they_were() -> None:
    features = fitted()
    document, arrays = through_a_file(features)
    again = t.Features.from_saved(document, arrays)
    assert again.output_names == features.output_names
    assert repr(again.transforms) == repr(features.transforms)
    assert again.transform(FRAME).tobytes() == features.transform(FRAME).tobytes()
    assert through_a_file(again)[0] == document
    assert again.arrays().keys() == arrays.keys()


def change_array(name: str, at: Any, to: Any) -> Callable[[Any, dict[str, Array]], None]:
    return lambda _, arrays: arrays[name].__setitem__(at, to)


def set_array(name: str, values: Any, dtype: Any) -> Callable[[Any, dict[str, Array]], None]:
    return lambda _, arrays: arrays.__setitem__(name, np.array(values, dtype))


def change(*path: Any, to: Any) -> Callable[[Any, dict[str, Array]], None]:
    def apply(document: Any, _: dict[str, Array]) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = to

    return apply


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (change_array("0.scale", 0, 0.0), r"saved transform 0 \(min_max\): the array 'scale' holds a number"),
        (change_array("0.scale", 1, np.inf), "'scale' holds NaN or infinity"),
        (change_array("0.offset", 1, np.nan), "'offset' holds NaN or infinity"),
        (set_array("0.offset", [0.0], np.float64), "'offset' has 1 elements, expected 2"),
        (change_array("1.scale", 0, -1.0), r"transform 1 \(max_abs\): the array 'scale' holds a number"),
        (change_array("2.scale", 0, -1.0), r"transform 2 \(robust\): the array 'scale' holds a number"),
        (set_array("2.center", [0, 0], np.float32), "'center' is float32"),
        (change_array("3.quantiles", 0, 99.0), "'quantiles' is not in ascending order"),
        (change_array("3.quantiles", 17, np.inf), "'quantiles' holds NaN or infinity"),
        (
            set_array("3.quantiles", [1.0], np.float64),
            "'quantiles' has 1 elements, expected 1 to 9 for each of 2",
        ),
        (set_array("3.quantiles", [], np.float64), "'quantiles' has 0 elements"),
        (set_array("3.quantiles", np.zeros(20), np.float64), "'quantiles' has 20 elements, expected 1 to 9"),
        (change_array("4.lambda", 0, np.nan), r"transform 4 \(power\): the array 'lambda' holds NaN"),
        (change_array("4.scale", 0, 0.0), r"transform 4 \(power\): the array 'scale' holds a number"),
        (lambda _, arrays: arrays.pop("4.mean"), "the array 'mean' is missing"),
        (change("transforms", 4, "parameters", "standardize", to=False), "'mean' is no part of it"),
        (change_array("5.edges", 0, 99.0), "'edges' is not in ascending order"),
        (change_array("5.offsets", 1, 99), "'offsets' does not divide the 6 elements of 'edges'"),
        (change_array("5.offsets", 0, 1), "'offsets' does not divide"),
        (set_array("5.offsets", [0, 5, 6], np.int64), "'edges' holds more than 3 of a column"),
        (set_array("5.offsets", [0, 4, 3], np.int64), "'offsets' does not divide"),
        (set_array("6.edges", [1.0], np.float64), r"transform 6 \(bucketize\): 'edges' is no part of it"),
        (change("transforms", 6, "parameters", "edges", to=[2, 1]), "expected numbers in ascending order"),
        (change_array("7.knots", 2, 99.0), "'knots' is not in ascending order"),
        (set_array("7.knots", np.zeros(15), np.float64), "'knots' has 15 elements, expected 16"),
        (change("transforms", 7, "parameters", "degree", to=3), "'knots' has 16 elements, expected 20"),
        (change("transforms", 7, "parameters", "degree", to=10**6), "degree is 1000000, expected 0 to 20"),
        (change("transforms", 8, "learned", to={"flagged": [True, False]}), "indicator is 'all'"),
        (
            change("transforms", 8, "parameters", "missing_value", to="?"),
            "it is numbers, and missing_value is",
        ),
        (change("transforms", 9, "parameters", "features", to="all"), None),
        (
            change("transforms", 9, "parameters", "missing_value", to=0),
            "it is text, and missing_value is 0.0",
        ),
        (change("transforms", 9, "learned", to={"flagged": [1]}), "expected 1 booleans"),
        (change("transforms", 10, "parameters", "powers", to=[[2, 0, 1]]), "expected 2 exponents"),
        (change("transforms", 11, "parameters", "zero", to={"float": "0"}), "is no parameter"),
    ],
)
def test_a_spoilt_state_is_refused_by_name(
    spoil: Callable[[Any, dict[str, Array]], Any], said: str | None
) -> None:
    document, arrays = through_a_file(fitted())
    spoil(document, arrays)
    if said is None:  # as it could have been fitted
        assert t.Features.from_saved(document, arrays).transform(FRAME).shape[0] == ROWS
        return
    with pytest.raises(TransformError, match=said):
        t.Features.from_saved(document, arrays)


@pytest.mark.parametrize(
    ("transform", "array", "forged", "said"),
    [
        (t.Impute("x"), "fill", [INF], "'fill' holds inf for column 'x', which is no mean"),
        (t.Impute("x", "median"), "fill", [-INF], "'fill' holds -inf for column 'x', which is no median"),
        (
            t.Impute("x", "constant", fill_value=7.0),
            "fill",
            [1.0],
            "'fill' holds 1.0 for column 'x', and fill_value is 7.0",
        ),
        (t.Impute("n", "most_frequent"), "fill", [0.5], "'fill' holds 0.5 for column 'n', which is INT8"),
        (t.Impute("n", "most_frequent"), "fill", [128], "'fill' holds 128.0 for column 'n', which is INT8"),
        (t.Impute("n", "most_frequent"), "fill", [INF], "'fill' holds inf for column 'n', which is INT8"),
        (t.Impute("flag", "most_frequent"), "fill", [2], "'fill' holds 2.0 for column 'flag', which is BOOL"),
        (t.Impute("s", "most_frequent"), "fill", [0.1], "'fill' holds 0.1 for column 's', which is FP32"),
        (
            t.Impute("x", "most_frequent", missing_value=-1),
            "fill",
            [-1],
            "'fill' holds -1.0 for column 'x', which means missing",
        ),
        (t.Standardize("x", with_mean=False), "mean", [5.0], "'mean' holds another number than 0"),
        (t.Standardize("x", with_std=False), "scale", [2.0], "'scale' holds another number than 1"),
        (t.Robust("x", with_centering=False), "center", [5.0], "'center' holds another number than 0"),
        (t.Robust("x", with_scaling=False), "scale", [2.0], "'scale' holds another number than 1"),
    ],
)
def test_a_state_that_the_parameters_rule_out_is_refused(
    transform: t.Transform, array: str, forged: list[float], said: str
) -> None:
    column = transform.columns[0]
    # A Copy reads the column first, so that integers are not taken for floats with gaps.
    features = t.Features([t.Copy(column, "copy"), transform]).fit({column: SMALL[column]})
    document, arrays = through_a_file(features)
    t.Features.from_saved(document, arrays)
    with pytest.raises(TransformError, match=f"the array {said}"):
        t.Features.from_saved(document, {**arrays, f"1.{array}": np.array(forged, np.float64)})


@pytest.mark.parametrize(
    ("transform", "text", "said"),
    [
        (
            t.Impute("text", "constant", fill_value="other"),
            b"a",
            "the array 'fill' holds 'a' for column 'text', and fill_value is 'other'",
        ),
        (
            t.Impute("text", "most_frequent", missing_value="?"),
            b"?",
            "the array 'fill' holds '?' for column 'text', which means missing",
        ),
    ],
)
def test_a_text_that_the_parameters_rule_out_is_refused(
    transform: t.Transform, text: bytes, said: str
) -> None:
    features = t.Features([transform, t.FrequencyEncode("text")])
    document, arrays = through_a_file(features.fit({"text": ["a", "?", "a"]}))
    t.Features.from_saved(document, arrays)
    forged = {"0.fill.text": np.frombuffer(text, np.uint8), "0.fill.offsets": np.array([0, len(text)])}
    with pytest.raises(TransformError, match=re.escape(said)):
        t.Features.from_saved(document, {**arrays, **forged})


@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_text_has_no_mean_in_a_saved_state_either(strategy: str) -> None:
    features = t.Features([t.Impute("text", "most_frequent"), t.FrequencyEncode("text")])
    document, arrays = through_a_file(features.fit({"text": ["a", None]}))
    document["transforms"][0]["parameters"]["strategy"] = strategy
    with pytest.raises(TransformError, match=f"column 'text': it is text, which has no {strategy}"):
        t.Features.from_saved(document, arrays)


@pytest.mark.parametrize(("column", "value"), [("text", 7.0), ("x", "seven")])
def test_a_constant_of_the_other_kind_is_refused_in_a_saved_state(column: str, value: Any) -> None:
    features = t.Features([t.Impute(column, "most_frequent"), t.FrequencyEncode(column)])
    document, arrays = through_a_file(features.fit({column: SMALL[column]}))
    document["transforms"][0]["parameters"].update(strategy="constant", fill_value=value)
    with pytest.raises(TransformError, match=f"column '{column}': it is .*, and fill_value is '?{value}"):
        t.Features.from_saved(document, arrays)


def test_the_most_frequent_number_comes_back_whatever_its_datatype() -> None:
    for values in (
        [INF, INF, NAN],
        np.array([2**64 - 1, 2**64 - 1, 0], np.uint64),
        np.array([2**63 - 1, 2**63 - 1, 0]),
        np.array([0.1, 0.1, 3], np.float32),
        np.array([0.1, 0.1, 3], np.float16),
        [True, True, False],
    ):
        features = t.Features([t.Copy("x", "copy"), t.Impute("x", "most_frequent")]).fit({"x": values})
        again = t.Features.from_saved(*through_a_file(features))
        np.testing.assert_array_equal(again.transform({"x": values}), features.transform({"x": values}))


JUNK = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just([]) | st.just({})
)
DOCUMENT, ARRAYS = through_a_file(fitted())


def paths_of(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in items for path in [(*at, key), *paths_of(item, (*at, key))]]


def runs_or_refuses(document: Any, arrays: dict[str, Array]) -> None:
    """What is taken runs; a changed parameter may refuse rows."""
    try:
        features = t.Features.from_saved(document, arrays)
    except TransformError:
        return
    try:
        made = features.transform(FRAME)
    except InputError as error:
        if "refused row" not in str(error) and "expected" not in str(error):  # of another datatype
            raise
    else:
        assert made.shape == (ROWS, len(features.output_names))


@given(st.sampled_from(paths_of(DOCUMENT)), JUNK)
@settings(max_examples=300, deadline=None)
def test_any_change_of_the_document_is_refused_or_runs(path: tuple[Any, ...], junk: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(*path, to=junk)(document, {})
    runs_or_refuses(document, ARRAYS)


@given(st.sampled_from(sorted(ARRAYS)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_change_of_an_array_is_refused_or_runs(name: str, data: st.DataObject) -> None:
    array = ARRAYS[name]
    size = data.draw(st.integers(0, array.size + 2))
    raw = data.draw(st.binary(min_size=size * array.itemsize, max_size=size * array.itemsize))
    runs_or_refuses(DOCUMENT, {**ARRAYS, name: np.frombuffer(raw, array.dtype)})
