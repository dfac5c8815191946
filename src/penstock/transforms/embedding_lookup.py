"""EmbeddingLookup: a vector for each category, from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from penstock.frames import Column
from penstock.transforms.categorical import Categorical
from penstock.transforms.categories import check_given
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array

Vector = Sequence[float] | Array
_VECTOR = "vector"  # the word for an `unknown` that is one


@register
class EmbeddingLookup(Categorical):
    """Categories to vectors of a given table: text, integers or floats [rows] to `width` FP64 columns.

    `table` is a dict of category to vector, all of one length, such as a trained embedding; None stands for
    missing. All columns share it. The outputs are `origin_0` to `origin_{width-1}`. A value that the table
    does not hold becomes zeros, with a vector for `unknown` that vector, and with `unknown='error'` is an
    error that names the row; so does a missing value without None in the table. Empty text is a value like
    any other. Learns nothing from the frame.

    scikit-learn has no such transform. It gives what torch.nn.Embedding makes of a category's index. A table
    whose numbers all are exact in single precision is kept in it. TransformError for vectors of different
    lengths, for numbers that are not finite, and at fit for categories that do not fit a column's datatype.
    """

    kind = "embedding_lookup"
    unknown_choices = ("zeros", "error", _VECTOR)

    def __init__(
        self,
        columns: str | Sequence[str],
        table: Mapping[Any, Vector] | None = None,
        *,
        unknown: Literal["zeros", "error"] | Vector = "zeros",
    ) -> None:
        """`table` is None only where a saved form brings it."""
        super().__init__(columns, unknown if isinstance(unknown, str) else _VECTOR)
        first = self.columns[0]
        self._other = None if isinstance(unknown, str) else self._vector(unknown, "unknown")
        if self.unknown == _VECTOR and self._other is None:
            raise self.error("unknown is 'vector', expected 'zeros', 'error' or the vector itself", first)
        self._table: Array | None = None  # [categories, width], missing the last; FP32 or FP64
        if table is None:
            return
        if not isinstance(table, Mapping) or not table:
            raise self.error("table is no dict of categories to vectors", first)
        self.categories = check_given(self, {column: list(table) for column in self.columns})
        present = [self._vector(vector, repr(key)) for key, vector in table.items() if not _is_missing(key)]
        missing = [self._vector(vector, repr(key)) for key, vector in table.items() if _is_missing(key)]
        if len({vector.size for vector in (*present, *missing)}) != 1:
            raise self.error("table has vectors of different lengths", first)
        self._table = _narrowed(np.stack([*present, *missing]))
        self._check_width(self._table)

    def parameters(self) -> dict[str, Any]:
        """The columns and what becomes of unknown values; the table is among arrays()."""
        unknown = self.unknown if self._other is None else self._other.tolist()
        return {"columns": self.columns, "unknown": unknown}

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Takes the table's categories as those of each column."""
        if self._table is None:
            raise self.error("it has no table; give a dict of categories to vectors", self.columns[0])
        super().learn(columns, datatypes, target)

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column for each element of the vectors."""
        return [(f"{column}_{element}", "FP64") for element in range(self._vectors.shape[1])]

    def kernel(self) -> str:
        """Vectors."""
        return "category_vector"

    def codes(self, columns: Sequence[str]) -> tuple[Array, ...]:
        """The vector of each category, and the one for unknown values, in single or double precision."""
        vectors = self._vectors
        other = np.zeros(vectors.shape[1], vectors.dtype)
        if self._other is not None:
            both = np.result_type(vectors.dtype, _narrowed(self._other).dtype)
            vectors, other = vectors.astype(both), self._other.astype(both)
        return self.value_codes(columns, dict.fromkeys(columns, vectors), dict.fromkeys(columns, other))

    @property
    def _vectors(self) -> Array:
        assert self._table is not None  # fitted
        return self._table

    def learned(self) -> dict[str, Any]:
        """Whether missing has a vector, and the precision of the table."""
        return super().learned() | {"datatype": "FP32" if self._vectors.dtype == np.float32 else "FP64"}

    def arrays(self) -> dict[str, Array]:
        """The categories of each column, and the vectors one after the other."""
        return super().arrays() | {"vectors": self._vectors.ravel()}

    def restore_codes(self, saved: Saved) -> None:
        """Finite vectors of one length, for categories that are the same in all columns."""
        found = self._found[self.columns[0]]
        if any(other != found for other in self._found.values()):
            raise saved.error("the columns do not have the same categories")
        vectors = saved.array("vectors", saved.choice("datatype", ("FP32", "FP64")), finite=True)
        if not vectors.size or not found.count or vectors.size % found.count:
            raise saved.error(f"the array 'vectors' is no vectors of one length for {found.count} categories")
        self._table = vectors.reshape(found.count, -1)
        self._check_width(self._table)
        keys = [value.decode() if isinstance(value, bytes) else value for value in found.values]
        self.categories = {column: [*keys, None] if found.missing else keys for column in self.columns}

    def _vector(self, value: Any, name: str) -> Array:
        try:
            made = np.asarray(value, np.float64)
        except (TypeError, ValueError, OverflowError):
            made = np.empty(0)
        if made.ndim != 1 or not made.size or isinstance(value, (str, bytes)):
            raise self.error(
                f"the vector of {name} is {value!r}, expected a list of numbers", self.columns[0]
            )
        if not np.isfinite(made).all():
            raise self.error(f"the vector of {name} holds NaN or infinity", self.columns[0])
        return made

    def _check_width(self, table: Array) -> None:
        if self._other is not None and self._other.size != table.shape[1]:
            raise self.error(
                f"unknown is a vector of {self._other.size} numbers, those of table have {table.shape[1]}",
                self.columns[0],
            )


def _is_missing(key: object) -> bool:
    return key is None or key != key


def _narrowed(values: Array) -> Array:
    """In single precision where that loses nothing."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if (narrow == values).all() else values
