"""CountVectorizer, TfidfVectorizer, TfidfTransformer behind the former, and HashingVectorizer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from penstock.transforms.saved import text_arrays
from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat
from penstock.transforms.scikit_learn.hashers import check_dtype, check_width
from penstock.transforms.scikit_learn.scalers import scaled
from penstock.transforms.steps import Array
from penstock.transforms.text_tables import text_tables

_ANALYSIS = (
    "analyzer encoding input lowercase ngram_range preprocessor stop_words strip_accents token_pattern "
    "tokenizer"
)
_REFUSED = (
    "functions as analyzer, preprocessor, tokenizer or strip_accents; other token patterns than words of two "
    "(or one) characters and more; input other than 'content'; encoding other than UTF-8"
)
_WORDS = r"(?u)\b\w\w+\b"


@converts(
    "sklearn.feature_extraction.text.CountVectorizer",
    becomes="TfIdf",
    parameters=f"{_ANALYSIS} binary dtype vocabulary",
    without_effect="decode_error max_df max_features min_df",
    refused=f"{_REFUSED}; dtype below 32 bits; more than 65536 terms, as rows are dense here",
)
def _count(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    return count_vectorizer(fitted, None, columns, draft)


@converts(
    "sklearn.feature_extraction.text.TfidfVectorizer",
    becomes="TfIdf",
    parameters=f"{_ANALYSIS} binary dtype norm smooth_idf sublinear_tf use_idf vocabulary",
    without_effect="decode_error max_df max_features min_df",
    refused=f"{_REFUSED}; dtype below 32 bits; more than 65536 terms, as rows are dense here",
)
def _tf_idf(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    return count_vectorizer(fitted, fitted._tfidf, columns, draft)


@converts(
    "sklearn.feature_extraction.text.HashingVectorizer",
    becomes="TextHash",
    parameters=f"{_ANALYSIS} alternate_sign binary dtype n_features norm",
    without_effect="decode_error",
    refused=f"{_REFUSED}; dtype below 32 bits; n_features above 65536 (the default is 1048576), as rows "
    "are dense here",
)
def _hashing(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    check_width(fitted, draft)
    parameters = {
        **_analysis(fitted, draft),
        "n_features": int(fitted.n_features),
        "binary": bool(fitted.binary),
        "alternate_sign": bool(fitted.alternate_sign),
        "norm": fitted.norm,
    }
    column = _text(columns, draft)
    made = draft.add(
        "text_hash", [column], parameters=parameters, arrays=_characters(fitted), exact=fitted.norm is None
    )
    return flat(made)


@converts(
    "sklearn.feature_extraction.text.TfidfTransformer",
    becomes="TfIdf, together with the CountVectorizer before it; MinMax and Normalize behind anything else",
    parameters="norm smooth_idf sublinear_tf use_idf",
    refused="sublinear_tf behind anything but a CountVectorizer",
)
def _tf_idf_weights(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    if fitted.sublinear_tf:
        raise draft.refusal(
            "sublinear_tf=True behind anything but a CountVectorizer",
            "Use a TfidfVectorizer, or a Pipeline of CountVectorizer and TfidfTransformer",
        )
    made = scaled(columns, fitted.idf_, draft) if fitted.use_idf else columns
    return flat(draft.add("normalize", made, parameters={"norm": fitted.norm})) if fitted.norm else made


def count_vectorizer(fitted: Any, weights: Any | None, columns: list[str], draft: Draft) -> list[str]:
    """A vectorizer with the TfidfTransformer behind it, or without one."""
    terms = [str(term) for term, _ in sorted(fitted.vocabulary_.items(), key=lambda item: item[1])]
    given = terms if any(a >= b for a, b in pairwise(terms)) else None
    parameters = {**_analysis(fitted, draft), "vocabulary": given, "binary": bool(fitted.binary)}
    arrays = _characters(fitted) | text_arrays("0.terms", [term.encode() for term in terms])
    if weights is None:
        parameters |= {"use_idf": False, "norm": None}
    else:
        parameters |= {
            "use_idf": bool(weights.use_idf),
            "smooth_idf": bool(weights.smooth_idf),
            "sublinear_tf": bool(weights.sublinear_tf),
            "norm": weights.norm,
        }
        if weights.use_idf:
            arrays["0.idf"] = np.array(weights.idf_, np.float64)
    column = _text(columns, draft)
    counts = weights is None
    return flat(draft.add("tf_idf", [column], parameters=parameters, arrays=arrays, exact=counts))


def _text(columns: list[str], draft: Draft) -> str:
    if len(columns) != 1:
        raise draft.error(f"it reads one column of text, and here are {len(columns)}")
    draft.tell(columns[0], "BYTES")
    return columns[0]


def _analysis(fitted: Any, draft: Draft) -> dict[str, Any]:
    for name in ("analyzer", "preprocessor", "tokenizer", "strip_accents"):
        if callable(getattr(fitted, name)):
            raise draft.refusal(
                f"{name}={getattr(fitted, name)!r}, a function,",
                "Use what the vectorizer has of its own, or make what the function does a column of the "
                "frame before fit",
            )
    if fitted.input != "content":
        raise draft.refusal(f"input={fitted.input!r}", "Send the text itself: fit it with input='content'")
    if fitted.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise draft.refusal(f"encoding={fitted.encoding!r}", "Texts on the wire are UTF-8")
    check_dtype(fitted, draft)
    words = fitted.analyzer == "word"
    if words and fitted.token_pattern not in (_WORDS, r"(?u)\b\w+\b", r"\b\w\w+\b", r"\b\w+\b"):
        raise draft.refusal(
            f"token_pattern=r'{fitted.token_pattern}'",
            rf"Use r'{_WORDS}' or r'(?u)\b\w+\b', or a character analyzer",
        )
    stop_words = fitted.get_stop_words() if words else None
    return {
        "analyzer": fitted.analyzer,
        "ngram_range": [int(n) for n in fitted.ngram_range],
        "token_pattern": fitted.token_pattern if words else _WORDS,
        "lowercase": bool(fitted.lowercase),
        "strip_accents": fitted.strip_accents,
        "stop_words": sorted(map(str, stop_words)) if stop_words else None,
    }


def _characters(fitted: Any) -> dict[str, Array]:
    return text_tables(bool(fitted.lowercase), fitted.strip_accents).save()
