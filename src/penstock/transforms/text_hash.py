"""TextHash: how often hashes of n-grams occur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.transforms import parameters
from penstock.transforms.registry import register
from penstock.transforms.steps import MOST_WIDTH, Block, Step
from penstock.transforms.text_grams import TOKEN_PATTERN, Analyzer, Norm, TextGrams
from penstock.transforms.text_tables import StripAccents


@register
class TextHash(TextGrams):
    """Counts of a text's n-grams by their hash: text [rows] to `n_features` FP64, as HashingVectorizer.

    The columns of `x` are `x_0`, `x_1` and so on. An n-gram counts in that of the absolute value of its
    MurmurHash3 (x86, 32 bits, seed 0) modulo `n_features`: 1, or -1 where the hash is below 0 and
    `alternate_sign` is on, so that n-grams that share a column cancel out in the mean. `binary` writes 1 for
    any number of them. `norm` then divides the row by the sum of its absolute values (l1) or its Euclidean
    length (l2), unless that is 0.

    N-grams are of `ngram_range` words, joined by a space, that are no `stop_words`; of characters
    (`analyzer='char'`), where two white-space characters and more count as one space; or of the characters of
    each word with a space before and behind it ('char_wb'). Before that, text is lowercased as Python's
    str.lower() does, and `strip_accents` decomposes it (NFKD) and drops what combines ('unicode') or what is
    not ASCII ('ascii'). A word is at least two letters, digits or underscores by `token_pattern`;
    r"(?u)\\b\\w+\\b" takes single ones too. All of this is exactly what scikit-learn makes, with the Unicode
    version of the Python that fitted, which the bundle keeps.

    Learns nothing from the texts. Missing text is empty text: all zeros. Texts may be of any length.
    TransformError for more than 65536 features: rows are dense, and TfIdf with max_features keeps the terms
    that matter instead. No other token pattern is compiled, and no list of stop words comes along.
    """

    kind = "text_hash"

    def __init__(
        self,
        columns: str | Sequence[str],
        n_features: int = 1024,
        *,
        analyzer: Analyzer = "word",
        ngram_range: Sequence[int] = (1, 1),
        token_pattern: str = TOKEN_PATTERN,
        lowercase: bool = True,
        strip_accents: StripAccents | None = None,
        stop_words: Sequence[str] | None = None,
        binary: bool = False,
        alternate_sign: bool = True,
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
        self.n_features = parameters.count(self, "n_features", n_features, 1)
        if self.n_features > MOST_WIDTH:
            raise self.error(
                f"n_features is {n_features}, and rows are dense: at most {MOST_WIDTH} are taken; hash "
                "into fewer, or use TfIdf with max_features",
                self.columns[0],
            )
        self.binary = parameters.flag(self, "binary", binary)
        self.alternate_sign = parameters.flag(self, "alternate_sign", alternate_sign)

    def parameters(self) -> dict[str, Any]:
        """The columns, how many come of each, what n-grams are and how they count."""
        return {
            **self.analysis(),
            "n_features": self.n_features,
            "binary": self.binary,
            "alternate_sign": self.alternate_sign,
            "norm": self.norm,
        }

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column for each remainder."""
        return [(f"{column}_{index}", "FP64") for index in range(self.n_features)]

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call a column."""
        state = self.state(None, self.alternate_sign, self.binary, self.norm_code())
        scratch = self.scratch_bytes(self.n_features)
        return [
            Step(
                self.step_name([column]),
                "text_hash",
                state,
                (column,),
                (Block(tuple(name for name, _ in self.outputs(column, "BYTES")), "FP64"),),
                scratch,
            )
            for column in self.columns
        ]
