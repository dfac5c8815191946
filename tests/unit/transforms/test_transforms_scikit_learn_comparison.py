"""Converted features held against scikit-learn's own of the reference, and what is refused without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
    TargetEncoder,
)

from penstock import transforms as t
from penstock.errors import InputError, TransformError

convert = t.Features.from_scikit_learn
COUNTS = pd.DataFrame({"x": np.random.default_rng(0).integers(0, 12, 500).astype(np.float64)})
WORDS = pd.DataFrame({"w": pd.Series(["a", "a", "b", None] * 5, dtype=object)})


def bins() -> KBinsDiscretizer:
    return KBinsDiscretizer(5, encode="ordinal", quantile_method="linear")


def one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore")


@pytest.mark.parametrize(
    ("first", "second", "dtype"),
    [
        (PowerTransformer(), bins(), np.float64),
        (FunctionTransformer(np.log1p), bins(), np.float64),
        (PowerTransformer(), one_hot(), np.float64),
        (StandardScaler(), bins(), np.float32),
        (StandardScaler(), one_hot(), np.float32),
    ],
)
def test_a_last_bit_that_decides_otherwise_is_refused(first: Any, second: Any, dtype: Any) -> None:
    frame = COUNTS.astype(dtype)
    parts = ColumnTransformer([("binned", make_pipeline(first, second), ["x"])]).fit(frame)
    with pytest.raises(TransformError) as refused:
        convert(parts, frame)
    message = str(refused.value)
    assert message.startswith("scikit-learn: ColumnTransformer > binned > Pipeline > ")
    for said in (type(second).__name__, "of reference=, feature 'binned__x", "scikit-learn gives", "float64"):
        assert said in message


def test_what_agrees_is_converted_from_any_kind_of_frame() -> None:
    fitted = make_pipeline(StandardScaler(), one_hot()).fit(COUNTS)
    for frame in (
        COUNTS,
        pl.from_pandas(COUNTS),
        pa.Table.from_pandas(COUNTS),
        {"x": COUNTS["x"].to_numpy()},
    ):
        assert len(convert(fitted, frame).output_names) == 12
    matrix = make_pipeline(StandardScaler(), one_hot()).fit(COUNTS.to_numpy())
    assert convert(matrix, COUNTS.to_numpy()).inputs == [("x0", "FP64")]


def test_the_reference_is_left_as_it_is() -> None:
    rows = COUNTS.to_numpy().copy()
    fitted = StandardScaler(copy=False).fit(rows)
    convert(fitted, rows)
    np.testing.assert_array_equal(rows, COUNTS.to_numpy())


def test_of_many_rows_an_even_sample_is_compared() -> None:
    fitted = make_pipeline(StandardScaler(), one_hot()).fit(COUNTS.astype(np.float32))
    with pytest.raises(TransformError, match="row 0 of reference="):
        convert(fitted, pd.concat([COUNTS.astype(np.float32)] * 200))


def test_a_target_encoder_is_held_against_its_transform() -> None:
    frame = WORDS.fillna("z")
    target = np.arange(20.0)
    fitted = TargetEncoder(target_type="continuous", cv=2)
    assert not np.allclose(fitted.fit_transform(frame, target), fitted.transform(frame))
    np.testing.assert_allclose(convert(fitted, frame).transform(frame), fitted.transform(frame))


def test_a_reference_that_scikit_learn_refuses_is_refused() -> None:
    fitted = Binarizer().fit(COUNTS)
    with pytest.raises(InputError, match=r"reference=: Binarizer of scikit-learn refuses the rows: .*NaN"):
        convert(fitted, COUNTS.where(COUNTS > 0))


@pytest.mark.parametrize(
    "step", [one_hot(), OrdinalEncoder(), bins(), Binarizer(), FunctionTransformer(np.rint)]
)
def test_what_jumps_behind_a_step_that_computes_asks_for_a_reference(step: Any) -> None:
    fitted = make_pipeline(StandardScaler(), step).fit(COUNTS)
    with pytest.raises(TransformError, match=f"{type(step).__name__}: .* Give reference="):
        convert(fitted)


def test_what_jumps_behind_steps_that_pick_and_count_needs_none() -> None:
    assert convert(make_pipeline(SimpleImputer(), one_hot()).fit(COUNTS)).output_names
    assert convert(make_pipeline(CountVectorizer(), Binarizer()).fit(["a fox", "the fox"])).output_names


@pytest.mark.parametrize("flags", [False, True])
def test_an_imputer_of_nan_before_a_category_of_none_is_refused(flags: bool) -> None:
    imputer = SimpleImputer(strategy="most_frequent", add_indicator=flags)
    fitted = make_pipeline(imputer, OrdinalEncoder()).fit(WORDS)
    for reference in (WORDS, pl.from_pandas(WORDS), None):
        with pytest.raises(TransformError, match=r"missing_values=nan does not match None, which column 'w'"):
            convert(fitted, reference)


def test_an_indicator_of_nan_is_refused_where_the_reference_has_none() -> None:
    fitted = MissingIndicator(features="all").fit(WORDS)
    with pytest.raises(TransformError, match=r"does not match None.* Use missing_values=None or pd\.NA"):
        convert(fitted, WORDS)


def test_an_imputer_of_none_or_na_fills_none() -> None:
    for missing in (None, pd.NA):
        fitted = make_pipeline(SimpleImputer(missing_values=missing, strategy="most_frequent"), one_hot())
        fitted.fit(WORDS)
        np.testing.assert_array_equal(
            convert(fitted, WORDS).transform(WORDS), fitted.transform(WORDS).toarray()
        )
