"""Select under new names: which columns are left, in which order, and what they may be called."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from penstock import transforms as t
from penstock.errors import TransformError

FRAME = {"a": np.arange(3.0), "b": np.array([10, 20, 30]), "c": np.array([True, False, True])}


def fitted(*transforms: t.Transform) -> t.Features:
    """As it comes back from its saved form."""
    features = t.Features(transforms).fit(FRAME)
    document = json.loads(json.dumps(features.document()))
    again = t.Features.from_saved(document, features.arrays())
    np.testing.assert_array_equal(again.transform(FRAME), features.fit_transform(FRAME))
    return again


def test_columns_change_names_and_places() -> None:
    features = fitted(t.Log1p("a"), t.Select(["b", "a"], only=True, names=["a", "b"]), t.Log1p("b"))
    assert features.output_names == ["a", "b"]
    assert features.inputs == [("a", "FP64"), ("b", "INT64")]
    np.testing.assert_allclose(features.transform(FRAME), np.c_[FRAME["b"], np.log1p(np.log1p(FRAME["a"]))])


def test_a_name_may_be_that_of_a_column_that_is_dropped() -> None:
    features = fitted(t.Copy(["a", "c"], ["x", "y"]), t.Select(["y", "x"], only=True, names=["a", "c"]))
    assert features.output_names == ["a", "c"]
    np.testing.assert_array_equal(features.transform(FRAME), np.c_[FRAME["c"], FRAME["a"]])


def test_doubles_cost_no_call() -> None:
    features = fitted(t.OneHot("b"), t.Select(["b=30", "b=10"], only=True, names=["thirty", "ten"]))
    assert next(call.kernel for call in features.plan().calls) == "one_hot_number"
    whole = fitted(t.OneHot("b"), t.Select(["b=10", "b=20", "b=30"], only=True, names=["p", "q", "r"]))
    assert [call.kernel for call in whole.plan().calls] == ["one_hot_number"]


def test_what_was_dropped_or_renamed_is_gone() -> None:
    with pytest.raises(TransformError, match="'a': an earlier transform made x of it"):
        fitted(t.Select(["a"], only=True, names=["x"]), t.Log1p("a"))
    with pytest.raises(TransformError, match="'b': an earlier transform made nothing of it"):
        fitted(t.Select("b"), t.Select(["a"], only=True, names=["x"]), t.Log1p("b"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"names": ["x", "y"]}, "names goes with only=True"),
        ({"only": True, "names": ["x"]}, "expected one name for each of 2 columns"),
        ({"only": True, "names": ["x", ""]}, "expected one name for each of 2 columns"),
        ({"only": True, "names": ["x", "x"]}, "names has 'x' twice"),
        ({"only": 1}, "only is 1, expected True or False"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(TransformError, match=named):
        t.Select(["a", "b"], **options)
