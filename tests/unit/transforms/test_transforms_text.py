"""Transforms of text: characters, long texts, and what they refuse."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

from penstock import transforms as t
from penstock.errors import TransformError

Array = np.ndarray[Any, Any]
EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def of_texts(transform: t.Transform, texts: list[Any]) -> Array:
    return t.Features([transform]).fit({"x": ["one text"]}).transform({"x": texts})


@pytest.mark.parametrize("strip_accents", [None, "ascii", "unicode"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_of_unicode_becomes_what_scikit_learn_makes_of_it(
    lowercase: bool, strip_accents: Any
) -> None:
    # In order, and so that each comes beside others: what a capital sigma becomes hangs on them.
    shuffled = random.Random(1).sample(EVERY_CHARACTER, len(EVERY_CHARACTER))
    mixed = [character + "Σ" for character in EVERY_CHARACTER[:0x3000]]
    texts = ["".join(part[at : at + 5000]) for part in (shuffled, mixed) for at in range(0, len(part), 5000)]
    parameters: dict[str, Any] = {"analyzer": "char", "lowercase": lowercase, "strip_accents": strip_accents}
    parameters |= {"n_features": 512, "norm": None, "alternate_sign": False}
    expected = HashingVectorizer(**parameters).transform(texts).toarray()
    np.testing.assert_array_equal(of_texts(t.TextHash("x", **parameters), texts), expected)


def test_every_character_is_in_a_word_or_between_words_as_in_scikit_learn() -> None:
    texts = ["ab".join(EVERY_CHARACTER[at : at + 5000]) for at in range(0, len(EVERY_CHARACTER), 5000)]
    parameters: dict[str, Any] = {"n_features": 512, "norm": None}
    expected = HashingVectorizer(**parameters).transform(texts).toarray()
    np.testing.assert_array_equal(of_texts(t.TextHash("x", **parameters), texts), expected)


@pytest.mark.parametrize(
    ("text", "lower"),
    [
        ("ΟΔΟΣ", "οδος"),
        ("Σ", "σ"),
        ("ΑΣ.", "ας."),
        ("ΑΣ.Α", "ασ.α"),
        ("Α\u0301'Σ'\u0301 Α", "α\u0301'ς'\u0301 α"),
        ("İI", "i\u0307i"),
    ],
)
def test_text_is_lowercased_as_python_does(text: str, lower: str) -> None:
    assert text.lower() == lower
    whole = t.TfIdf(
        "x", analyzer="char", ngram_range=(len(lower), len(lower)), vocabulary=[lower], use_idf=False
    )
    assert of_texts(whole, [text]).tolist() == [[1.0]]


@pytest.mark.parametrize("analyzer", ["word", "char", "char_wb"])
def test_long_words_texts_and_white_space_are_read_to_their_end(analyzer: Any) -> None:
    word = "Überlänge" * 10_000
    texts = [
        word,
        "kurz " * 20_000 + word + " " + word,
        " " * 1_000_000 + "a" + "\n" * 1_000_000,
        "'Σ" * 30_000,
    ]
    parameters: dict[str, Any] = {"analyzer": analyzer, "ngram_range": (1, 3)}
    hashed = t.TextHash("x", n_features=64, norm=None, **parameters)
    expected = HashingVectorizer(n_features=64, norm=None, **parameters).transform(texts).toarray()
    np.testing.assert_array_equal(of_texts(hashed, texts), expected)
    terms = ["kurz", "kurz kurz", "ürz", " ku", "kur", "  ", "z k", " a ", "σ", "ς", "läng"]
    counts = t.TfIdf("x", vocabulary=terms, use_idf=False, norm=None, **parameters)
    known = CountVectorizer(vocabulary=terms, **parameters).transform(texts).toarray()
    np.testing.assert_array_equal(of_texts(counts, texts), known)


def test_texts_whose_hashes_could_collide_are_told_apart() -> None:
    terms = sorted({f"{a}{b}{c}" for a in "abcdefgh" for b in "abcdefgh" for c in ("", "x" * 9, "y" * 20)})
    found = of_texts(
        t.TfIdf("x", vocabulary=terms, use_idf=False, norm=None), [*terms, "abz", "ab" + "y" * 19]
    )
    np.testing.assert_array_equal(found, np.vstack([np.eye(len(terms)), np.zeros((2, len(terms)))]))


def test_missing_and_empty_texts_are_zeros() -> None:
    for transform in (t.TextHash("x", 3), t.TfIdf("x", vocabulary=["one"])):
        np.testing.assert_array_equal(of_texts(transform, [None, "", " ", "\n"])[:, :1], np.zeros((4, 1)))


def test_bytes_are_utf8_text() -> None:
    for transform in (t.TextHash("x", 9), t.TfIdf("x", vocabulary=["été", "one"])):
        made = of_texts(transform, ["Été one", "Été one".encode()])
        assert made.any()
        np.testing.assert_array_equal(made[0], made[1])


def test_columns_have_vocabularies_of_their_own() -> None:
    features = t.Features([t.TfIdf(["a", "b"], use_idf=False, norm=None)])
    made = features.fit_transform({"a": ["aa bb", "cc"], "b": ["dd", None]})
    assert features.output_names == ["a=aa", "a=bb", "a=cc", "b=dd"]
    np.testing.assert_array_equal(made, [[1, 1, 0, 1], [0, 0, 1, 0]])


def test_a_vocabulary_is_in_the_order_of_its_list_its_indices_or_its_text() -> None:
    for terms in (["b1", "a1"], {"a1": 1, "b1": 0}):
        assert t.Features([t.TfIdf("x", vocabulary=terms)]).fit({"x": ["a1"]}).output_names == [
            "x=b1",
            "x=a1",
        ]
    assert t.Features([t.TfIdf("x", vocabulary={"b1", "a1"})]).fit({"x": ["a1"]}).output_names == [
        "x=a1",
        "x=b1",
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: t.TextHash("x", 0), "text_hash: column 'x': n_features is 0, expected at least 1"),
        (lambda: t.TextHash("x", True), "n_features is True"),
        (
            lambda: t.TextHash("x", 2**20),
            "n_features is 1048576, and rows are dense: at most 65536 .* max_features",
        ),
        (
            lambda: t.TextHash("x", analyzer="words"),
            "analyzer is 'words', expected word, char, char_wb",
        ),
        (lambda: t.TextHash("x", analyzer=str.split), "analyzer is <method"),
        (
            lambda: t.TextHash("x", ngram_range=(2, 1)),
            r"ngram_range is \(2, 1\), expected the smaller number first",
        ),
        (lambda: t.TextHash("x", ngram_range=(0, 1)), "ngram_range is 0, expected 1 to 32"),
        (lambda: t.TextHash("x", ngram_range=(1, 33)), "ngram_range is 33, expected 1 to 32"),
        (lambda: t.TextHash("x", ngram_range=(1.0, 2)), "ngram_range is 1.0, expected a whole number"),
        (lambda: t.TextHash("x", ngram_range=3), "ngram_range is 3, expected two whole numbers"),
        (lambda: t.TextHash("x", token_pattern=r"\w+"), r"token_pattern is '\\\\w\+', which is not compiled"),
        (lambda: t.TextHash("x", token_pattern=None), "token_pattern is None"),
        (lambda: t.TextHash("x", lowercase=1), "lowercase is 1, expected True or False"),
        (
            lambda: t.TextHash("x", strip_accents="latin"),
            "strip_accents is 'latin', expected None, ascii",
        ),
        (
            lambda: t.TextHash("x", stop_words="english"),
            "stop_words is 'english'; no list comes with penstock",
        ),
        (lambda: t.TextHash("x", stop_words=["a", 1]), "stop_words holds 1, expected a list of text"),
        (lambda: t.TextHash("x", stop_words=["\ud800"]), "stop_words holds"),
        (lambda: t.TextHash("x", stop_words=7), "stop_words holds None"),
        (lambda: t.TextHash("x", stop_words=["a"], analyzer="char"), "stop_words goes with analyzer='word'"),
        (lambda: t.TextHash("x", norm="max"), "norm is 'max', expected None, l1, l2"),
        (lambda: t.TextHash("x", binary=None), "binary is None"),
        (lambda: t.TextHash("x", alternate_sign="no"), "alternate_sign is 'no'"),
        (
            lambda: t.TfIdf("x", min_df=0),
            "tf_idf: column 'x': min_df is 0, expected at least 1",
        ),
        (
            lambda: t.TfIdf("x", min_df=1.5),
            "min_df is 1.5, expected a share from 0 to 1, or a number of texts",
        ),
        (lambda: t.TfIdf("x", max_df=True), "max_df is True"),
        (lambda: t.TfIdf("x", max_df="all"), "max_df is 'all'"),
        (lambda: t.TfIdf("x", max_features=0), "max_features is 0"),
        (lambda: t.TfIdf("x", use_idf=1), "use_idf is 1"),
        (lambda: t.TfIdf("x", vocabulary="abc"), "vocabulary is 'abc', expected terms"),
        (lambda: t.TfIdf("x", vocabulary=[]), "vocabulary is empty"),
        (lambda: t.TfIdf("x", vocabulary=[1]), "vocabulary holds 1, expected text"),
        (lambda: t.TfIdf("x", vocabulary=["\udfff"]), "vocabulary holds"),
        (lambda: t.TfIdf("x", vocabulary=["a", "a"]), "vocabulary has the term 'a' twice"),
        (lambda: t.TfIdf("x", vocabulary={"a": 0, "b": 2}), "indices of vocabulary are not 0 to 1"),
        (lambda: t.TfIdf("x", vocabulary={"a": 0, "b": None}), "indices of vocabulary are not 0 to 1"),
        (lambda: t.TfIdf("x", vocabulary=["a"], min_df=2), "vocabulary gives them; drop either"),
        (lambda: t.TfIdf("x", vocabulary=map(str, range(70000))), "vocabulary is <map"),
        (
            lambda: t.TfIdf("x", vocabulary=list(map(str, range(70000)))),
            "there are 70000 terms, and .* at most 65536",
        ),
    ],
)
def test_parameters_are_refused_by_name(make: Callable[[], t.Transform], said: str) -> None:
    with pytest.raises(TransformError, match=said):
        make()


@pytest.mark.parametrize(
    ("transform", "texts", "said"),
    [
        (t.TextHash("x"), [1.0], "text_hash: column 'x': it is FP64, expected text"),
        (t.TfIdf("x"), [1], "tf_idf: column 'x': it is INT64, expected text"),
        (t.TfIdf("x"), ["", "a"], "no text has a term; are all empty"),
        (t.TfIdf("x", stop_words=["aa"]), ["aa", None], "no text has a term"),
        (t.TfIdf("x", min_df=2), ["aa", "bb"], "of 2 terms none is in 2 to 2 of 2 texts"),
        (t.TfIdf("x", min_df=2, max_df=1), ["aa"], "max_df 1 is fewer of 1 texts than min_df 2"),
        (t.TfIdf("x", smooth_idf=False, vocabulary=["aa", "bb"]), ["aa"], "no text has the term 'bb'"),
        (t.TfIdf("x"), ["aa", b"\xff"], "row 1 is not valid UTF-8"),
        (t.TfIdf("x"), ["aa", "\udcff"], "row 1 holds a lone surrogate"),
        (
            t.TfIdf("x", analyzer="char", ngram_range=(2, 2)),
            ["".join(EVERY_CHARACTER[:70000])],
            "terms, and rows are dense",
        ),
    ],
)
def test_texts_that_cannot_be_learned_from_are_refused(
    transform: t.Transform, texts: list[Any], said: str
) -> None:
    with pytest.raises(TransformError, match=said):
        t.Features([transform]).fit({"x": texts})


def fitted() -> t.Features:
    transforms = [
        t.TextHash("a", 4, strip_accents="unicode", stop_words=["of"]),
        t.TfIdf("b", max_features=3),
        t.TfIdf("c", vocabulary=["on", "of"], use_idf=False),
    ]
    return t.Features(transforms).fit({name: ["on the way", "of the year"] for name in "abc"})


def saved() -> tuple[Any, dict[str, Array]]:
    features = fitted()
    return json.loads(json.dumps(features.document())), {n: a.copy() for n, a in features.arrays().items()}


def put(name: str, values: Any, dtype: Any) -> Callable[[Any, dict[str, Array]], None]:
    return lambda _, arrays: arrays.__setitem__(name, np.array(values, dtype))


def at(name: str, index: int, value: int) -> Callable[[Any, dict[str, Array]], None]:
    return lambda _, arrays: arrays[name].__setitem__(index, value)


def test_saved_text_transforms_come_back_as_they_were() -> None:
    features = fitted()
    again = t.Features.from_saved(*saved())
    frame = {name: ["On the way of the year", None] for name in "abc"}
    assert repr(again.transforms) == repr(features.transforms)
    assert again.output_names == features.output_names
    np.testing.assert_array_equal(again.transform(frame), features.transform(frame))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _, arrays: arrays.pop("0.characters.pages"), "the array 'characters.pages' is missing"),
        (put("0.characters.pages", [0], np.uint16), "'characters.pages' has 1 elements, expected 4352"),
        (at("0.characters.pages", 9, 999), "'characters.pages' does not fit 'characters.entries'"),
        (put("0.characters.entries", [0] * 255, np.uint32), "does not fit"),
        (put("0.characters.entries", [], np.uint32), "does not fit"),
        (at("0.characters.entries", ord("A"), ord("b") << 8 | 5), "makes something else of ASCII"),
        (at("0.characters.entries", 300, 1 << 8), r"holds 256 at 300, which is no entry"),
        (at("0.characters.entries", 300, 3 << 2), "is no entry"),
        (at("0.characters.entries", 300, 3 << 4), "is no entry"),
        (at("0.characters.entries", 300, 1 << 6), "is no entry"),
        (at("0.characters.entries", 300, 0xD800 << 8 | 1), "is no entry"),
        (at("0.characters.entries", 300, 0x110000 << 8 | 1), "is no entry"),
        (at("0.characters.entries", 300, 0xFFFFFF << 8 | 2), "is no entry"),
        (at("0.characters.entries", 300, 0xFFFFFF << 8 | 3), "is no entry"),
        (put("0.characters.outputs", [], np.uint32), "is no entry"),
        (lambda _, arrays: arrays["0.characters.outputs"].fill(0xFFFFFFFF), "is no entry"),
        (put("1.0.idf", [1.0, 1.0, 0.5], np.float64), "'0.idf' holds a weight below 1"),
        (put("1.0.idf", [1.0, 1.0, np.inf], np.float64), "'0.idf' holds NaN or infinity"),
        (put("1.0.idf", [1.0], np.float64), "'0.idf' has 1 elements, expected 3"),
        (put("2.0.idf", [1.0, 1.0], np.float64), "'0.idf' is no part of it"),
        (put("1.0.terms.offsets", [0, 2, 1, 3, 8], np.int64), "does not divide"),
        (put("1.0.terms.offsets", [0], np.int64), "does not divide"),
        (put("1.0.terms.text", [*b"theofon"], np.uint8), "are not in ascending order"),
        (lambda _, arrays: arrays["1.0.terms.text"].fill(0xFF), "is not UTF-8"),
        (lambda _, arrays: arrays["2.0.terms.text"].sort(), "are not those of its vocabulary"),
        (
            lambda document, _: document["transforms"][1]["parameters"].update(max_features=2),
            "3 terms, expected 1 to 2",
        ),
        (
            lambda document, _: document["transforms"][1].update(learned={"more": 1}),
            "'more' is no part of it",
        ),
        (lambda document, _: document["inputs"][0].__setitem__(1, "FP64"), "it is FP64, expected text"),
        (
            lambda document, _: document["transforms"][0]["parameters"].update(lowercase=False),
            "makes something else of ASCII",
        ),
    ],
)
def test_a_spoilt_state_is_refused_by_name(spoil: Callable[[Any, dict[str, Array]], Any], said: str) -> None:
    document, arrays = saved()
    spoil(document, arrays)
    with pytest.raises(TransformError, match=said):
        t.Features.from_saved(document, arrays)


def test_terms_of_an_empty_array_are_refused() -> None:
    document, arrays = saved()
    arrays["1.0.terms.offsets"], arrays["1.0.terms.text"] = np.zeros(1, np.int64), np.empty(0, np.uint8)
    with pytest.raises(TransformError, match="column 'b' has 0 terms, expected 1 to 3"):
        t.Features.from_saved(document, arrays)


@given(name=st.sampled_from(sorted(saved()[1])), data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_change_of_an_array_is_refused_or_runs(name: str, data: st.DataObject) -> None:
    document, arrays = saved()
    changed = data.draw(st.lists(st.integers(0, max(0, arrays[name].size - 1)), min_size=1, max_size=3))
    raw = np.frombuffer(data.draw(st.binary(min_size=8, max_size=8)), arrays[name].dtype)
    arrays[name][changed] = raw[0]
    frame = {column: ["The ΟΔΟΣ of été on the way", None] for column in "abc"}
    try:
        features = t.Features.from_saved(document, arrays)
    except TransformError:
        return
    assert features.transform(frame).shape == (2, len(features.output_names))
