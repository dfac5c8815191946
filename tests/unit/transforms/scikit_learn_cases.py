"""For each class of scikit-learn that can be converted: what to fit, on what, and which rows to compare."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scikit_learn_frames import (
    Make,
    empty_column,
    gaps,
    known_words,
    later_gaps,
    marked,
    matrix,
    numbers,
    positive,
    sentences,
    single,
    tenths,
    texts_and_numbers,
    wild,
    word_matrix,
    words,
    words_of_type,
    words_with_nan,
    words_with_none,
)
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_regression, mutual_info_classif
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)


@dataclass(frozen=True)
class Case:
    """An estimator that is not fitted, and frames to fit it on and to compare."""

    make: Callable[[], Any]
    frame: Make = field(repr=False)
    rtol: float = 1e-9
    needs_reference: bool = False
    has_names: bool = True  # whether get_feature_names_out() answers


def numbered(names: Iterable[str]) -> list[str]:
    """The second feature of one name and further ones with their number, as `x (2)`."""
    given = list(names)
    counts = [given[: index + 1].count(name) for index, name in enumerate(given)]
    return [name if count == 1 else f"{name} ({count})" for name, count in zip(given, counts, strict=True)]


def grid(
    make: Callable[..., Any],
    frame: Make,
    *,
    rtol: float = 1e-9,
    needs_reference: bool = False,
    has_names: bool = True,
    **choices: list[Any],
) -> Iterator[Case]:
    """A case for each combination."""
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        yield Case(lambda chosen=chosen: make(**chosen), frame, rtol, needs_reference, has_names)


def _imputers() -> Iterator[Case]:
    for frame in (gaps, matrix(gaps), empty_column):
        yield from grid(
            SimpleImputer,
            frame,
            strategy=["mean", "median", "most_frequent", "constant"],
            add_indicator=[False, True],
            keep_empty_features=[False, True],
        )
    yield from grid(SimpleImputer, single(gaps), rtol=1e-6, strategy=["mean", "median", "constant"])
    yield Case(lambda: SimpleImputer(strategy="constant", fill_value=-7.5), gaps)
    yield Case(lambda: SimpleImputer(strategy=lambda values: values.max() + 1), gaps)
    yield from grid(
        SimpleImputer,
        marked,
        missing_values=[-1],
        strategy=["mean", "median", "most_frequent"],
        add_indicator=[True],
    )
    yield from grid(  # 0 stands for a missing value, and fills in the column without one
        SimpleImputer,
        lambda rng, rows, fit: empty_column(rng, rows, fit).fillna(0),
        missing_values=[0],
        strategy=["mean", "median", "most_frequent", "constant"],
        add_indicator=[True],
        keep_empty_features=[True],
    )
    text = [lambda rng, rows, fit: words_with_nan(rng, rows, fit)[["carrier"]]]
    for frame in (*text, lambda rng, rows, fit: words_with_nan(rng, rows, fit)[["carrier", "rating"]]):
        for add_indicator in (False, True):
            yield Case(
                lambda add_indicator=add_indicator: make_pipeline(
                    SimpleImputer(strategy="most_frequent", add_indicator=add_indicator),
                    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                ),
                frame,
            )
    yield Case(
        lambda: make_pipeline(
            SimpleImputer(missing_values="", strategy="constant", fill_value="gone"),
            OneHotEncoder(handle_unknown="ignore"),
        ),
        lambda rng, rows, fit: words(rng, rows, fit)[["carrier"]],
    )


def _indicators() -> Iterator[Case]:
    for frame in (gaps, matrix(gaps), single(gaps)):
        yield from grid(MissingIndicator, frame, features=["missing-only", "all"], sparse=[False, "auto"])
    yield Case(lambda: MissingIndicator(missing_values=-1), marked)
    yield Case(
        lambda: MissingIndicator(features="all", error_on_new=False),
        lambda rng, rows, fit: words_with_nan(rng, rows, fit)[["carrier"]],
        needs_reference=True,
    )


def _one_hot() -> Iterator[Case]:
    frames = (
        words,
        words_with_nan,
        words_with_none,
        words_of_type("category"),
        words_of_type("str"),
        words_of_type("string"),
        later_gaps,
    )
    for frame in frames:
        yield from grid(
            OneHotEncoder,
            frame,
            handle_unknown=["ignore", "infrequent_if_exist"],
            drop=[None, "first", "if_binary"],
            min_frequency=[None, 5] if frame is words else [0.1],
        )
    yield from grid(OneHotEncoder, words, handle_unknown=["ignore", "warn"], max_categories=[1, 2, 4, 100])
    yield from grid(
        OneHotEncoder, words_with_nan, handle_unknown=["ignore"], max_categories=[3], min_frequency=[3]
    )
    yield from grid(
        OneHotEncoder,
        known_words,
        handle_unknown=["error"],
        sparse_output=[False, True],
        drop=[None, "first"],
    )
    drop = ["AA", 2, 0.5, True]
    yield Case(lambda: OneHotEncoder(drop=drop), known_words)
    yield Case(
        lambda: OneHotEncoder(drop=np.array([np.nan, 2, np.nan, True], object), handle_unknown="ignore"),
        words_with_nan,
    )
    yield Case(lambda: OneHotEncoder(handle_unknown="ignore", dtype=np.float32), word_matrix)
    given = [["UA", None, "AA"], [1, 2, 9]]
    yield Case(lambda: OneHotEncoder(categories=given, handle_unknown="ignore"), words_with_none)
    yield Case(
        lambda: OneHotEncoder(handle_unknown="ignore"),
        lambda rng, rows, fit: rng.integers(0, 5 + 2 * (not fit), (rows, 2)),
    )


def _ordinal() -> Iterator[Case]:
    for frame in (words, words_with_nan, words_of_type("category"), words_of_type("str"), later_gaps):
        yield from grid(
            OrdinalEncoder,
            frame,
            handle_unknown=["use_encoded_value"],
            unknown_value=[-1, np.nan, 99],
            encoded_missing_value=[np.nan, -2],
            min_frequency=[None, 0.1],
        )
    yield from grid(
        OrdinalEncoder,
        words,
        handle_unknown=["use_encoded_value"],
        unknown_value=[-1],
        max_categories=[2, 4, 100],
    )
    yield Case(OrdinalEncoder, known_words)
    yield Case(lambda: OrdinalEncoder(dtype=np.int32), known_words)
    yield Case(lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), words_with_none)
    yield Case(lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), word_matrix)


def _target() -> Iterator[Case]:
    for frame in (words, words_with_nan, words_with_none, later_gaps):
        yield from grid(
            TargetEncoder, frame, target_type=["continuous", "binary", "multiclass"], smooth=["auto", 0.5, 20]
        )


def _bins() -> Iterator[Case]:
    for frame in (numbers, matrix(numbers)):
        yield from grid(
            KBinsDiscretizer,
            frame,
            encode=["onehot", "onehot-dense", "ordinal"],
            strategy=["uniform", "quantile"],
            n_bins=[2, 5],
            quantile_method=["averaged_inverted_cdf"],
        )
    yield Case(lambda: KBinsDiscretizer(strategy="kmeans"), numbers)
    yield Case(lambda: KBinsDiscretizer(dtype=np.float32, quantile_method="averaged_inverted_cdf"), numbers)
    yield Case(
        lambda: KBinsDiscretizer(encode="ordinal", quantile_method="averaged_inverted_cdf"), single(numbers)
    )
    constant: Make = lambda rng, rows, fit: numbers(rng, rows, fit).assign(few=1.0 if fit else 2.0)  # noqa: E731
    yield Case(lambda: KBinsDiscretizer(quantile_method="averaged_inverted_cdf"), constant)


def _splines() -> Iterator[Case]:
    some: Make = lambda rng, rows, fit: numbers(rng, rows, fit)[["small", "few"]]  # noqa: E731
    for beyond in ("constant", "linear", "continue", "periodic"):
        yield from grid(
            SplineTransformer,
            some,
            extrapolation=[beyond],
            degree=[2, 3, 4],
            n_knots=[5, 8],
            include_bias=[False, True],
            knots=["uniform"],
        )
    inside: Make = lambda rng, rows, fit: pd.DataFrame({"x": np.append(rng.uniform(0, 1, rows - 2), [0, 1])})  # noqa: E731
    yield Case(
        lambda: SplineTransformer(extrapolation="error", knots=np.array([[0.0], [0.2], [1.0]])), inside
    )
    yield Case(lambda: SplineTransformer(knots="quantile", n_knots=4), inside)
    yield Case(lambda: SplineTransformer(degree=1, extrapolation="linear"), inside)
    yield Case(lambda: SplineTransformer(degree=1), some)
    yield Case(lambda: SplineTransformer(degree=0, extrapolation="periodic"), inside)
    yield Case(lambda: SplineTransformer(degree=0, extrapolation="continue"), inside)
    yield Case(lambda: SplineTransformer(handle_missing="zeros"), lambda *a: gaps(*a)[["small", "few"]])


def _words_of_text() -> Iterator[dict[str, Any]]:
    yield {}
    yield {"ngram_range": (1, 3), "lowercase": False}
    yield {"analyzer": "char", "ngram_range": (2, 3)}
    yield {"analyzer": "char_wb", "ngram_range": (1, 4), "strip_accents": "unicode"}
    yield {"strip_accents": "ascii", "binary": True}
    yield {"stop_words": "english", "ngram_range": (1, 2)}
    yield {"stop_words": ["fox", "the"], "token_pattern": r"(?u)\b\w+\b"}


def _counts() -> Iterator[Case]:
    for options in _words_of_text():
        yield Case(lambda options=options: CountVectorizer(**options), sentences)
        yield Case(
            lambda options=options: make_pipeline(CountVectorizer(**options), TfidfTransformer()), sentences
        )
    yield Case(lambda: CountVectorizer(max_features=5, min_df=2, max_df=0.9), sentences)
    yield Case(lambda: CountVectorizer(vocabulary=["the", "fox", "über", "été"]), sentences)
    yield Case(lambda: CountVectorizer(vocabulary={"the": 1, "fox": 0}, dtype=np.float32), sentences)


def _tf_idf() -> Iterator[Case]:
    for options in _words_of_text():
        yield Case(lambda options=options: TfidfVectorizer(**options), sentences)
    yield from grid(
        TfidfVectorizer,
        sentences,
        norm=["l1", "l2", None],
        use_idf=[False, True],
        smooth_idf=[False, True],
        sublinear_tf=[False, True],
    )
    yield Case(lambda: TfidfVectorizer(dtype=np.float32), sentences, rtol=1e-6)


def _tf_idf_weights() -> Iterator[Case]:
    for norm, sublinear in itertools.product(["l1", "l2", None], [False, True]):
        yield Case(
            lambda norm=norm, sublinear=sublinear: make_pipeline(
                CountVectorizer(), TfidfTransformer(norm=norm, sublinear_tf=sublinear)
            ),
            sentences,
        )
    hashed = HashingVectorizer(n_features=32, norm=None, alternate_sign=False)
    yield from grid(
        lambda **o: make_pipeline(hashed, TfidfTransformer(**o)),
        sentences,
        has_names=False,
        norm=["l2", None],
        use_idf=[False, True],
    )
    yield Case(
        lambda: make_pipeline(CountVectorizer(), SelectKBest(f_regression, k=8), TfidfTransformer()),
        sentences,
    )


def _hashed_texts() -> Iterator[Case]:
    for options in _words_of_text():
        yield Case(
            lambda options=options: HashingVectorizer(n_features=64, **options), sentences, has_names=False
        )
    yield from grid(
        HashingVectorizer,
        sentences,
        has_names=False,
        n_features=[1, 17],
        alternate_sign=[False, True],
        norm=["l1", "l2", None],
        binary=[False, True],
    )


def _hashed() -> Iterator[Case]:
    for sign in (False, True):
        options = {"n_features": 16, "input_type": "string", "alternate_sign": sign}
        yield Case(
            lambda options=options: FeatureHasher(**options),
            word_matrix,
            needs_reference=True,
            has_names=False,
        )
    several = [
        ("hash", FeatureHasher(32, input_type="string"), [0, 1]),
        ("one", OneHotEncoder(handle_unknown="ignore"), [1]),
    ]
    yield Case(lambda: ColumnTransformer(several), word_matrix, has_names=False)


def _functions() -> Iterator[Case]:
    names = """
        absolute arctan arcsinh cbrt ceil cos cosh exp exp2 expm1 fabs floor isfinite
        isinf isnan log log10 log1p log2 negative reciprocal rint sign signbit sin sinh
        sqrt square tan tanh trunc degrees radians arccos arccosh arcsin arctanh deg2rad
        rad2deg
    """
    for name in names.split():
        yield Case(
            lambda name=name: FunctionTransformer(getattr(np, name), feature_names_out="one-to-one"),
            lambda rng, rows, fit: wild(rng, rows, fit).clip(-700, 700),
        )
    yield Case(lambda: FunctionTransformer(), numbers, has_names=False)
    yield Case(lambda: FunctionTransformer(np.sqrt, validate=True), matrix(positive), has_names=False)
    yield Case(lambda: FunctionTransformer(np.exp), single(numbers), rtol=1e-6, has_names=False)
    yield Case(lambda: FunctionTransformer(np.absolute), numbers, has_names=False)


def _column_transformers() -> Iterator[Case]:
    scale, encode = StandardScaler(), OneHotEncoder(handle_unknown="ignore")
    for verbose in (True, False, "{feature_name}@{transformer_name}", lambda part, name: f"{name}|{part}"):
        yield Case(
            lambda verbose=verbose: ColumnTransformer(
                [("num", scale, ["small", "few"]), ("cat", encode, ["carrier", "flag"])],
                verbose_feature_names_out=verbose,
            ),
            texts_and_numbers,
            has_names=verbose is not False,  # a word is "nan", and a missing one has that name too
        )
    for remainder in ("drop", "passthrough", MinMaxScaler(clip=True)):
        yield Case(
            lambda remainder=remainder: ColumnTransformer(
                [
                    ("few", scale, ["few"]),
                    ("gone", "drop", ["carrier", "note"]),
                    ("level", "passthrough", ["level"]),
                ],
                remainder=remainder,
                transformer_weights={"few": 2.5, "remainder": 0.25},
            ),
            texts_and_numbers,
        )
    columns: list[Any] = [[1, -1], [3, 3], slice(1, 3), [False, True, False, True, False], slice(None, 2), []]
    for chosen in columns:
        yield Case(
            lambda chosen=chosen: ColumnTransformer([("a", scale, chosen), ("b", MaxAbsScaler(), [0])]),
            matrix(numbers),
        )
    yield Case(
        lambda: ColumnTransformer([("a", scale, slice("small", "few"))], remainder="passthrough"), gaps
    )
    yield Case(
        lambda: make_column_transformer(
            (make_pipeline(SimpleImputer(), scale), make_column_selector(dtype_include=np.floating)),
            (encode, make_column_selector(pattern="carrier|level")),
            (TfidfVectorizer(), "note"),
            (HashingVectorizer(n_features=8), "note"),
        ),
        texts_and_numbers,
        has_names=False,
    )
    yield Case(  # a word that is the name of an input
        lambda: ColumnTransformer(
            [("words", CountVectorizer(vocabulary=["fox", "note", "the"]), "note"), ("num", scale, ["few"])],
            verbose_feature_names_out=False,
        ),
        texts_and_numbers,
    )


def _unions() -> Iterator[Case]:
    for verbose in (True, False):
        yield Case(
            lambda verbose=verbose: FeatureUnion(
                [("a", StandardScaler()), ("b", PolynomialFeatures(2)), ("c", "drop")][: 3 if verbose else 1],
                verbose_feature_names_out=verbose,
                transformer_weights={"a": 3.0},
            ),
            numbers,
            rtol=1e-6,  # the powers of a float32 among doubles
        )
    yield Case(lambda: FeatureUnion([("same", "passthrough"), ("scaled", MaxAbsScaler())]), numbers)
    yield Case(lambda: make_union(TfidfVectorizer(), CountVectorizer(analyzer="char")), sentences)


def _pipelines() -> Iterator[Case]:
    tanh = FunctionTransformer(np.tanh, feature_names_out="one-to-one")
    yield Case(lambda: make_pipeline(SimpleImputer(), "passthrough", StandardScaler(), tanh), gaps)
    yield Case(
        lambda: make_pipeline(
            SimpleImputer(),
            PolynomialFeatures(2, include_bias=False),
            StandardScaler(),
            SelectKBest(f_regression, k=4),
        ),
        gaps,
        rtol=1e-6,
    )
    yield Case(lambda: Pipeline([("nothing", None), ("scale", RobustScaler())]), matrix(gaps))
    yield Case(
        lambda: make_pipeline(
            ColumnTransformer(
                [("i", SimpleImputer(), ["small"]), ("c", "passthrough", ["carrier"])]
            ).set_output(transform="pandas"),
            ColumnTransformer(
                [
                    ("s", StandardScaler(), ["i__small"]),
                    ("e", OneHotEncoder(handle_unknown="ignore"), ["c__carrier"]),
                ]
            ),
        ),
        texts_and_numbers,
    )


CASES: dict[str, list[Case]] = {
    "SimpleImputer": [*_imputers()],
    "MissingIndicator": [*_indicators()],
    "StandardScaler": [
        case
        for frame, rtol in ((gaps, 1e-9), (matrix(gaps), 1e-9), (single(gaps), 1e-6), (numbers, 1e-9))
        for case in grid(StandardScaler, frame, rtol=rtol, with_mean=[False, True], with_std=[False, True])
    ],
    "MinMaxScaler": [
        case
        for frame, rtol in ((gaps, 1e-9), (matrix(gaps), 1e-9), (single(gaps), 1e-6))
        for case in grid(
            MinMaxScaler, frame, rtol=rtol, feature_range=[(0, 1), (-2, 0.5)], clip=[False, True]
        )
    ],
    "MaxAbsScaler": [*grid(MaxAbsScaler, gaps, clip=[False, True]), Case(MaxAbsScaler, matrix(gaps))],
    "RobustScaler": [
        *grid(
            RobustScaler,
            gaps,
            with_centering=[False, True],
            with_scaling=[False, True],
            quantile_range=[(25.0, 75.0), (5.0, 80.0)],
            unit_variance=[False, True],
        ),
        Case(RobustScaler, single(gaps), rtol=1e-6),
    ],
    "QuantileTransformer": [
        case
        for frame, rtol in ((gaps, 1e-9), (matrix(gaps), 1e-9))
        for case in grid(
            QuantileTransformer,
            frame,
            rtol=rtol,
            output_distribution=["uniform", "normal"],
            n_quantiles=[5, 100],
            subsample=[10_000, 100, None],
        )
    ],
    "PowerTransformer": [
        *grid(PowerTransformer, gaps, standardize=[False, True]),
        *grid(PowerTransformer, positive, method=["box-cox", "yeo-johnson"], standardize=[False, True]),
    ],
    "KBinsDiscretizer": [*_bins()],
    "Binarizer": [
        *grid(Binarizer, numbers, threshold=[0.0, -1.0, 2.5]),
        *grid(Binarizer, tenths, needs_reference=True, threshold=[0.1, 0.3]),
    ],
    "Normalizer": [
        case
        for frame, rtol in ((numbers, 1e-9), (single(numbers), 1e-6), (matrix(numbers), 1e-9))
        for case in grid(Normalizer, frame, rtol=rtol, norm=["l1", "l2", "max"])
    ],
    "OneHotEncoder": [*_one_hot()],
    "OrdinalEncoder": [*_ordinal()],
    "TargetEncoder": [*_target()],
    "PolynomialFeatures": [
        case
        for frame in (numbers, matrix(numbers))
        for case in grid(
            PolynomialFeatures,
            frame,
            degree=[0, 1, 3, (2, 3), (0, 2)],
            interaction_only=[False, True],
            include_bias=[False, True],
        )
        if case.make().degree != 0 or case.make().include_bias
    ],
    "SplineTransformer": [*_splines()],
    "FeatureHasher": [*_hashed()],
    "HashingVectorizer": [*_hashed_texts()],
    "CountVectorizer": [*_counts()],
    "TfidfVectorizer": [*_tf_idf()],
    "TfidfTransformer": [*_tf_idf_weights()],
    "FunctionTransformer": [*_functions()],
    "VarianceThreshold": [
        *grid(VarianceThreshold, gaps, threshold=[0.0, 2.0]),
        Case(VarianceThreshold, lambda rng, rows, fit: numbers(rng, rows, fit).assign(few=1.0)),
    ],
    "SelectKBest": [
        *grid(SelectKBest, numbers, score_func=[f_regression, mutual_info_classif], k=[1, 3]),
        Case(lambda: SelectKBest(f_regression, k="all"), matrix(numbers)),
    ],
    "ColumnTransformer": [*_column_transformers()],
    "FeatureUnion": [*_unions()],
    "Pipeline": [*_pipelines()],
}
