"""TextHash and TfIdf against scikit-learn's HashingVectorizer, CountVectorizer and TfidfVectorizer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st
from parity_cases import AWKWARD_TEXTS, Array, Case
from sklearn.feature_extraction.text import (
    ENGLISH_STOP_WORDS,
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)

from penstock import transforms as t

Texts = list[str | None]

# Every kind of white space, letters whose lower case is several or depends on their neighbours, what
# combines, what decomposes into several characters, digits of other scripts, and what str.isalnum() takes and
# a person might not.
CHARACTERS = [
    *"aabbAB1_ \t\n\r\v\f\x1c\x1f\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000",
    *"'’-.,:·\xad\u200b\u200d\u0345\u0301\u0308\u0323\u20dd",
    *"ΣΣσςΑΟΔίİIıßẞéÉñÅÅǺŉǅǆﬁﷺ㈱①Ⅳⅳⓐªºʰ",
    *"٣५߀𝟘한글漢字ｱカﾞﾟ🛫👩𝚺𝐀𐐀\ud7a3\ue000\ufffd\U0010ffff",
]
WORDS = [
    "the",
    "The",
    "of",
    "flight",
    "FLIGHT",
    "delay",
    "Zürich",
    "x",
    "été",
    "ΟΔΟΣ",
    "it's",
    "b6",
    "_",
    "snake_case",
]
LONG = "antidisestablishmentarianism" * 30  # a word that no buffer holds


def _text(rng: np.random.Generator) -> str | None:
    kind = rng.integers(0, 12)
    if kind == 0:
        return AWKWARD_TEXTS[rng.integers(0, len(AWKWARD_TEXTS))] if rng.random() < 0.7 else None
    if kind < 5:
        return " ".join(rng.choice(WORDS, rng.integers(0, 30)))
    if kind < 10:
        return "".join(rng.choice(CHARACTERS, rng.integers(0, 60)))
    if kind == 10:
        codes = rng.choice([0x80, 0x800, 0x3000, 0x20000, 0x110000], rng.integers(0, 40))
        return "".join(chr(c) for c in rng.integers(0, codes) if not 0xD800 <= c < 0xE000)
    if rng.random() < 0.8:
        return f"{LONG} {LONG}. b{LONG}" + "".join(rng.choice(CHARACTERS, 20))
    return "".join(rng.choice([*CHARACTERS, *WORDS, " "], rng.integers(500, 3000)))


def texts(*also: str) -> st.SearchStrategy[Texts]:
    """With missing ones among them; `also` are there whatever is drawn."""
    few = st.lists(st.sampled_from([*AWKWARD_TEXTS, None]) | st.text(max_size=40), max_size=20)
    many = st.builds(
        lambda seed, size: [_text(rng) for rng in [np.random.default_rng(seed)] for _ in range(size)],
        st.integers(0, 2**32 - 1),
        st.integers(1, 100),
    )
    return st.builds(lambda found: [*found, *also], few | many)


def _known(column: Texts) -> list[str]:
    return [text or "" for text in column]


def hashed(**parameters: Any) -> Callable[[Texts, Texts], Array]:
    def reference(train: Texts, rows: Texts) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of stop words that no token can be
            return np.asarray(HashingVectorizer(**parameters).transform(_known(rows)).toarray())

    return reference


def weighted(**parameters: Any) -> Callable[[Texts, Texts], Array]:
    def reference(train: Texts, rows: Texts) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = TfidfVectorizer(**parameters).fit(_known(train))
            return np.asarray(found.transform(_known(rows)).toarray())

    return reference


def counted(**parameters: Any) -> Callable[[Texts, Texts], Array]:
    def reference(train: Texts, rows: Texts) -> Array:
        return np.asarray(
            CountVectorizer(**parameters).fit(_known(train)).transform(_known(rows)).toarray(), np.float64
        )

    return reference


def most_frequent(train: Texts, rows: Texts) -> Array:
    """The 12 most frequent terms; scikit-learn leaves open which of equally frequent ones."""
    counter = CountVectorizer(ngram_range=(1, 2))
    counts = np.asarray(counter.fit_transform(_known(train)).sum(axis=0)).ravel()
    terms = counter.get_feature_names_out()[np.argsort(-counts, kind="stable")[:12]]
    return weighted(ngram_range=(1, 2), vocabulary=sorted(terms))(train, rows)


def hash_case(name: str, **parameters: Any) -> Case:
    given = {"n_features": 64, **parameters}
    make = partial(t.TextHash, "x", **given)
    return Case(name, make, texts("one text"), texts("One more."), hashed(**given))


def tf_idf_case(name: str, *, counts: bool = False, **parameters: Any) -> Case:
    """`counts`: against CountVectorizer."""
    given = {**parameters, "use_idf": False, "norm": None} if counts else parameters
    reference = counted(**parameters) if counts else weighted(**parameters)
    train = texts("the flight of the delay", "The flight, delay of 12", "a b c")
    return Case(name, partial(t.TfIdf, "x", **given), train, texts("flight the the"), reference, exact=counts)


SINGLE = r"(?u)\b\w+\b"
STOP_WORDS = ["the", "of", "été", "οδος", "b6", LONG]

PARITY: dict[str, list[Case]] = {
    "text_hash": [
        hash_case("words"),
        hash_case("words, one column", n_features=1, norm="l1"),
        hash_case("words, unsigned", n_features=1000, alternate_sign=False, norm=None),
        hash_case("all words, 1 to 3", token_pattern=SINGLE, ngram_range=(1, 3), norm=None),
        hash_case("words but stop words", token_pattern=SINGLE, stop_words=STOP_WORDS, ngram_range=(2, 2)),
        hash_case("characters", analyzer="char", ngram_range=(1, 4), norm="l1"),
        hash_case("characters, binary", analyzer="char", ngram_range=(2, 3), binary=True, n_features=7),
        hash_case("characters of words", analyzer="char_wb", ngram_range=(2, 5)),
        hash_case("long n-grams of words", analyzer="char_wb", ngram_range=(31, 32), lowercase=False),
        hash_case("without accents", strip_accents="unicode", analyzer="char", lowercase=False, norm=None),
        hash_case("ASCII alone", strip_accents="ascii", token_pattern=SINGLE),
    ],
    "tf_idf": [
        tf_idf_case("words"),
        tf_idf_case("counts", counts=True, token_pattern=SINGLE, ngram_range=(1, 2)),
        tf_idf_case("counts of characters", counts=True, analyzer="char", ngram_range=(1, 2)),
        tf_idf_case("binary counts", counts=True, binary=True, strip_accents="unicode"),
        tf_idf_case("sublinear, l1", sublinear_tf=True, norm="l1", smooth_idf=False),
        tf_idf_case("rare and frequent ones gone", min_df=2, max_df=0.9, use_idf=False),
        tf_idf_case(
            "characters of words", analyzer="char_wb", ngram_range=(1, 3), min_df=2, strip_accents="ascii"
        ),
        tf_idf_case("stop words", stop_words=sorted(ENGLISH_STOP_WORDS), ngram_range=(1, 3), lowercase=False),
        tf_idf_case("vocabulary", vocabulary=["the flight", "flight", "ς", "b6", LONG], ngram_range=(1, 2)),
        Case(
            "most frequent",
            partial(t.TfIdf, "x", ngram_range=(1, 2), max_features=12),
            texts("the flight of the delay"),
            texts("flight the the"),
            most_frequent,
        ),
    ],
}
