"""ColumnTransformers, FeatureUnions and Pipelines in each other, drawn at random."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scikit_learn_cases import numbered
from scikit_learn_frames import sentences, texts_and_numbers
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_regression
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from penstock import transforms as t
from penstock.errors import TransformError

NUMBERS = ["small", "large, positive", "few", "count", "Größe", "level", "rating"]
WORDS = ["carrier", "level", "rating"]

number_steps = st.sampled_from(
    [
        StandardScaler(),
        MinMaxScaler(clip=True),
        MaxAbsScaler(),
        RobustScaler(),
        SplineTransformer(n_knots=3, degree=2),
        KBinsDiscretizer(
            3, encode="onehot-dense", strategy="uniform", quantile_method="averaged_inverted_cdf"
        ),
        PolynomialFeatures(2),
        PolynomialFeatures(2, include_bias=False, interaction_only=True),
        Normalizer(),
        FunctionTransformer(np.tanh, feature_names_out="one-to-one"),
        FunctionTransformer(feature_names_out="one-to-one"),
        VarianceThreshold(),
        SelectKBest(f_regression, k="all"),
        "passthrough",
    ]
)
imputers = st.sampled_from(
    [
        SimpleImputer(),
        SimpleImputer(strategy="median", add_indicator=True),
        SimpleImputer(strategy="constant", fill_value=3),
        FeatureUnion([("filled", SimpleImputer()), ("gone", MissingIndicator(features="all"))]),
    ]
)
encoders = st.sampled_from(
    [
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.1, drop="if_binary"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
        TargetEncoder(target_type="continuous"),
    ]
)
vectorizers = st.sampled_from(
    [TfidfVectorizer(), CountVectorizer(analyzer="char"), HashingVectorizer(n_features=8, ngram_range=(1, 2))]
)


@st.composite
def pipelines(draw: st.DrawFn, depth: int) -> Pipeline:
    """Of numbers with gaps."""
    steps: list[Any] = [draw(imputers)]
    for _ in range(draw(st.integers(0, 2))):
        step = draw(number_steps)
        if depth and draw(st.booleans()):
            parts = [("a", step), ("b", draw(number_steps)), ("c", Pipeline([("d", draw(number_steps))]))]
            step = FeatureUnion(parts, transformer_weights={"a": 0.5}, verbose_feature_names_out=True)
        steps.append(step)
    return Pipeline([(f"s{index}", step) for index, step in enumerate(steps)])


@st.composite
def transformers(draw: st.DrawFn, depth: int = 1) -> ColumnTransformer:
    """Of all columns of texts_and_numbers()."""
    numbers = st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4, unique=True)
    words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True)
    parts: list[Any] = [
        ("numbers", draw(pipelines(depth)), draw(numbers)),
        ("words", draw(encoders), draw(words)),
    ]
    if draw(st.booleans()):
        parts.append(("text", draw(vectorizers), "note"))
    if depth and draw(st.booleans()):
        inner = draw(transformers(depth=depth - 1))
        parts.append(
            (
                "inner",
                inner,
                slice(None) if draw(st.booleans()) else [*dict.fromkeys(NUMBERS + WORDS), "note"],
            )
        )
    return ColumnTransformer(
        draw(st.permutations(parts)),
        remainder="drop",
        transformer_weights=draw(st.sampled_from([None, {"numbers": 3.0, "text": 0.5}])),
        sparse_threshold=draw(st.sampled_from([0, 1])),
        verbose_feature_names_out=draw(st.sampled_from([True, "{transformer_name}/{feature_name}"])),
    )


def dense(made: Any) -> Any:
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, np.float64)


def agrees(transformer: ColumnTransformer, seed: int, *, with_reference: bool) -> bool:
    """Whether scikit-learn takes this composition and it is converted; the features are then compared."""
    rng = np.random.default_rng(seed)
    train, rows = texts_and_numbers(rng, 100, True), texts_and_numbers(rng, 60, False)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            fitted = transformer.fit(train, rng.normal(size=100))
            expected = dense(fitted.transform(rows))
        except (ValueError, TypeError):  # one step does not take what another makes
            return False
    try:
        features = t.Features.from_scikit_learn(fitted, train if with_reference else None)
    except TransformError as error:  # bins or categories of what another step computes
        if "last bit of a number decides" in str(error):
            return False
        raise
    made = features.transform(rows, as_sent=False)
    # `Größe` is single precision, and where it stands alone scikit-learn computes in it.
    greatest = np.nan_to_num(np.abs(expected), posinf=0.0).max(axis=0)
    for index, name in enumerate(features.output_names):
        np.testing.assert_allclose(
            made[:, index], expected[:, index], rtol=1e-6, atol=1e-6 * greatest[index], err_msg=name
        )
    if not any(isinstance(part, HashingVectorizer) for part in transformer.get_params().values()):
        assert features.output_names == numbered(fitted.get_feature_names_out())
    again = t.Features.from_saved(features.document(), features.arrays())
    np.testing.assert_array_equal(again.transform(rows, as_sent=False), made)
    return True


def test_any_composition_gives_what_scikit_learn_gives() -> None:
    compared: list[bool] = []

    @given(transformer=transformers(), seed=st.integers(0, 2**31), with_reference=st.booleans())
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def compare(transformer: ColumnTransformer, seed: int, with_reference: bool) -> None:
        compared.append(agrees(transformer, seed, with_reference=with_reference))

    compare()
    assert sum(compared) >= len(compared) / 3, f"{sum(compared)} of {len(compared)} were compared"


def test_inputs_are_in_the_order_of_the_frame() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 4)), columns=list("abcd"))
    fitted = ColumnTransformer([("x", StandardScaler(), ["d", "a"]), ("y", MaxAbsScaler(), ["b", "a"])]).fit(
        frame
    )
    features = t.Features.from_scikit_learn(fitted)
    assert [name for name, _ in features.inputs] == ["a", "b", "d"]
    np.testing.assert_allclose(features.transform(frame), fitted.transform(frame))


def test_parts_that_make_no_column_add_none() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["a", "b"])
    parts = [
        ("products", PolynomialFeatures((2, 2), interaction_only=True, include_bias=False), ["a"]),
        ("splines", SplineTransformer(2, 0, extrapolation="continue", include_bias=False), ["a"]),
        ("scaled", StandardScaler(), ["b"]),
    ]
    fitted = ColumnTransformer(parts).fit(frame)
    features = t.Features.from_scikit_learn(fitted)
    assert features.output_names == ["scaled__b"]
    np.testing.assert_allclose(features.transform(frame), fitted.transform(frame))


def test_a_lone_text_column_may_be_named_by_the_reference() -> None:
    texts = sentences(np.random.default_rng(0), 40, True)
    fitted = TfidfVectorizer().fit(texts)
    features = t.Features.from_scikit_learn(fitted, {"x0": texts})
    assert features.inputs == [("x0", "BYTES")]
    np.testing.assert_allclose(features.transform({"x0": texts}), fitted.transform(texts).toarray())


def test_a_hasher_of_dicts_hashes_the_columns_of_the_reference() -> None:
    frame = pd.DataFrame({"carrier": ["AA", "UA", "", "Zürich"], "origin": ["JFK", "AA", "é", "x" * 300]})
    hasher = FeatureHasher(16)
    features = t.Features.from_scikit_learn(hasher, frame)
    made = hasher.transform(frame.to_dict("records")).toarray()
    np.testing.assert_array_equal(features.transform(frame), made)


def test_two_features_of_one_name_get_a_number() -> None:
    frame = pd.DataFrame({"a": ["b_c", "x"], "a_b": ["c", "y"]})
    fitted = OneHotEncoder().fit(frame)
    features = t.Features.from_scikit_learn(fitted)
    assert features.output_names == ["a_b_c", "a_x", "a_b_c (2)", "a_b_y"]
    np.testing.assert_array_equal(features.transform(frame), fitted.transform(frame).toarray())


def test_columns_whose_names_look_like_those_that_transforms_make() -> None:
    frame = pd.DataFrame(
        {
            "x": [1.0, np.nan, 3.0],
            "x_missing": [np.nan, 2.0, 2.0],
            "w": ["a=b", "c", "c"],
            "w=a": ["b", "b", "d"],
        }
    )
    fitted = ColumnTransformer(
        [("n", SimpleImputer(add_indicator=True), ["x", "x_missing"]), ("w", OneHotEncoder(), ["w", "w=a"])],
        verbose_feature_names_out=False,
    ).fit(frame)
    features = t.Features.from_scikit_learn(fitted)
    assert features.output_names == list(fitted.get_feature_names_out())
    np.testing.assert_allclose(features.transform(frame), dense(fitted.transform(frame)))
    lone = SimpleImputer(add_indicator=True).fit(frame[["x", "x_missing"]])
    made = t.Features.from_scikit_learn(lone).transform(frame)
    np.testing.assert_allclose(made, lone.transform(frame[["x", "x_missing"]]))
    flags = make_pipeline(lone, MissingIndicator(features="all")).fit(frame[["x", "x_missing"]])
    made = t.Features.from_scikit_learn(flags).transform(frame)
    np.testing.assert_array_equal(made, flags.transform(frame[["x", "x_missing"]]))
