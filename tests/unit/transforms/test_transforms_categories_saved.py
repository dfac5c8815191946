"""The saved form of transforms of categories: it comes back as it was, or is refused where it was spoilt."""

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
NAN = float("nan")
FRAME: dict[str, Any] = {
    "carrier": ["AA", "UA", None, "AA", "B6", "AA"],
    "origin": ["JFK", "a|b", "", None, "JFK", "back\\slash"],
    "month": np.array([1, 7, 12, 7, 7, -3]),
    "gate": np.array([1.5, NAN, -0.0, 3.0, 0.0, 1.5]),
}
TARGET = ["late", "on time", "late", "early", "late", "on time"]


def make_features(*transforms: t.Transform, target: Any = None) -> t.Features:
    return t.Features(list(transforms)).fit(FRAME, target)


def fitted() -> t.Features:
    return make_features(
        t.OneHot("carrier", min_frequency=2, max_categories=4),
        t.Ordinal("month", max_categories=2, unknown="value", unknown_value=-1),
        t.TargetEncode("gate", cv=2),
        t.Copy("origin", "other"),
        t.Copy("origin", "third"),
        t.FrequencyEncode("other"),
        t.EmbeddingLookup("third", {"JFK": [1, 2], None: [3, 4]}, unknown=[5, 6]),
        t.Copy("origin", "fourth"),
        t.Cross(["origin", "fourth"]),
        t.Hash("origin|fourth", 3),
        target=TARGET,
    )


def through_a_file(features: t.Features) -> tuple[Any, dict[str, Array]]:
    document = json.loads(json.dumps(features.document(), allow_nan=False, sort_keys=True))
    return document, {name: array.copy() for name, array in features.arrays().items()}


def test_saved_features_come_back_as_they_were() -> None:
    features = fitted()
    again = t.Features.from_saved(*through_a_file(features))
    assert again.output_names == features.output_names
    np.testing.assert_array_equal(again.transform(FRAME), features.transform(FRAME))
    assert through_a_file(again)[0] == through_a_file(features)[0]
    for name, array in features.arrays().items():
        assert array.tobytes() == again.arrays()[name].tobytes(), name
    # A restored table can be fitted again.
    refitted = again.fit(FRAME, TARGET)
    np.testing.assert_array_equal(refitted.transform(FRAME), features.transform(FRAME))


def put(name: str, values: Any, dtype: Any) -> Callable[[Any, dict[str, Array]], None]:
    return lambda _, arrays: arrays.__setitem__(name, np.array(values, dtype))


def learn(index: int, **changed: Any) -> Callable[[Any, dict[str, Array]], None]:
    return lambda document, _: document["transforms"][index]["learned"].update(changed)


