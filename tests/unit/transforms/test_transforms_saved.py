"""What a bundle holds of its transforms: it comes back as it was, or is refused where it was spoilt."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import transforms as t
from penstock.errors import TransformError

Array = np.ndarray[Any, Any]
FRAME: dict[str, Any] = {
    "carrier": ["AA", "UA", None, "Zürich"],
    "origin": ["JFK", "LGA", None, "JFK"],
    "month": np.array([1, 7, 12, 7]),
    "gate": np.array([1.5, np.nan, -0.0, 3.0]),
    "delay": np.array([1.0, np.nan, 3.0, -4.0]),
    "hour": np.array([5, 6, 23, 24], np.int8),
    "distance": np.array([1400.0, 733.0, 200.0, 17.0], np.float32),
}


def fitted() -> t.Features:
    return t.Features(
        [
            t.Impute(["delay", "origin"], "most_frequent", indicator=True),
            t.Standardize("delay"),
            t.OneHot(["carrier", "month"], categories={"carrier": ["UA", "AA", None], "month": [7, 1]}),
            t.Ordinal(
                ["origin", "gate"], unknown="value", unknown_value=float("inf"), missing_value=float("nan")
            ),
            t.Cyclic("hour", 24),
            t.Log1p("distance"),
            t.Select("distance"),
        ]
    ).fit(FRAME)


def through_a_file(features: t.Features) -> tuple[Any, dict[str, Array]]:
    document = json.loads(json.dumps(features.document(), allow_nan=False, sort_keys=True))
    return document, {name: array.copy() for name, array in features.arrays().items()}


def test_saved_features_come_back_as_they_were() -> None:
    features = fitted()
    again = t.Features.from_saved(*through_a_file(features))
    assert again.fitted
    assert again.inputs == features.inputs
    assert again.output_names == features.output_names
    assert again.strings == features.strings
    assert repr(again.transforms) == repr(features.transforms)
    np.testing.assert_array_equal(again.transform(FRAME), features.transform(FRAME))
    assert through_a_file(again)[0] == through_a_file(features)[0]
    for name, array in features.arrays().items():
        assert array.tobytes() == again.arrays()[name].tobytes(), name


def test_arrays_are_contiguous_vectors_of_types_that_safetensors_holds() -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = fitted().arrays()
    assert arrays
    back = safetensors.load(safetensors.save(arrays))
    assert back.keys() == arrays.keys()
    np.testing.assert_array_equal(
        t.Features.from_saved(through_a_file(fitted())[0], back).transform(FRAME), fitted().transform(FRAME)
    )


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
        (
            set_array("0.fill", [np.nan], np.float64),
            r"saved transform 0 \(impute\): the array 'fill' holds NaN",
        ),
        (set_array("0.fill", [1.0, 2.0], np.float64), "'fill' has 2 elements, expected 1"),
        (set_array("0.fill", [1], np.int64), r"'fill' is int64 \[1\], expected FP64"),
        (set_array("0.fill", [[1.0]], np.float64), r"'fill' is float64 \[1, 1\]"),
        (set_array("0.fill.offsets", [0, 99], np.int64), "'fill.offsets' does not divide the 3 bytes"),
        (set_array("0.fill.offsets", [-1, 3], np.int64), "does not divide"),
        (set_array("0.fill.offsets", [0], np.int64), "has 1 elements, expected 2"),
        (set_array("0.fill.text", [0xFF, 0xFF, 0xFF], np.uint8), "is not UTF-8"),
        (set_array("1.mean", [np.inf], np.float64), "'mean' holds NaN or infinity"),
        (set_array("1.scale", [0.0], np.float64), "'scale' holds a number that is not above 0"),
        (set_array("1.scale", [], np.float64), "'scale' has 0 elements"),
        (set_array("2.0.offsets", [0, 2, 1, 4], np.int64), "does not divide"),
        (set_array("2.0.offsets", [], np.int64), "does not divide"),
        (set_array("2.0.offsets", [0, 0, 0, 4], np.int64), "a category of column 'carrier' occurs twice"),
        (set_array("2.1.values", [7, 7], np.int64), "a category of column 'month' occurs twice"),
        (set_array("2.1.values", [7.0, 1.0], np.float64), "expected INT64"),
        (set_array("3.1.values", [np.nan], np.float64), "'1.values' holds NaN"),
        (set_array("3.1.values", [0.0, -0.0], np.float64), "'gate' occurs twice"),
        (set_array("1.extra", [0], np.int64), "'extra' is no part of it"),
        (set_array("9.mean", [0], np.int64), "the array '9.mean' belongs to no transform"),
        (set_array("mean", [0], np.int64), "the array 'mean' belongs to no transform"),
        (lambda _, arrays: arrays.pop("1.mean"), "the array 'mean' is missing"),
        (lambda _, arrays: arrays.update({"1.mean": [1.0]}), "'mean' is list"),
        (change("transforms", 0, "kind", to="pickle"), "there is no transform 'pickle'; known are "),
        (change("transforms", 0, "kind", to=[]), r"there is no transform \[\]"),
        (change("transforms", 0, "learned", to=None), "'learned' is None, expected an object"),
        (change("transforms", 0, "learned", to={"flagged": [True]}), "'flagged' is .*, expected 2 booleans"),
        (change("transforms", 0, "learned", to={"flagged": [1, 0]}), "expected 2 booleans"),
        (change("transforms", 0, "learned", "surplus", to=1), "'surplus' is no part of it"),
        (
            change("transforms", 0, "parameters", "indicator", to=False),
            "columns are flagged, but indicator is off",
        ),
        (
            change("transforms", 2, "learned", to={"missing": [True, True]}),
            "'month' is INT64, which knows no missing",
        ),
        (
            change("transforms", 3, "parameters", "unknown_value", to=0),
            "unknown_value 0 is the index of a category",
        ),
        (change("transforms", 3, "parameters", "unknown_value", to={"float": "x"}), "is no parameter"),
        (change("transforms", 4, "parameters", "period", to=-1), "period is -1"),
        (change("transforms", 4, "parameters", "period", to=10**400), "period is beyond"),
        (change("transforms", 4, "parameters", "perod", to=1), "unexpected keyword"),
        (change("transforms", 4, "parameters", to=[]), "parameters of transform 4 are no object"),
        (change("transforms", 4, "parameters", "columns", to="minute"), "there is no such column"),
        (change("transforms", 4, "surplus", to=1), "transform 4 is no object of kind, learned, parameters"),
        (change("transforms", 6, to=None), "transform 6 is no object"),
        (change("transforms", to=[]), r"'transforms' is \[\]"),
        (change("transforms", to={}), "'transforms' is {}"),
        (change("inputs", to="delay"), "'inputs' is 'delay'"),
        (change("inputs", 0, to=["delay"]), "is no pair"),
        (change("inputs", 0, 1, to="FP128"), "input 'delay' has the unknown datatype 'FP128'"),
        (change("inputs", 0, 1, to="BYTES"), "'fill' has 1 elements, expected 0|standardize"),
        (change("inputs", 1, to=["delay", "FP64"]), "input 'delay' occurs twice"),
        (
            lambda document, _: document["inputs"].reverse(),
            "'inputs' are not the columns that the transforms read",
        ),
        (lambda document, _: document["inputs"].append(["more", "FP64"]), "'inputs' are not the columns"),
        (lambda document, _: document.pop("strings"), "is no object of inputs, strings, transforms"),
        (change("strings", to=None), "'strings' is None, expected an object of 'origin', 'carrier'"),
        (change("strings", "delay", to={"missing": True, "empty": False}), "expected an object of 'origin'"),
        (lambda document, _: document["strings"].pop("origin"), "expected an object of 'origin', 'carrier'"),
        (change("strings", "origin", to=[]), r"'strings' says \[\] of 'origin'; expected two booleans"),
        (change("strings", "origin", "empty", to=0), "of 'origin'; expected two booleans"),
        (change("strings", "origin", "more", to=True), "of 'origin'; expected two booleans"),
        (change("format", to=2), "the document is no object of inputs, strings, transforms"),
    ],
)
def test_a_spoilt_state_is_refused_by_name(spoil: Callable[[Any, dict[str, Array]], Any], said: str) -> None:
    document, arrays = through_a_file(fitted())
    spoil(document, arrays)
    with pytest.raises(TransformError, match=said):
        t.Features.from_saved(document, arrays)


@pytest.mark.parametrize("document", [None, [], "text", 7, {}])
def test_what_is_no_document_is_refused(document: Any) -> None:
    with pytest.raises(TransformError, match="the document is no object of inputs, strings, transforms"):
        t.Features.from_saved(document, {})


JUNK = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just([]) | st.just({})
)
DOCUMENT, ARRAYS = through_a_file(fitted())


def paths_of(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in items for path in [(*at, key), *paths_of(item, (*at, key))]]


@given(st.sampled_from(paths_of(DOCUMENT)), JUNK)
@settings(max_examples=400, deadline=None)
def test_any_change_of_the_document_is_refused_or_runs(path: tuple[Any, ...], junk: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(*path, to=junk)(document, {})
    try:
        features = t.Features.from_saved(document, ARRAYS)
    except TransformError:
        return
    assert features.transform(FRAME).shape == (4, len(features.output_names))


@given(st.sampled_from(sorted(ARRAYS)), st.data())
@settings(max_examples=400, deadline=None)
def test_any_change_of_an_array_is_refused_or_runs(name: str, data: st.DataObject) -> None:
    array = ARRAYS[name]
    size = data.draw(st.integers(0, array.size + 2))
    raw = data.draw(st.binary(min_size=size * array.itemsize, max_size=size * array.itemsize))
    try:
        features = t.Features.from_saved(DOCUMENT, {**ARRAYS, name: np.frombuffer(raw, array.dtype)})
    except TransformError:
        return
    # Unknown categories make no error in these, so whatever is taken runs.
    assert features.transform(FRAME).shape == (4, len(features.output_names))
