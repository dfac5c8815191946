"""Transforms of categories: what they refuse, what they call things, and how they are cross-fitted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from penstock import transforms as t
from penstock.errors import InputError, TransformError
from penstock.transforms.categories import Categories, category_indices

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


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: t.OneHot("x", min_frequency=0),
            "one_hot: column 'x': min_frequency is 0, expected at least 1",
        ),
        (lambda: t.OneHot("x", min_frequency=1.0), "min_frequency is 1.0, expected a share from 0 to 1"),
        (lambda: t.OneHot("x", min_frequency=NAN), "min_frequency is nan"),
        (lambda: t.OneHot("x", min_frequency=True), "min_frequency is True, expected a whole number"),
        (lambda: t.OneHot("x", max_categories=0), "max_categories is 0, expected at least 1"),
        (lambda: t.Ordinal("x", max_categories=2.5), "ordinal: column 'x': max_categories is 2.5"),
        (lambda: t.OneHot("x", drop={"y": 1}), "column 'y': drop names a value of it"),
        (lambda: t.OneHot("x", drop={"x": []}), r"column 'x': drop is \[\], expected text"),
        (
            lambda: t.OneHot("x", drop=["a"]),
            r"drop is \['a'\], expected None, 'first', 'if_binary' or a dict",
        ),
        (lambda: t.FrequencyEncode("x", unit="rows"), "frequency_encode: column 'x': unit is 'rows'"),
        (lambda: t.FrequencyEncode("x", unknown="ignore"), "unknown is 'ignore', expected zero, error"),
        (lambda: t.FrequencyEncode("x", unknown=None), "unknown is None"),
        (lambda: t.TargetEncode("x", smooth=-1), "target_encode: column 'x': smooth is -1"),
        (lambda: t.TargetEncode("x", smooth=np.inf), "smooth is inf"),
        (lambda: t.TargetEncode("x", smooth="none"), "smooth is 'none'"),
        (lambda: t.TargetEncode("x", target_type="count"), "target_type is 'count'"),
        (lambda: t.TargetEncode("x", cv=1), "cv is 1, expected at least 2"),
        (lambda: t.TargetEncode("x", shuffle=1), "shuffle is 1, expected True or False"),
        (lambda: t.TargetEncode("x", seed=-1), "seed is -1, expected 0 to"),
        (lambda: t.Hash("x", 0), "hash: column 'x': buckets is 0"),
        (lambda: t.Hash("x", 2**20), "buckets is 1048576, expected 1 to 65536"),
        (lambda: t.Hash("x", 2**31, output="index"), "buckets is 2147483648"),
        (lambda: t.Hash("x", 4, output="bucket"), "output is 'bucket'"),
        (lambda: t.Hash("x", 4, signed=None), "signed is None"),
        (lambda: t.Hash("x", 4, keep=True), "name and keep go with combine"),
        (lambda: t.Hash("x", 4, name="y"), "name and keep go with combine"),
        (lambda: t.Hash(["x", "y"], 4, combine="all"), "combine is 'all'"),
        (lambda: t.Hash(["x", "y"], 4, combine="sum", output="index"), "combine='sum' makes several"),
        (lambda: t.Cross("x"), "cross: column 'x': it takes at least 2 columns, got 1"),
        (lambda: t.Cross(["x", "y"], name=""), "name is '', expected a name"),
        (lambda: t.Cross(["x", "y"], keep=1), "keep is 1"),
        (lambda: t.EmbeddingLookup("x", {}), "embedding_lookup: column 'x': table is no dict"),
        (lambda: t.EmbeddingLookup("x", [1.0]), "table is no dict"),
        (lambda: t.EmbeddingLookup("x", {"a": 1.0}), "the vector of 'a' is 1.0, expected a list of numbers"),
        (lambda: t.EmbeddingLookup("x", {"a": []}), r"the vector of 'a' is \[\]"),
        (lambda: t.EmbeddingLookup("x", {"a": "12"}), "the vector of 'a' is '12'"),
        (lambda: t.EmbeddingLookup("x", {"a": [NAN]}), "the vector of 'a' holds NaN or infinity"),
        (lambda: t.EmbeddingLookup("x", {"a": [1.0], "b": [1.0, 2.0]}), "vectors of different lengths"),
        (
            lambda: t.EmbeddingLookup("x", {"a": [1.0]}, unknown=[1.0, 2.0]),
            "unknown is a vector of 2 numbers",
        ),
        (lambda: t.EmbeddingLookup("x", {"a": [1.0]}, unknown="vector"), "unknown is 'vector', expected"),
        (lambda: t.EmbeddingLookup("x", {"a": [1.0]}, unknown="nan"), "unknown is 'nan'"),
        (lambda: t.EmbeddingLookup("x", {(1,): [1.0]}), "is no category"),
    ],
)
def test_parameters_are_checked(make: Callable[[], t.Transform], said: str) -> None:
    with pytest.raises(TransformError, match=said):
        make()


@pytest.mark.parametrize(
    ("transform", "target", "said"),
    [
        (
            t.OneHot("carrier", drop={"carrier": "XX"}),
            None,
            "drop names 'XX', which is no category; there are AA",
        ),
        (t.OneHot("month", drop={"month": None}), None, "column 'month': drop names None"),
        (t.TargetEncode("carrier"), None, "column 'carrier': it learns from the target; give one to fit"),
        (t.TargetEncode("carrier"), [1.0, NAN, 2, 3, 4, 5], "the target has missing or infinite values"),
        (t.TargetEncode("carrier"), ["a", None, "a", "b", "a", "b"], "the target has missing values"),
        (t.TargetEncode("carrier", target_type="continuous"), TARGET, "the target is text"),
        (
            t.TargetEncode("carrier", target_type="binary"),
            TARGET,
            "the target has 3 classes, expected at most 2",
        ),
        (
            t.TargetEncode("carrier", target_type="multiclass"),
            [0, 1] * 3,
            "has 2 classes, expected at least 3",
        ),
        (t.TargetEncode("carrier", cv=7), np.arange(6) / 4, "cv is 7, and there are 6 rows"),
        (t.TargetEncode("carrier", cv=4), TARGET, "cv is 4, and no class has as many rows"),
        (
            t.TargetEncode("carrier", cv=2),
            np.array([1e308, -1e308, 1e308, 1e308, 0.5, 0]),
            "too large values",
        ),
        (t.Hash("gate", 4), None, "column 'gate': it is FP64, expected text or integers"),
        (t.EmbeddingLookup("month", {"a": [1.0]}), None, "the category 'a' does not occur in INT64"),
        (t.EmbeddingLookup("month", {7: [1.0], None: [2.0]}), None, "INT64 knows no missing value"),
        (t.EmbeddingLookup("month"), None, "it has no table"),
    ],
)
def test_columns_and_targets_that_cannot_be_learned_from_are_refused(
    transform: t.Transform, target: Any, said: str
) -> None:
    with pytest.raises(TransformError, match=f"{transform.kind}: .*{said}"):
        make_features(transform, target=target)


def test_a_target_that_is_neither_numbers_nor_text_is_refused() -> None:
    with pytest.raises(InputError, match=r"column 'target': .* expected numbers or text"):
        make_features(t.TargetEncode("carrier", cv=2), target=[1, "late", 2, "early", 3, "late"])


def test_many_whole_numbers_as_a_target_are_asked_about() -> None:
    frame, target = {"x": ["a", "b"] * 101}, np.arange(202)
    with pytest.raises(TransformError, match="202 distinct whole numbers: say target_type='continuous'"):
        t.Features([t.TargetEncode("x")]).fit(frame, target)
    said = t.Features([t.TargetEncode("x", target_type="continuous", smooth=0)]).fit(frame, target)
    np.testing.assert_array_equal(said.transform({"x": ["a", "b", "c"]})[:, 0], [100, 101, 100.5])


def test_columns_of_too_many_combinations_are_refused() -> None:
    names = [f"c{index}" for index in range(32)]
    frame = {name: [str(value) for value in range(4)] for name in names}
    with pytest.raises(TransformError, match=r"cross: column 'c0': it has 2\^63 possible combinations"):
        t.Features([t.Cross(names), t.OneHot("|".join(names))]).fit(frame)


@pytest.mark.parametrize(
    "transform",
    [
        t.OneHot("carrier", unknown="error", min_frequency=2),
        t.FrequencyEncode("carrier", unknown="error"),
        t.TargetEncode("carrier", unknown="error", cv=2),
        t.EmbeddingLookup(
            "carrier", {"AA": [1, 2], "UA": [3, 4], "B6": [5, 6], None: [0, 0]}, unknown="error"
        ),
    ],
)
def test_an_unknown_value_that_is_an_error_names_its_row(transform: t.Transform) -> None:
    features = make_features(transform, target=TARGET)
    assert features.transform({"carrier": ["UA", None]}).shape[0] == 2
    with pytest.raises(InputError, match=r"row 1.*XX"):
        features.transform({"carrier": ["UA", "XX", "YY"]})


def test_outputs_have_readable_names() -> None:
    features = make_features(
        t.OneHot("carrier", min_frequency=2, drop={"carrier": "AA"}),
        t.Cross(["origin", "month"]),
        t.OneHot("origin|month", max_categories=3),
        t.EmbeddingLookup("gate", {0.0: [1, 2], None: [3, 4]}),
    )
    assert features.output_names == [
        "carrier_infrequent",
        "origin|month=back\\\\slash|-3",
        "origin|month=|12",
        "origin|month_infrequent",
        "gate_0",
        "gate_1",
    ]
    classes = make_features(t.TargetEncode(["carrier", "month"], cv=2), target=TARGET)
    assert classes.output_names == [
        f"{column}_{name}" for column in ("carrier", "month") for name in ("early", "late", "on time")
    ]


def test_missing_may_be_infrequent_in_one_hot_and_never_in_ordinal() -> None:
    frame = {"x": ["a", "a", "b", "b", "c", None]}
    one_hot = t.Features([t.OneHot("x", min_frequency=2)]).fit(frame)
    assert one_hot.output_names == ["x=a", "x=b", "x_infrequent"]
    np.testing.assert_array_equal(
        one_hot.transform({"x": ["c", None, "d"]}), [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    )
    ordinal = t.Ordinal("x", min_frequency=2, unknown="value", unknown_value=2, missing_value=-1)
    made = t.Features([ordinal]).fit(frame).transform({"x": ["a", "b", "c", None, "d"]})
    np.testing.assert_array_equal(made[:, 0], [0, 1, 2, -1, 2])


def test_dropping_an_infrequent_value_drops_all_infrequent_ones() -> None:
    features = t.Features([t.OneHot("x", min_frequency=2, drop={"x": "c"}, unknown="infrequent")])
    features.fit({"x": ["a", "a", "b", "b", "c", "d"]})
    assert features.output_names == ["x=a", "x=b"]
    np.testing.assert_array_equal(features.transform({"x": ["d", "b", "zz"]}), [[0, 0], [0, 1], [0, 0]])


def test_combined_columns_go_unless_they_are_kept() -> None:
    gone = make_features(t.Select("gate"), t.Cross(["carrier", "month"]), t.Ordinal("carrier|month"))
    assert gone.output_names == ["gate", "carrier|month"]
    kept = make_features(t.Cross(["month", "gate"], name="both", keep=True), t.FrequencyEncode("both"))
    assert kept.output_names == ["month", "both", "gate"]
    np.testing.assert_array_equal(
        kept.transform(FRAME)[:, [0, 2]], np.column_stack([FRAME["month"], FRAME["gate"]])
    )
    summed = make_features(t.Hash(["month", "carrier"], 2, combine="sum", keep=True), t.Ordinal("carrier"))
    assert summed.output_names == ["month", "month|carrier_0", "month|carrier_1", "carrier"]


def test_a_combination_of_parts_that_hold_the_separator_is_no_other_one() -> None:
    frame = {"a": ["x|", "x", "x\\", "", "\\missing", None], "b": ["y", "|y", "|y", "\\||", "y", "y"]}
    features = t.Features([t.Cross(["a", "b"]), t.Ordinal("a|b", unknown="value", unknown_value=-1)]).fit(
        frame
    )
    assert sorted(features.transform(frame)[:, 0].tolist()) == [0, 1, 2, 3, 4, 5]
    other = {"a": ["x", "x|", None, "\\unseen"], "b": ["y", "|y", "", ""]}
    np.testing.assert_array_equal(features.transform(other)[:, 0], [-1, -1, -1, -1])


def test_what_is_new_in_a_cross_may_have_a_vector() -> None:
    table = {"AA|JFK": [1.0, 0.0], r"\unseen": [0.5, 0.5]}
    features = make_features(t.Cross(["carrier", "origin"]), t.EmbeddingLookup("carrier|origin", table))
    made = features.transform({"carrier": ["AA", "AA", "ZZ"], "origin": ["JFK", "", "JFK"]})
    np.testing.assert_array_equal(made, [[1, 0], [0.5, 0.5], [0.5, 0.5]])


def test_hashing_a_combination_is_hashing_what_cross_writes() -> None:
    columns = ["carrier", "origin", "month"]
    crossed = make_features(t.Cross(columns), t.Hash("|".join(columns), 1000, output="index"))
    at_once = make_features(t.Hash(columns, 1000, output="index", combine="cross"))
    np.testing.assert_array_equal(at_once.transform(FRAME), crossed.transform(FRAME))


@pytest.mark.parametrize("kind", ["continuous", "binary", "multiclass"])
@pytest.mark.parametrize(("smooth", "shuffle"), [("auto", True), (3.5, True), ("auto", False)])
@pytest.mark.parametrize("cv", [2, 5])
def test_fit_transform_is_cross_fitted_as_scikit_learns(
    kind: str, smooth: Any, shuffle: bool, cv: int
) -> None:
    rng = np.random.default_rng(cv)
    carriers = rng.choice(np.array(["AA", "UA", "", "Zürich"], object), 203)
    rare = np.array([f"r{index // 2}" for index in range(203)], object)  # not in every fold
    target: Any = {
        "continuous": rng.normal(3, 10, 203),
        "binary": rng.random(203) < 0.3,
        "multiclass": rng.choice(["on time", "late", "early"], 203).tolist(),
    }[kind]
    frame = {"carrier": carriers.tolist(), "rare": rare.tolist()}
    transform = t.TargetEncode(["carrier", "rare"], smooth=smooth, cv=cv, shuffle=shuffle, seed=9)
    features = t.Features([transform])
    made = features.fit_transform(frame, target)
    folds = (KFold if kind == "continuous" else StratifiedKFold)(
        cv, shuffle=shuffle, random_state=9 if shuffle else None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = TargetEncoder(smooth=smooth, cv=folds)
        expected = encoder.fit_transform(np.column_stack([carriers, rare]), target)
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(
        features.transform(frame), encoder.transform(np.column_stack([carriers, rare]))
    )
    assert (made != features.transform(frame)).any()


def test_values_outside_the_given_categories_are_encoded_as_the_mean_of_the_other_folds() -> None:
    target = np.array([0.0, 1, 2, 3, 4, 5.5])
    transform = t.TargetEncode("carrier", categories=["AA"], smooth=0, cv=2, shuffle=False)
    made = t.Features([transform]).fit_transform(FRAME, target)[:, 0]
    np.testing.assert_allclose(made, [(3 + 5.5) / 2, 12.5 / 3, 12.5 / 3, 0.0, 1.0, 0.0])


def test_what_follows_a_target_encode_is_fitted_on_cross_fitted_values() -> None:
    target = np.array([0.0, 1, 2, 3, 4, 5.5])
    encode = t.TargetEncode("carrier", cv=2, shuffle=False)
    alone = t.Features([encode]).fit_transform(FRAME, target)
    both = t.Features([encode, t.Standardize("carrier")]).fit_transform(FRAME, target)
    np.testing.assert_allclose(both, (alone - alone.mean()) / alone.std(), rtol=1e-12)


def test_categories_of_any_length_are_told_apart() -> None:
    texts = ["x" * size for size in range(40)] + ["y" + "x" * size for size in range(40)]
    texts += [("x" * size)[:-2] + "\0x" for size in range(2, 40)] + ["\0" * size for size in range(1, 20)]
    features = t.Features([t.Ordinal("x", unknown="value", unknown_value=-1, categories=texts)]).fit(
        {"x": texts}
    )
    np.testing.assert_array_equal(features.transform({"x": texts})[:, 0], np.arange(len(texts)))
    others = ["z" + text for text in texts]
    assert (features.transform({"x": others}) == -1).all()


@given(st.integers(1, 3000), st.sampled_from(["text", "integers", "floats"]))
@settings(max_examples=15, deadline=None)
def test_tables_of_any_size_find_every_category(size: int, kind: str) -> None:
    column: Any = np.arange(size) * 1000 - 7
    if kind == "text":
        column = [f"category {value}" for value in column]
    elif kind == "floats":
        column = column / 8
    features = t.Features([t.Ordinal("x", categories=list(column), unknown="value", unknown_value=-1)])
    np.testing.assert_array_equal(features.fit({"x": column}).transform({"x": column})[:, 0], np.arange(size))


def test_given_categories_are_as_the_column_holds_them() -> None:
    tenths = np.array([0.1, 0.2], np.float32)
    features = t.Features([t.Ordinal("x", categories=[0.2, 0.1])]).fit({"x": tenths})
    np.testing.assert_array_equal(features.transform({"x": tenths})[:, 0], [1, 0])
    with pytest.raises(TransformError, match="the category -1 does not occur in UINT64"):
        t.Features([t.Ordinal("x", categories=[-1])]).fit({"x": np.array([1], np.uint64)})


def test_category_indices_agree_with_the_kernels() -> None:
    values = np.array([5, 2**63 + 5, 7, 0, 2**64 - 1], np.uint64)
    categories = Categories((7, 5), False)
    np.testing.assert_array_equal(category_indices(values, categories), [1, -1, 0, -1, -1])
    features = t.Features([t.Ordinal("x", categories=[7, 5], unknown="value", unknown_value=-1)])
    np.testing.assert_array_equal(
        features.fit({"x": values}).transform({"x": values})[:, 0], [1, -1, 0, -1, -1]
    )
    floats = Categories((3.0, 0.0), True)
    np.testing.assert_array_equal(category_indices(np.array([-0.0, 3, NAN, 4]), floats), [1, 0, 2, -1])
    assert category_indices(["b", None, b"a", "c"], Categories((b"a", b"b"), False)).tolist() == [
        1,
        -1,
        0,
        -1,
    ]