FP64, INT64 = np.float64, np.int64


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (put("0.0.infrequent", [4], INT64), "'0.infrequent' holds what is no index of 4 categories"),
        (put("0.0.infrequent", [-1], INT64), "holds what is no index of 4 categories"),
        (put("0.0.infrequent", [2, 1], INT64), "'0.infrequent' is not in ascending order"),
        (put("0.0.infrequent", [1, 1], INT64), "'0.infrequent' is not in ascending order"),
        (put("0.0.infrequent", [], INT64), "leaves more than 4"),
        (put("0.0.infrequent", [1.0], FP64), "expected INT64"),
        (lambda _, arrays: arrays.pop("0.0.infrequent"), "the array '0.infrequent' is missing"),
        (put("1.0.infrequent", [0], INT64), "leaves more than 2"),
        (put("2.0.encodings", [NAN] * 12, FP64), "'0.encodings' holds NaN"),
        (put("2.0.encodings", [0.5] * 11, FP64), "has 11 elements, expected 12"),
        (put("2.0.encodings", [1.5] * 12, FP64), "'0.encodings' holds what is no share from 0 to 1"),
        (put("2.mean", [0.5, -0.5, 1], FP64), "'mean' holds what is no share"),
        (put("2.mean", [0.5], FP64), "'mean' has 1 elements, expected 3"),
        (learn(2, classes=[]), "a multiclass target has not"),
        (learn(2, classes=["a", "a", "b"]), "names something twice"),
        (learn(2, classes="abc"), "'classes' is 'abc', expected a list of texts"),
        (learn(2, target_type="binary"), "'classes' is .*, which a binary target has not"),
        (
            learn(2, target_type="ordinal"),
            "'target_type' is 'ordinal', expected continuous, binary, multiclass",
        ),
        (put("5.0.counts", [1, 1, 1, 0, 2], INT64), "'0.counts' holds what is no number of rows"),
        (put("5.0.counts", [1, 1], INT64), "has 2 elements, expected 5"),
        (put("5.0.counts", [2**60] * 5, INT64), "no number of rows"),
        (put("6.vectors", [1, 2, 3], np.float32), "is no vectors of one length for 2 categories"),
        (put("6.vectors", [], np.float32), "is no vectors of one length"),
        (put("6.vectors", [1, 2, 3, np.inf], np.float32), "'vectors' holds NaN or infinity"),
        (put("6.vectors", [1, 2, 3, 4], FP64), "expected FP32"),
        (put("6.vectors", [1, 2, 3, 4, 5, 6], np.float32), "unknown is a vector of 2 numbers"),
        (learn(6, datatype="FP16"), "'datatype' is 'FP16', expected FP32, FP64"),
        (put("8.combinations", [], INT64), "'combinations' is not one or more of 25 possible ones"),
        (put("8.combinations", [0, 6, 6, 18, 24], INT64), "'combinations' is not in ascending order"),
        (put("8.combinations", [0, 6, 12, 18, 25], INT64), "is not one or more of 25 possible ones"),
        (put("8.combinations", [-1, 6, 12, 18, 24], INT64), "is not one or more of 25 possible ones"),
        (put("8.combinations", [0, 6, 12, 18], INT64), "does not hold each value of column 'origin'"),
        (learn(8, missing=[True, False]), "does not hold each value of column 'fourth'"),
        (learn(9, surplus=1), "'surplus' is no part of it"),
    ],
)
def test_a_spoilt_state_is_refused_by_name(spoil: Callable[[Any, dict[str, Array]], Any], said: str) -> None:
    document, arrays = through_a_file(fitted())
    spoil(document, arrays)
    with pytest.raises(TransformError, match=said):
        t.Features.from_saved(document, arrays)


def test_counts_of_columns_of_different_lengths_are_refused() -> None:
    document, arrays = through_a_file(make_features(t.FrequencyEncode(["month", "gate"])))
    arrays["0.1.counts"] = arrays["0.1.counts"] + 1
    with pytest.raises(TransformError, match="counts are of different numbers of rows"):
        t.Features.from_saved(document, arrays)


def test_a_table_that_differs_between_columns_is_refused() -> None:
    document, arrays = through_a_file(make_features(t.EmbeddingLookup(["carrier", "origin"], {"AA": [1.0]})))
    arrays["0.1.text"] = np.frombuffer(b"AB", np.uint8)
    with pytest.raises(TransformError, match="the columns do not have the same categories"):
        t.Features.from_saved(document, arrays)


DOCUMENT, ARRAYS = through_a_file(fitted())


@given(st.sampled_from(sorted(ARRAYS)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_change_of_an_array_is_refused_or_runs(name: str, data: st.DataObject) -> None:
    array = ARRAYS[name]
    size = data.draw(st.integers(0, array.size + 2))
    raw = data.draw(st.binary(min_size=size * array.itemsize, max_size=size * array.itemsize))
    try:
        features = t.Features.from_saved(
            copy.deepcopy(DOCUMENT), {**ARRAYS, name: np.frombuffer(raw, array.dtype)}
        )
    except TransformError:
        return
    assert features.transform(FRAME).shape == (6, len(features.output_names))
