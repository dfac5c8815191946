"""Hash: categories to buckets, without a table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from penstock.frames import Column
from penstock.transforms import parameters
from penstock.transforms.base import INTEGER, Transform
from penstock.transforms.registry import register
from penstock.transforms.saved import text_arrays
from penstock.transforms.steps import MOST_WIDTH, Block, Step, singles

Combine = Literal["sum", "cross"]
# Rows are dense.


@register
class Hash(Transform):
    r"""The hashing trick: text or integers [rows] to `buckets` FP64 columns, as scikit-learn's FeatureHasher.

    A value goes to the bucket of the absolute value of its MurmurHash3 (x86, 32 bits, seed 0) modulo
    `buckets`, as 1, or with `signed` as -1 where the hash is below 0, so that values that share a bucket
    cancel out in the mean. The columns are `carrier_0`, `carrier_1` and so on; all others are 0. An integer
    is hashed as its decimal digits, empty text like any other. A missing value is in no bucket. With
    `output='index'`, a column stays one, FP64: the number of the bucket, from 0 on, NaN for missing.

    `combine='sum'` adds the columns of a row up in the same buckets. `combine='cross'` hashes their
    combination as one value, which it writes like Cross: `AA|JFK`, with `\` before a `|` or `\` in a value,
    and `\missing` for a missing one. Both are called `carrier|origin`, or `name`, and stand in the place of
    the first column; the others are gone, or stay with `keep`. `keyed` puts the column's name before what is
    hashed: `carrier=AA`, or `carrier|origin=AA|JFK`, so that the same value in two columns differs.

    FeatureHasher(input_type='string') of rows of texts is `combine='sum'`; that of dicts of text is this with
    `keyed`. Its `alternate_sign` is `signed`, and `n_features` is `buckets`. Learns nothing. TransformError
    for more than 65536 buckets that are columns.
    """

    kind = "hash"
    accepts = ("BYTES", *(datatype for datatype in INTEGER if datatype != "BOOL"))

    def __init__(
        self,
        columns: str | Sequence[str],
        buckets: int,
        *,
        signed: bool = True,
        output: Literal["columns", "index"] = "columns",
        combine: Combine | None = None,
        keyed: bool = False,
        name: str | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(columns)
        first = self.columns[0]
        parameters.choice(self, "output", output, ("columns", "index"))
        if combine is not None:
            parameters.choice(self, "combine", combine, ("sum", "cross"))
        most = MOST_WIDTH if output == "columns" else 2**31 - 1
        self.buckets = parameters.count(self, "buckets", buckets, 1, most)
        self.signed = parameters.flag(self, "signed", signed)
        self.output = output
        self.combine = combine
        self.keyed = parameters.flag(self, "keyed", keyed)
        self.name = None if name is None else parameters.label(self, "name", name)
        self.keep = parameters.flag(self, "keep", keep)
        if combine is None and (name is not None or keep):
            raise self.error("name and keep go with combine, and only with it", first)
        if combine == "sum" and output == "index":
            raise self.error("output='index' goes with one value a row; combine='sum' makes several", first)

    def parameters(self) -> dict[str, Any]:
        """The columns, the buckets, what is hashed and what is written."""
        return {
            "columns": self.columns,
            "buckets": self.buckets,
            "signed": self.signed,
            "output": self.output,
            "combine": self.combine,
            "keyed": self.keyed,
            "name": self.name,
            "keep": self.keep,
        }

    def check_datatypes(self, datatypes: Mapping[str, str]) -> None:
        """Text and integers: a float has no one way to be written."""
        for column in self.columns:
            if datatypes[column] not in self.accepts:
                raise self.error(
                    f"it is {datatypes[column]}, expected text or integers; use Cast, or Ordinal", column
                )

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Learns nothing."""

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """Buckets for each column, or for all of them in the place of the first."""
        if self.combine is None:
            return [(name, "FP64") for name in self._names(column)]
        kept = [(column, datatype)] if self.keep else []
        made = self._names(self._combined_name) if column == self.columns[0] else ()
        return [*kept, *((name, "FP64") for name in made)]

    @property
    def _combined_name(self) -> str:
        return "|".join(self.columns) if self.name is None else self.name

    def _names(self, name: str) -> tuple[str, ...]:
        if self.output == "index":
            return (name,)
        return tuple(f"{name}_{bucket}" for bucket in range(self.buckets))

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """One call."""
        keys = ["|".join(self.columns)] if self.combine == "cross" else list(self.columns)
        packed = text_arrays("", [f"{key}=".encode() if self.keyed else b"" for key in keys])
        settings = (self.buckets, self.signed, self.combine == "cross", self.output == "index")
        state = (np.array(settings, np.int64), packed[".offsets"], packed[".text"])
        made = self.columns if self.combine is None else (self._combined_name,)
        names = [self._names(each) for each in made]
        outputs = (
            singles([name for (name,) in names])
            if self.output == "index"
            else tuple(Block(each, "FP64") for each in names)
        )
        return [Step(self.step_name(self.columns), "hash", state, self.columns, outputs)]
