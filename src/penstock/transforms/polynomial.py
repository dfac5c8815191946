"""Polynomial: products of columns and their powers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, combinations_with_replacement
from math import comb
from typing import Any

import numpy as np

from penstock.transforms import parameters
from penstock.transforms.base import NUMERIC
from penstock.transforms.joint import Joint
from penstock.transforms.registry import register
from penstock.transforms.steps import Array, Block, Step

MOST_TERMS = 100_000
HIGHEST_DEGREE = 64


@register
class Polynomial(Joint):
    """Products of columns up to a degree: numbers [rows] to an FP64 column for each term, `x`, `x^2`, `x*y`.

    `degree` is the highest degree, or the lowest and the highest. With `interaction_only` no column is
    multiplied by itself. With `include_bias` the first output is `1`, which is 1. Or `powers` names the terms
    instead: for each a list with the exponent of each column. The terms stand in the place of the first
    column, and the columns that are no term are gone. Where a column is missing, terms with it are;
    infinities follow IEEE 754.

    As scikit-learn's PolynomialFeatures, with its terms in its order; `powers` may be its powers_, or rows of
    it. It differs in that there is no bias unless asked for.
    """

    kind = "polynomial"
    accepts = NUMERIC

    def __init__(
        self,
        columns: str | Sequence[str],
        degree: int | Sequence[int] | None = None,
        *,
        interaction_only: bool = False,
        include_bias: bool = False,
        powers: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__((columns,) if isinstance(columns, str) else columns, least=1, most=None)
        self.interaction_only = parameters.flag(self, "interaction_only", interaction_only)
        self.include_bias = parameters.flag(self, "include_bias", include_bias)
        if powers is not None and (degree is not None or interaction_only or include_bias):
            raise self.error(
                "powers names the terms; degree, interaction_only and include_bias do not go with it",
                self.columns[0],
            )
        self.degree = None if powers is not None else self._check_degree(2 if degree is None else degree)
        self.powers = None if powers is None else self._check_powers(powers)
        self._factors = self._terms()
        if not self._factors:
            raise self.error(f"degree is {degree!r}, which leaves no term", self.columns[0])

    def _check_degree(self, degree: object) -> tuple[int, int]:
        given = degree if isinstance(degree, (list, tuple)) else (0, degree)
        if len(given) != 2:
            raise self.error(
                f"degree is {degree!r}, expected a number, or the lowest and the highest", self.columns[0]
            )
        low, high = (parameters.count(self, "degree", item, 0, HIGHEST_DEGREE) for item in given)
        if low > high:
            raise self.error(f"degree is {degree!r}, expected the lowest first", self.columns[0])
        columns = len(self.columns)
        choose = comb if self.interaction_only else lambda n, d: comb(n + d - 1, d)
        if sum(choose(columns, each) for each in range(max(low, 1), high + 1)) > MOST_TERMS:
            raise self.error(
                f"degree is {degree!r}, which makes more than {MOST_TERMS} terms of {columns} columns",
                self.columns[0],
            )
        return low, high

    def _check_powers(self, powers: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        columns = len(self.columns)
        found: list[tuple[int, ...]] = []
        for term in powers:
            if isinstance(term, (str, bytes)) or not hasattr(term, "__len__") or len(term) != columns:
                raise self.error(f"powers holds {term!r}, expected {columns} exponents", self.columns[0])
            exponents = tuple(parameters.count(self, "powers", item, 0, HIGHEST_DEGREE) for item in term)
            if sum(exponents) > HIGHEST_DEGREE:
                raise self.error(
                    f"powers holds {term!r}, of a degree above {HIGHEST_DEGREE}", self.columns[0]
                )
            found.append(exponents)
        if not 1 <= len(found) <= MOST_TERMS:
            raise self.error(f"powers holds {len(found)} terms, expected 1 to {MOST_TERMS}", self.columns[0])
        for exponents, times in Counter(found).items():
            if times > 1:
                raise self.error(f"powers holds {list(exponents)} {times} times", self.columns[0])
        return tuple(found)

    def _terms(self) -> list[tuple[int, ...]]:
        """Of each term the columns that it multiplies, by index, ascending."""
        if self.powers is not None:
            return [
                tuple(index for index, exponent in enumerate(term) for _ in range(exponent))
                for term in self.powers
            ]
        if self.degree is None:
            raise ValueError("neither degree nor powers is there")
        low, high = self.degree
        choose = combinations if self.interaction_only else combinations_with_replacement
        indices = range(len(self.columns))
        products: Iterator[tuple[int, ...]] = chain.from_iterable(
            choose(indices, each) for each in range(max(low, 1), high + 1)
        )
        return [*([()] if self.include_bias else []), *products]

    def parameters(self) -> dict[str, Any]:
        """The columns and which terms are made of them."""
        return {
            "columns": self.columns,
            "degree": self.degree,
            "interaction_only": self.interaction_only,
            "include_bias": self.include_bias,
            "powers": self.powers,
        }

    def names(self) -> tuple[str, ...]:
        """The terms."""
        return tuple(self._name(factors) for factors in self._factors)

    def _name(self, factors: Sequence[int]) -> str:
        parts = []
        for index in dict.fromkeys(factors):
            times = factors.count(index)
            parts.append(self.columns[index] + (f"^{times}" if times > 1 else ""))
        return "*".join(parts) or "1"

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call that makes all terms."""
        from penstock._kernels.polynomial import scratch_bytes

        factors, terms = _products(self._factors, len(self.columns))
        state = (factors.reshape(-1), terms.reshape(-1))
        scratch = scratch_bytes(len(self.columns), 1 + int(factors[:, 2].sum()))
        block = Block(self.names(), "FP64")
        return [Step(self.step_name(self.columns), "polynomial", state, self.columns, (block,), scratch)]


def _products(terms: Sequence[Sequence[int]], columns: int) -> tuple[Array, Array]:
    """How polynomial.pyx makes the terms, each once: its two arrays.

    A product is its first factor times the product of the others. Those of a degree are made together, in
    ascending order of their factors: then terms with one first factor are neighbours, and so are the rests.
    """
    degrees = np.array([len(term) for term in terms])
    places = np.zeros(len(terms), np.int64)  # of a term, or of what is made of it so far, among all products
    chosen, rests = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    starts = [0]  # of each degree
    made = 1
    for degree in range(1, int(degrees.max()) + 1):
        longer = np.flatnonzero(degrees >= degree)
        column = np.array([terms[index][-degree] for index in longer.tolist()], np.int64)
        found, which = np.unique(column * made + places[longer], return_inverse=True)
        chosen.append(found // made)
        rests.append(found % made)
        places[longer] = made + which
        starts.append(made - 1)
        made += len(found)
    column, rest = np.concatenate(chosen), np.concatenate(rests)
    breaks = (np.diff(column) != 0) | (np.diff(rest) != 1)
    firsts = np.union1d(starts, np.flatnonzero(breaks) + 1)
    firsts = firsts[firsts < len(column)]
    sizes = np.diff(firsts, append=len(column))
    factors = np.column_stack([column[firsts], rest[firsts], sizes])
    firsts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    runs = np.column_stack([places[firsts], np.diff(firsts, append=len(terms))])
    return factors.astype(np.int32), runs.astype(np.int32)
