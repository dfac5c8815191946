"""TfIdf: counts of known n-grams, weighted by how rare they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved, text_arrays
from penstock.transforms.steps import MOST_WIDTH, Array, Block, Step
from penstock.transforms.text_grams import TOKEN_PATTERN, Analyzer, Norm, TextGrams, is_unicode
from penstock.transforms.text_tables import StripAccents

Vocabulary = Mapping[str, int] | Collection[str]


@register
class TfIdf(TextGrams):
    """Counts of a text's terms, weighted: text [rows] to one FP64 column a term, as TfidfVectorizer.

    With `use_idf=False, norm=None` it is CountVectorizer. Terms are the n-grams of the texts at fit, as
    TextHash takes them, in ascending order, or those of `vocabulary` (a list in order, or a dict from term to
    index; the same for all columns); those of `x` are the columns `x=term`. Without a vocabulary, terms go
    that are in fewer texts than `min_df` or in more than `max_df` (an integer counts texts, a float is a
    share of them), and of those left the `max_features` most frequent stay; of equally frequent ones the
    first in order, where scikit-learn leaves open which.

    A value is the term's count in the text, or 1 with `binary`, or 1 + ln(count) with `sublinear_tf`; times
    idf = 1 + ln((n + 1) / (df + 1)) with `use_idf`, for df of n texts that have the term, or 1 + ln(n / df)
    without `smooth_idf`; and the row is then divided by the sum of its values (l1) or its Euclidean length
    (l2), unless that is 0. Terms that fit did not see count nothing. Missing text is empty text: all zeros,
    and a text at fit.

    TransformError at fit for texts without a term, for more than 65536 terms (rows are dense; use
    max_features or min_df), and for a term of `vocabulary` that no text has where that makes its idf
    infinite.
    """

    kind = "tf_idf"

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        analyzer: Analyzer = "word",
        ngram_range: Sequence[int] = (1, 1),
        token_pattern: str = TOKEN_PATTERN,
        lowercase: bool = True,
        strip_accents: StripAccents | None = None,
        stop_words: Sequence[str] | None = None,
        min_df: float = 1,
        max_df: float = 1.0,
        max_features: int | None = None,
        vocabulary: Vocabulary | None = None,
        binary: bool = False,
        use_idf: bool = True,
        smooth_idf: bool = True,
        sublinear_tf: bool = False,
        norm: Norm | None = "l2",
    ) -> None:
        super().__init__(
            columns,
            analyzer,
            ngram_range,
            token_pattern=token_pattern,
            lowercase=lowercase,
            strip_accents=strip_accents,
            stop_words=stop_words,
            norm=norm,
        )
        self.min_df = self._document_frequency("min_df", min_df)
        self.max_df = self._document_frequency("max_df", max_df)
        self.max_features = (
            None if max_features is None else parameters.count(self, "max_features", max_features, 1)
        )
        self.vocabulary = None if vocabulary is None else self._given(vocabulary)
        if self.vocabulary is not None and (min_df, max_df, max_features) != (1, 1.0, None):
            raise self.error(
                "min_df, max_df and max_features choose terms, and vocabulary gives them; drop either",
                self.columns[0],
            )
        self.binary = parameters.flag(self, "binary", binary)
        self.use_idf = parameters.flag(self, "use_idf", use_idf)
        self.smooth_idf = parameters.flag(self, "smooth_idf", smooth_idf)
        self.sublinear_tf = parameters.flag(self, "sublinear_tf", sublinear_tf)
        self._terms: dict[str, list[str]] = {}
        self._idf: dict[str, Array] = {}

    def _document_frequency(self, name: str, value: float) -> float:
        """A number of texts, an int, or a share of them, a float."""
        if isinstance(value, Integral):
            return parameters.count(self, name, value, 1)
        share = parameters.number(self, name, value)
        if not 0.0 <= share <= 1.0:
            raise self.error(
                f"{name} is {value!r}, expected a share from 0 to 1, or a number of texts", self.columns[0]
            )
        return share

    def _given(self, vocabulary: Vocabulary) -> list[str]:
        if isinstance(vocabulary, (str, bytes)) or not isinstance(vocabulary, Collection):
            raise self.error(f"vocabulary is {vocabulary!r}, expected terms", self.columns[0])
        terms = sorted(vocabulary) if isinstance(vocabulary, (set, frozenset)) else list(vocabulary)
        if not terms:
            raise self.error("vocabulary is empty", self.columns[0])
        for term in terms:
            if not isinstance(term, str) or not is_unicode(term):
                raise self.error(f"vocabulary holds {term!r}, expected text", self.columns[0])
        if isinstance(vocabulary, Mapping):
            if sorted(vocabulary.values(), key=repr) != sorted(range(len(terms)), key=repr):
                raise self.error(
                    f"the indices of vocabulary are not 0 to {len(terms) - 1}, each once", self.columns[0]
                )
            terms.sort(key=lambda term: vocabulary[term])
        for term, count in Counter(terms).items():
            if count > 1:
                raise self.error(f"vocabulary has the term {term!r} twice", self.columns[0])
        self._check_terms(self.columns[0], terms)
        return terms

    def _check_terms(self, column: str, terms: Sequence[str]) -> None:
        if len(terms) > MOST_WIDTH:
            raise self.error(
                f"there are {len(terms)} terms, and rows are dense: at most {MOST_WIDTH} are taken; keep "
                "the most frequent with max_features, or drop the rare with min_df",
                column,
            )

    def parameters(self) -> dict[str, Any]:
        """The columns, what terms are, which are kept, and how they count."""
        return {
            **self.analysis(),
            "min_df": self.min_df,
            "max_df": self.max_df,
            "max_features": self.max_features,
            "vocabulary": self.vocabulary,
            "binary": self.binary,
            "use_idf": self.use_idf,
            "smooth_idf": self.smooth_idf,
            "sublinear_tf": self.sublinear_tf,
            "norm": self.norm,
        }

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds the terms of each column and in how many texts they are."""
        super().learn(columns, datatypes, target)
        self._terms, self._idf = {}, {}
        for column in self.columns:
            frequency: Counter[str] = Counter()  # in all texts together
            documents: Counter[str] = Counter()  # texts that have it
            wanted = None if self.vocabulary is None else frozenset(self.vocabulary)
            for text in self.texts(column, columns[column]):
                found = Counter(self.grams(text))
                if wanted is not None:
                    found = Counter({term: count for term, count in found.items() if term in wanted})
                documents.update(found.keys())
                frequency.update(found.keys() if self.binary else found)
            rows = len(columns[column])
            terms = self.vocabulary or self._chosen(column, frequency, documents, rows)
            self._check_terms(column, terms)
            self._terms[column] = terms
            self._idf[column] = np.empty(0)
            if self.use_idf:
                self._idf[column] = self._weights(column, terms, documents, rows)

    def _chosen(self, column: str, frequency: Counter[str], documents: Counter[str], rows: int) -> list[str]:
        if not frequency:
            raise self.error("no text has a term; are all empty, or of stop words alone?", column)
        most = self.max_df if isinstance(self.max_df, int) else self.max_df * rows
        least = self.min_df if isinstance(self.min_df, int) else self.min_df * rows
        if most < least:
            raise self.error(
                f"max_df {self.max_df!r} is fewer of {rows} texts than min_df {self.min_df!r}", column
            )
        kept = sorted(term for term, count in documents.items() if least <= count <= most)
        if not kept:
            raise self.error(
                f"of {len(documents)} terms none is in {least:g} to {most:g} of {rows} texts; lower min_df "
                "or raise max_df",
                column,
            )
        if self.max_features is not None:
            kept = sorted(sorted(kept, key=lambda term: -frequency[term])[: self.max_features])
        return kept

    def _weights(self, column: str, terms: Sequence[str], documents: Counter[str], rows: int) -> Array:
        counts = np.array([documents[term] for term in terms], np.float64)
        if not self.smooth_idf and not counts.all():
            unseen = terms[int(np.argmin(counts))]
            raise self.error(
                f"no text has the term {unseen!r} of vocabulary, so its idf is infinite; use smooth_idf=True",
                column,
            )
        smooth = int(self.smooth_idf)
        weights: Array = np.log((rows + smooth) / (counts + smooth)) + 1.0
        return weights

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column for each term."""
        return [(f"{column}={term}", "FP64") for term in self._terms[column]]

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call a column."""
        return [self._step(column) for column in self.columns]

    def _step(self, column: str) -> Step:
        terms = [term.encode() for term in self._terms[column]]
        longest = max(1, *map(len, terms))
        state = self.state(terms, longest, self.binary, self.sublinear_tf, self.norm_code())
        block = Block(tuple(name for name, _ in self.outputs(column, "BYTES")), "FP64")
        scratch = self.scratch_bytes(len(terms)) + 2 * longest
        return Step(
            self.step_name([column]), "tf_idf", (*state, self._idf[column]), (column,), (block,), scratch
        )

    def arrays(self) -> dict[str, Array]:
        """The tables of characters; by a column's index `0.terms` and, where it is used, FP64 `0.idf`."""
        found = super().arrays()
        for index, column in enumerate(self.columns):
            found |= text_arrays(f"{index}.terms", [term.encode() for term in self._terms[column]])
            if self.use_idf:
                found[f"{index}.idf"] = self._idf[column]
        return found

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Distinct terms in order, those of the vocabulary where it is given, and weights from 1 on."""
        super().restore(saved, datatypes)
        for index, column in enumerate(self.columns):
            terms = [term.decode() for term in saved.texts(f"{index}.terms")]
            if self.vocabulary is not None and terms != self.vocabulary:
                raise saved.error(f"the terms of column {column!r} are not those of its vocabulary")
            if self.vocabulary is None and any(a >= b for a, b in pairwise(terms)):
                raise saved.error(f"the terms of column {column!r} are not in ascending order")
            limit = MOST_WIDTH if self.max_features is None else min(self.max_features, MOST_WIDTH)
            if not 1 <= len(terms) <= limit:
                raise saved.error(f"column {column!r} has {len(terms)} terms, expected 1 to {limit}")
            self._terms[column] = terms
            self._idf[column] = np.empty(0)
            if self.use_idf:
                self._idf[column] = saved.array(f"{index}.idf", "FP64", len(terms), finite=True)
                if (self._idf[column] < 1.0).any():
                    raise saved.error(f"the array '{index}.idf' holds a weight below 1")
