"""Impute: a value in place of each missing one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from penstock.frames import DATATYPES, Column
from penstock.transforms import parameters
from penstock.transforms.base import NUMERIC, Transform
from penstock.transforms.missing import (
    MissingValue,
    check_kind,
    check_missing_value,
    missing_ops,
    missing_rows,
    missing_word,
)
from penstock.transforms.registry import register
from penstock.transforms.saved import Saved, text_arrays
from penstock.transforms.steps import Array, Item, Map, Step, op, singles

Strategy = Literal["mean", "median", "most_frequent", "constant"]


@register
class Impute(Transform):
    """Fills missing values: numbers [rows] to FP64 [rows], text to text, as scikit-learn's SimpleImputer.

    `strategy` says what with: the mean or the median of a column's values (numbers only), the most frequent
    one (the least of several), or `fill_value`. Besides NaN and None, `missing_value` (a number, -999 say, or
    a text, of the columns' kind) is missing too. With `indicator`, each column that has missing values at fit
    also gives `x_missing`, FP64, 1 where x was missing and 0 elsewhere; it stands behind x. With
    `indicator='all'` every column does. TransformError at fit for a column without a value (unless the
    strategy is constant), or whose mean is not finite.

    scikit-learn's missing_values, add_indicator and statistics_ are `missing_value`, `indicator` and the
    fills. It differs in that NaN counts as missing beside another `missing_value`, where scikit-learn refuses
    it, and in that indicators stand behind their columns, not behind all of them.
    """

    kind = "impute"
    fills_gaps = True
    accepts = (*NUMERIC, "BYTES")

    def __init__(
        self,
        columns: str | Sequence[str],
        strategy: Strategy = "mean",
        *,
        fill_value: float | str | None = None,
        missing_value: MissingValue = None,
        indicator: bool | Literal["all"] = False,
    ) -> None:
        super().__init__(columns)
        first = self.columns[0]
        self.strategy = parameters.choice(self, "strategy", strategy, get_args(Strategy))
        if (fill_value is not None) != (self.strategy == "constant"):
            raise self.error("fill_value goes with strategy='constant', and only with it", first)
        if not isinstance(fill_value, (str, type(None))):
            fill_value = parameters.number(self, "fill_value", fill_value, infinite=True)
        if not isinstance(indicator, bool) and indicator != "all":
            raise self.error(f"indicator is {indicator!r}, expected True, False or 'all'", first)
        self.fill_value = fill_value
        self.missing_value = check_missing_value(self, missing_value)
        self.indicator = indicator
        self._fills: dict[str, float | bytes] = {}
        self._flagged: dict[str, bool] = {}

    def parameters(self) -> dict[str, Any]:
        """The columns, the strategy and its value, what is missing, and whether to flag it."""
        return {
            "columns": self.columns,
            "strategy": self.strategy,
            "fill_value": self.fill_value,
            "missing_value": self.missing_value,
            "indicator": self.indicator,
        }

    def given_texts(self, column: str) -> Collection[str | None]:
        """The text that means missing."""
        return [self.missing_value] if isinstance(self.missing_value, str) else []

    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """Finds what to fill each column with, and which columns have missing values."""
        self._fills, self._flagged = {}, {}
        for column in self.columns:
            values = columns[column]
            self._check_kind(column, text=isinstance(values, list))
            missing = missing_rows(values, self.missing_value)
            if isinstance(values, list):
                present = [
                    v for v, gone in zip(values, missing.tolist(), strict=True) if v is not None and not gone
                ]
                texts = [text.encode() if isinstance(text, str) else text for text in present]
                self._fills[column] = self._text_fill(column, texts)
            else:
                self._fills[column] = self._number_fill(column, np.asarray(values, np.float64)[~missing])
            self._flagged[column] = self.indicator == "all" or (self.indicator and bool(missing.any()))

    def _check_kind(self, column: str, *, text: bool) -> None:
        """TransformError where the parameters do not go with a column of text, or of numbers."""
        check_kind(self, self.missing_value, column, text=text)
        if self.strategy == "constant":
            if isinstance(self.fill_value, str) != text:
                kind = "text" if text else "numbers"
                raise self.error(f"it is {kind}, and fill_value is {self.fill_value!r}", column)
        elif text and self.strategy != "most_frequent":
            raise self.error(
                f"it is text, which has no {self.strategy}; use most_frequent or constant", column
            )

    def _text_fill(self, column: str, present: list[bytes]) -> bytes:
        if isinstance(self.fill_value, str):
            return self.fill_value.encode()
        if not present:
            raise self.error("it has no value, so no most frequent one", column)
        counts = Counter(present)
        most = max(counts.values())
        return min(value for value, count in counts.items() if count == most)

    def _number_fill(self, column: str, present: Array) -> float:
        if isinstance(self.fill_value, float):
            return self.fill_value
        if present.size == 0:
            raise self.error(f"it has no value, so no {self.strategy.replace('_', ' ')}", column)
        if self.strategy == "most_frequent":
            distinct, counts = np.unique(present, return_counts=True)
            return float(distinct[np.argmax(counts)])
        with np.errstate(over="ignore", invalid="ignore"):
            fill = float(present.mean() if self.strategy == "mean" else np.median(present))
        if not math.isfinite(fill):
            raise self.error(f"its {self.strategy} is {fill}: it has infinite or too large values", column)
        return fill

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """The filled column and, where it is flagged, `x_missing`."""
        filled = [(column, "BYTES" if datatype == "BYTES" else "FP64")]
        return [*filled, (f"{column}_missing", "FP64")] if self._flagged[column] else filled

    def steps(self, datatypes: Mapping[str, str]) -> list[Item]:
        """Maps of the numbers, and one call for the text."""
        items: list[Item] = []
        marked = missing_ops(self.missing_value)
        for column in self.columns:
            fill = self._fills[column]
            if isinstance(fill, bytes):
                continue
            if self._flagged[column]:
                items.append(Map(column, f"{column}_missing", (*marked, op("is_missing"))))
            items.append(Map(column, column, (*marked, op("fill", fill))))
        texts = tuple(column for column in self.columns if datatypes[column] == "BYTES")
        return [*items, self._text_step(texts)] if texts else items

    def _text_step(self, columns: tuple[str, ...]) -> Step:
        packed = text_arrays("fill", [fill for fill in self._fills.values() if isinstance(fill, bytes)])
        flagged = [index for index, column in enumerate(columns) if self._flagged[column]]
        flags = [f"{columns[index]}_missing" for index in flagged]
        word = missing_word(self.missing_value)
        state = (packed["fill.offsets"], packed["fill.text"], np.array(flagged, np.int32), *word)
        outputs = (*singles(columns, "BYTES"), *singles(flags))
        return Step(self.step_name(columns), "impute_text", state, columns, outputs)

    def learned(self) -> dict[str, Any]:
        """Which columns are flagged."""
        return {"flagged": [self._flagged[column] for column in self.columns]}

    def arrays(self) -> dict[str, Array]:
        """What numbers and what text to fill in, each in the order of their columns."""
        numbers = [fill for fill in self._fills.values() if not isinstance(fill, bytes)]
        texts = [fill for fill in self._fills.values() if isinstance(fill, bytes)]
        return {"fill": np.array(numbers, np.float64), **text_arrays("fill", texts)}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """One fill for each column, of the column's kind, and flags that the indicator makes."""
        for column in self.columns:
            self._check_kind(column, text=datatypes[column] == "BYTES")
        texts = [column for column in self.columns if datatypes[column] == "BYTES"]
        numbers = [column for column in self.columns if datatypes[column] != "BYTES"]
        filled = dict(zip(numbers, saved.array("fill", "FP64", len(numbers)).tolist(), strict=True))
        filled |= dict(zip(texts, saved.texts("fill", len(texts)), strict=True))
        self._fills = {column: filled[column] for column in self.columns}
        for column, fill in self._fills.items():
            value = fill.decode() if isinstance(fill, bytes) else fill
            wrong = self._wrong(value, datatypes[column])
            if wrong:
                raise saved.error(f"the array 'fill' holds {value!r} for column {column!r}, {wrong}")
        self._flagged = dict(zip(self.columns, saved.flags("flagged", len(self.columns)), strict=True))
        if any(self._flagged.values()) and not self.indicator:
            raise saved.error("columns are flagged, but indicator is off")
        if self.indicator == "all" and not all(self._flagged.values()):
            raise saved.error("not all columns are flagged, but indicator is 'all'")

    def _wrong(self, fill: float | str, datatype: str) -> str | None:
        """Why fit() could not have found this for a column of that datatype; None where it could."""
        if self.strategy == "constant":
            return None if fill == self.fill_value else f"and fill_value is {self.fill_value!r}"
        if self.strategy == "most_frequent":
            if fill == self.missing_value:
                return "which means missing"
            return None if isinstance(fill, str) or _occurs(fill, datatype) else f"which is {datatype}"
        return None if math.isfinite(float(fill)) else f"which is no {self.strategy}"


def _occurs(number: float, datatype: str) -> bool:
    """Whether a column of that datatype may hold a number, as a double has it."""
    dtype = DATATYPES[datatype]
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(number)) == number
    least, greatest = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return number % 1 == 0 and float(least) <= number <= float(greatest)
