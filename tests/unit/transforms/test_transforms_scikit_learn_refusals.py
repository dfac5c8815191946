"""What of scikit-learn is refused: by its name, and with what to do instead."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from scikit_learn_cases import CASES
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import SelectPercentile
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

from penstock import transforms as t
from penstock.errors import InputError, TransformError
from penstock.transforms.scikit_learn import CONVERTERS

NUMBERS = pd.DataFrame({"x": np.linspace(-1, 1, 20), "y": np.arange(20), "z": np.arange(20, dtype=np.int8)})
TEXTS = ["the fox", "a fox jumps", "no", "the end"] * 5
WORDS = pd.DataFrame({"w": ["a", "b", "c", "a"] * 5})


def convert(fitted: Any, reference: Any = None) -> t.Features:
    return t.Features.from_scikit_learn(fitted, reference)


class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, frame: Any, target: Any = None) -> Doubler:
        self.fitted_ = True
        return self

    def transform(self, frame: Any) -> Any:
        return 2 * frame


class MyScaler(StandardScaler):
    """May compute something else."""


def shifted(frame: Any) -> Any:
    return frame + 1


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (PCA(1), r"pca > PCA: sklearn\.decomposition\._pca\.PCA cannot be converted"),
        (KNNImputer(), r"KNNImputer: sklearn\.impute\._knn\.KNNImputer cannot be converted"),
        (SelectPercentile(), "SelectPercentile cannot be converted. Use SelectKBest, or keep .* t.Select"),
        (
            Doubler(),
            r"Doubler: .*\.Doubler cannot be converted\. Write it as a t\.Custom, or fit it into the model",
        ),
        (MyScaler(), "MyScaler, a class derived from StandardScaler, cannot be converted"),
        (
            FunctionTransformer(shifted),
            r"FunctionTransformer: func=<function shifted .*> cannot be converted\. Write it",
        ),
        (FunctionTransformer(np.nan_to_num), "func=.* cannot be converted"),
        (FunctionTransformer(np.sqrt, kw_args={"where": True}), "kw_args=.* cannot be converted"),
        (
            QuantileTransformer(n_quantiles=5, ignore_implicit_zeros=True),
            "ignore_implicit_zeros=True cannot be converted. Rows are dense",
        ),
        (SplineTransformer(degree=0), "degree=0 with extrapolation='constant' cannot be converted"),
        (SplineTransformer(degree=1, extrapolation="linear"), "degree=1 with extrapolation='linear'"),
        (
            FeatureUnion([("a", StandardScaler()), ("b", "passthrough")], transformer_weights={"a": -1}),
            "a weight that is not",
        ),
    ],
)
def test_a_step_without_a_counterpart_is_refused_by_name(step: Any, named: str) -> None:
    pipeline = make_pipeline(StandardScaler(), step).fit(NUMBERS, NUMBERS["y"] % 2)
    with pytest.raises(TransformError, match=named):
        convert(pipeline)


@pytest.mark.parametrize(
    ("vectorizer", "named"),
    [
        (
            CountVectorizer(token_pattern=r"\d+"),
            r"token_pattern=r'\\d\+' cannot be converted\. Use r'\(\?u\)\\b\\w\\w\+\\b'",
        ),
        (
            CountVectorizer(tokenizer=str.split, token_pattern=None),
            "tokenizer=.*, a function, cannot be converted. Use what the vectorizer has of its own, or make",
        ),
        (CountVectorizer(preprocessor=str.lower), "preprocessor=.*, a function"),
        (CountVectorizer(analyzer=str.split), "analyzer=.*, a function"),
        (TfidfVectorizer(strip_accents=str.lower), "strip_accents=.*, a function"),
        (TfidfVectorizer(encoding="latin-1"), "encoding='latin-1' cannot be converted"),
        (CountVectorizer(dtype=np.int8), "dtype=<class 'numpy.int8'> cannot be converted"),
        (
            HashingVectorizer(),
            "HashingVectorizer: n_features=1048576 cannot be converted.*: refit with n_features<=65536, ",
        ),
        (CountVectorizer(input="filename"), "input='filename' cannot be converted"),
    ],
)
def test_a_parameter_of_a_vectorizer_without_a_counterpart_is_refused_by_name(
    vectorizer: Any, named: str
) -> None:
    if vectorizer.input == "content" and vectorizer.token_pattern != r"\d+":
        vectorizer.fit(TEXTS)
    else:
        vectorizer.vocabulary_ = {"fox": 0}
    with pytest.raises(TransformError, match=named):
        convert(vectorizer)


def test_parameters_of_hashers_and_weights_are_refused_by_name() -> None:
    with pytest.raises(
        TransformError,
        match=r"FeatureHasher: n_features=1048576 cannot be .*: refit with n_features<=65536, ",
    ):
        convert(FeatureHasher(input_type="string"), WORDS)
    with pytest.raises(TransformError, match="input_type='pair' cannot be converted"):
        convert(FeatureHasher(8, input_type="pair"), WORDS)
    weighted = make_pipeline(HashingVectorizer(n_features=8), TfidfTransformer(sublinear_tf=True)).fit(TEXTS)
    with pytest.raises(TransformError, match="sublinear_tf=True behind anything but a CountVectorizer"):
        convert(weighted)


def test_two_kinds_of_missing_categories_are_refused() -> None:
    frame = pd.DataFrame({"w": pd.Series(["a", None, np.nan, "b"], dtype=object)})
    with pytest.raises(TransformError, match="None and NaN are two categories"):
        convert(OneHotEncoder().fit(frame))
    some = pd.DataFrame({"w": pd.Series(["a", None, "b", "b"] * 5, dtype=object)})
    with pytest.raises(TransformError, match="None among the categories together with min_frequency"):
        convert(OrdinalEncoder(min_frequency=6).fit(some))


def test_a_category_that_is_neither_text_nor_number_is_refused() -> None:
    days = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=4)})
    with pytest.raises(TransformError, match=r"is a category; expected text or numbers"):
        convert(OneHotEncoder().fit(days))


def test_functions_whose_integers_are_not_those_of_doubles_are_refused() -> None:
    for function, column in ((np.reciprocal, "y"), (np.exp, "z"), (np.square, "z")):
        fitted = FunctionTransformer(function, feature_names_out="one-to-one").fit(NUMBERS[[column]])
        with pytest.raises(
            TransformError, match=rf"func=numpy\.{function.__name__} of '{column}', which is INT"
        ):
            convert(fitted, NUMBERS)
    integers = FunctionTransformer(np.reciprocal, feature_names_out="one-to-one")
    parts = [("a", integers, ["y"]), ("b", OneHotEncoder(), ["y"])]
    for order in (parts, parts[::-1]):  # the encoder alone tells that they are integers
        with pytest.raises(TransformError, match=r"func=numpy\.reciprocal of '.*y', which is INT64"):
            convert(ColumnTransformer(order).fit(NUMBERS.assign(y=NUMBERS["y"] + 1)))
    same = convert(
        FunctionTransformer(np.absolute, feature_names_out="one-to-one").fit(NUMBERS[["z"]]), NUMBERS
    )
    assert same.inputs == [("z", "INT8")]


def test_what_is_not_fitted_is_refused() -> None:
    with pytest.raises(TransformError, match=r"StandardScaler: it is not fitted; call fit"):
        convert(StandardScaler())
    with pytest.raises(TransformError, match="not fitted"):
        convert(ColumnTransformer([("a", StandardScaler(), ["x"])]))


def test_what_is_no_transformer_is_refused() -> None:
    with pytest.raises(TransformError, match=r"builtins\.dict cannot be converted"):
        convert({})


def test_text_that_passes_through_is_refused_with_what_to_do() -> None:
    fill = SimpleImputer(strategy="most_frequent")
    for fitted in (
        ColumnTransformer([("w", "passthrough", ["w"])]).fit(WORDS),
        ColumnTransformer([("w", fill, ["w"])]).fit(WORDS),
    ):
        with pytest.raises(TransformError) as refused:
            convert(fitted, WORDS)
        assert str(refused.value) == (
            "scikit-learn: ColumnTransformer: column 'w' is text in the output, and features are numbers. "
            "Encode it, as with OneHotEncoder, or drop it, and fit again."
        )


def test_what_leaves_no_column_is_refused() -> None:
    with pytest.raises(TransformError, match=r"^scikit-learn: ColumnTransformer: it gives no column"):
        convert(ColumnTransformer([("w", "drop", ["x"])]).fit(NUMBERS), NUMBERS)


def test_a_reference_that_is_not_what_was_fitted_on_is_refused() -> None:
    fitted = OneHotEncoder().fit(WORDS)
    with pytest.raises(InputError, match="reference= has no column 'w'"):
        convert(fitted, NUMBERS)
    with pytest.raises(TransformError, match="column 'w' was text when this was fitted, and is INT64 here"):
        convert(fitted, WORDS.assign(w=1))
    with pytest.raises(TransformError, match="column 'x' is text; expected numbers"):
        convert(StandardScaler().fit(NUMBERS), NUMBERS.assign(x="a"))


def test_what_does_not_know_its_columns_asks_for_a_reference() -> None:
    with pytest.raises(TransformError, match="it does not know its columns; pass the frame"):
        convert(FeatureHasher(8, input_type="string"))


def test_a_parameter_that_nobody_knows_is_refused_by_name() -> None:
    fitted = StandardScaler().fit(NUMBERS)
    fitted.get_params = lambda deep=True: {"with_mean": True, "ddof": 1}
    with pytest.raises(
        TransformError, match="the parameter 'ddof', which this version of Penstock does not know"
    ):
        convert(fitted)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_a_converter_knows_every_parameter_of_its_class(name: str) -> None:
    converter = CONVERTERS[name]
    estimators = {type(case.make()) for case in CASES[name]}
    own = next((each for each in estimators if each.__name__ == name), None)
    if own is None:  # only behind another step
        own = getattr(__import__(converter.package, fromlist=[name]), name)
    parameters = set(inspect.signature(own).parameters)
    known = {*converter.parameters, *converter.without_effect}
    assert parameters <= known, sklearn.__version__
    assert not set(converter.parameters) & set(converter.without_effect)
    assert known - parameters <= {"force_int_remainder_cols"}  # of another version


def test_categories_that_utf_8_cannot_say_are_refused() -> None:
    with pytest.raises(TransformError, match="OneHotEncoder: it has learned text that UTF-8 cannot say"):
        convert(OneHotEncoder().fit(pd.DataFrame({"w": pd.Series(["a", "\ud800"], dtype=object)})))


def test_missing_and_empty_strings_of_the_training_frame_are_recorded() -> None:
    frame = pd.DataFrame({"w": pd.Series(["a", "", None, "b"], dtype=object)})
    fitted = make_pipeline(
        SimpleImputer(missing_values=None, strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    ).fit(frame)
    for reference in (frame, None):
        strings = convert(fitted, reference).strings["w"]
        assert (strings.missing, strings.empty) == (True, True)
    whole = OneHotEncoder(handle_unknown="ignore").fit(frame.iloc[[0, 3]])
    assert convert(whole).strings["w"] == convert(whole, frame.iloc[[0, 3]]).strings["w"]
    assert not convert(whole).strings["w"].empty


def test_datatypes_are_what_the_categories_tell_or_the_reference_says() -> None:
    frame = pd.DataFrame({"t": ["a", "b"], "i": [1, 2], "f": [0.5, 1.5], "b": [True, False]})
    frame["s"] = frame["i"].astype(np.int16)
    fitted = OneHotEncoder().fit(frame)
    told = [("t", "BYTES"), ("i", "INT64"), ("f", "FP64"), ("b", "BOOL")]
    assert convert(fitted).inputs == [*told, ("s", "INT64")]
    assert convert(fitted, frame).inputs == [*told, ("s", "INT16")]


def test_inputs_that_no_feature_depends_on_are_none() -> None:
    fitted = ColumnTransformer([("x", StandardScaler(), ["x"])]).fit(NUMBERS)
    assert convert(fitted).inputs == [("x", "FP64")]


def test_bins_are_what_the_discretizer_merged() -> None:
    few = pd.DataFrame({"x": [0.0] * 30 + [1.0] * 3 + [2.0]})
    fitted = KBinsDiscretizer(6, quantile_method="averaged_inverted_cdf").fit(few)
    features = convert(fitted)
    assert len(features.output_names) == fitted.n_bins_[0] < 6
    np.testing.assert_array_equal(features.transform(few), fitted.transform(few).toarray())
