"""How a text becomes n-grams: what transforms of text have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import Transform
from penstock.transforms.categories import Categories, lookup_arrays
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array
from penstock.transforms.text_tables import (
    StripAccents,
    TextTables,
    restore_tables,
    text_tables,
    without_accents,
)

Analyzer = Literal["word", "char", "char_wb"]
Norm = Literal["l1", "l2"]
_NORMS: tuple[Norm | None, ...] = (None, *get_args(Norm))  # in the order of ext/kernels/text_row.pxd
_STRIP_ACCENTS: tuple[StripAccents | None, ...] = (None, *get_args(StripAccents))

TOKEN_PATTERN = r"(?u)\b\w\w+\b"
_SHORTEST_WORDS = {r"\b\w\w+\b": 2, r"\b\w+\b": 1}  # characters, by pattern
_LONGEST_GRAM = 32  # as in ext/kernels/text_grams.pxd, and so is the next one
_PIECE_BYTES = 256


class TextGrams(Transform):
    """Reads text and makes a block of columns of its n-grams; a class of its own says which."""

    accepts = ("BYTES",)

    def __init__(
        self,
        columns: str | Sequence[str],
        analyzer: Analyzer,
        ngram_range: Sequence[int],
        *,
        token_pattern: str,
        lowercase: bool,
        strip_accents: StripAccents | None,
        stop_words: Sequence[str] | None,
        norm: Norm | None,
    ) -> None:
        super().__init__(columns)
        self.analyzer = parameters.choice(self, "analyzer", analyzer, get_args(Analyzer))
        self.ngram_range = self._range(ngram_range)
        self.token_pattern = token_pattern
        self._word_characters = self._pattern(token_pattern)
        self.lowercase = parameters.flag(self, "lowercase", lowercase)
        self.strip_accents = parameters.choice(self, "strip_accents", strip_accents, _STRIP_ACCENTS)
        self.stop_words = self._words(stop_words)
        self.norm = parameters.choice(self, "norm", norm, _NORMS)
        self._tables: TextTables | None = None

    def analysis(self) -> dict[str, Any]:
        """The arguments of __init__ that this class takes, without the norm."""
        return {
            "columns": self.columns,
            "analyzer": self.analyzer,
            "ngram_range": self.ngram_range,
            "token_pattern": self.token_pattern,
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            "stop_words": self.stop_words,
        }

    def _range(self, given: Sequence[int]) -> tuple[int, int]:
        pair = tuple(given) if isinstance(given, (list, tuple)) else ()
        if len(pair) != 2:
            raise self.error(f"ngram_range is {given!r}, expected two whole numbers", self.columns[0])
        least, most = (parameters.count(self, "ngram_range", n, 1, _LONGEST_GRAM) for n in pair)
        if least > most:
            raise self.error(f"ngram_range is {given!r}, expected the smaller number first", self.columns[0])
        return least, most

    def _pattern(self, given: str) -> int:
        pattern = given.removeprefix("(?u)") if isinstance(given, str) else ""
        if pattern not in _SHORTEST_WORDS:
            raise self.error(
                f"token_pattern is {given!r}, which is not compiled; expected {TOKEN_PATTERN!r}, words of "
                r"two characters and more, or '(?u)\\b\\w+\\b', all words",
                self.columns[0],
            )
        return _SHORTEST_WORDS[pattern]

    def _words(self, given: Sequence[str] | None) -> tuple[str, ...] | None:
        if given is None:
            return None
        if isinstance(given, str):
            raise self.error(
                f"stop_words is {given!r}; no list comes with penstock: give the words themselves, as "
                "scikit-learn's list(ENGLISH_STOP_WORDS)",
                self.columns[0],
            )
        words = tuple(given) if isinstance(given, (list, tuple, set, frozenset)) else (None,)
        for word in words:
            if not isinstance(word, str) or not is_unicode(word):
                raise self.error(f"stop_words holds {word!r}, expected a list of text", self.columns[0])
        if self.analyzer != "word":
            raise self.error(
                f"stop_words goes with analyzer='word', and it is {self.analyzer!r}", self.columns[0]
            )
        return tuple(sorted(set(words)))

    def check_datatypes(self, datatypes: Mapping[str, str]) -> None:
        """TransformError where a column is no text."""
        for column in self.columns:
            if datatypes[column] != "BYTES":
                raise self.error(f"it is {datatypes[column]}, expected text (BYTES)", column)

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """What becomes of characters, as this Python's str has it."""
        self._tables = text_tables(self.lowercase, self.strip_accents)

    def arrays(self) -> dict[str, Array]:
        """The tables of characters."""
        return {} if self._tables is None else self._tables.save()

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Tables of characters; what the class itself learns is its own."""
        self._tables = restore_tables(saved, self.lowercase, self.strip_accents)

    def state(self, terms: Sequence[bytes] | None, *settings: int) -> tuple[Array, ...]:
        """The arrays of text_grams.pxd; `terms` are the second lookup, `settings` the kernel's own."""
        if self._tables is None:
            raise self.error("not fitted yet")
        stop_words = tuple(word.encode() for word in self.stop_words or ())
        known = [stop_words] if terms is None else [stop_words, tuple(terms)]
        analysis = (
            get_args(Analyzer).index(self.analyzer),
            *self.ngram_range,
            self._word_characters,
            max(map(len, stop_words), default=0),
        )
        lookups = lookup_arrays([Categories(values, False) for values in known])
        return (*lookups, *self._tables.arrays, np.array([*analysis, *settings], np.int32))

    def norm_code(self) -> int:
        """The norm as ext/kernels/text_row.pxd has it."""
        return _NORMS.index(self.norm)

    def scratch_bytes(self, width: int) -> int:
        """What the kernels need for a row of `width` columns and a piece of a word."""
        row = 12 * width + 8 * -(-width // 64)  # as row_bytes() of ext/kernels/text_row.pxd
        return row + _PIECE_BYTES + max((len(word.encode()) for word in self.stop_words or ()), default=0)

    def texts(self, column: str, values: Column) -> Iterator[str]:
        """A column's texts, "" for missing ones. TransformError names the first that is no UTF-8."""
        if not isinstance(values, list):
            raise self.error("it is numbers, expected text", column)
        for row, value in enumerate(values):
            try:
                text = value.decode() if isinstance(value, bytes) else value or ""
            except UnicodeDecodeError as error:
                raise self.error(f"row {row} is not valid UTF-8: {error}", column) from None
            if not is_unicode(text):
                raise self.error(f"row {row} holds a lone surrogate, which UTF-8 has no form for", column)
            yield text

    def grams(self, text: str) -> Iterator[str]:
        """The n-grams of a text, as the kernels find them."""
        text = without_accents(text.lower() if self.lowercase else text, self.strip_accents)
        least, most = self.ngram_range
        if self.analyzer == "word":
            words = re.findall(self.token_pattern, text)
            if self.stop_words:
                gone = frozenset(self.stop_words)
                words = [word for word in words if word not in gone]
            for n in range(least, most + 1):
                yield from (" ".join(words[at : at + n]) for at in range(len(words) - n + 1))
        elif self.analyzer == "char":
            yield from _cuts(re.sub(r"\s\s+", " ", text), least, most)
        else:
            for word in text.split():
                if len(word) + 2 < least:
                    yield f" {word} "
                yield from _cuts(f" {word} ", least, most)


def _cuts(text: str, least: int, most: int) -> Iterator[str]:
    for n in range(least, most + 1):
        yield from (text[at : at + n] for at in range(len(text) - n + 1))


def is_unicode(text: str) -> bool:
    """Whether a string has a form in UTF-8."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
