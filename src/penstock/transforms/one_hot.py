"""OneHot: a column of 0 and 1 for each category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from penstock.transforms.categories import Given, lookup_arrays, plain
from penstock.transforms.grouped import Grouped
from penstock.transforms.registry import register
from penstock.transforms.steps import Array, Block, Step

# What a kernel does for a value that sets no output, and for one that it refuses (ext/kernels/one_hot.pyx).
_NONE, _REFUSED = -1, -2


@register
class OneHot(Grouped):
    """Text, integers or floats [rows] to one FP64 column of 0 and 1 for each category.

    The outputs are named `carrier=AA`, in the order of the categories: the distinct values at fit, ascending,
    or those of `categories` (a list for one column, a dict of lists for several). Where fit saw a missing
    value (or `categories` holds None), missing is a category too, the last one, `carrier_missing`; elsewhere
    it is unknown. Empty text is a value like any other.

    `min_frequency` (rows, or as a float the share of rows) makes rarer categories one, `carrier_infrequent`,
    the last output. So does `max_categories` with the rarest, where there would be more outputs. Missing may
    be infrequent too.

    An unknown value sets none of the outputs; with `unknown='infrequent'` it sets `carrier_infrequent` where
    there is one, with `unknown='error'` it is an error that names the row. `drop='first'` leaves out the
    first output, `drop='if_binary'` the first of two, and a dict of column to value (None for missing) the
    output of that value, also where others share it.

    The values are those of scikit-learn's OneHotEncoder: the same order, grouping, `drop` and place of the
    missing category. It differs in that unknown values are ignored unless told otherwise (there: an error),
    that the outputs are dense, and named `carrier_AA`, `carrier_nan` and `carrier_infrequent_sklearn` there.
    None and NaN are one missing value, not two. TransformError for a value to drop that is no category.
    """

    kind = "one_hot"
    unknown_choices = ("ignore", "error", "infrequent")
    groups_missing = True

    def __init__(
        self,
        columns: str | Sequence[str],
        *,
        unknown: Literal["ignore", "error", "infrequent"] = "ignore",
        drop: Literal["first", "if_binary"] | Mapping[str, Any] | None = None,
        min_frequency: int | float | None = None,
        max_categories: int | None = None,
        categories: Given | None = None,
    ) -> None:
        super().__init__(columns, unknown, categories, min_frequency, max_categories)
        if isinstance(drop, Mapping):
            drop = {column: plain(value) for column, value in drop.items()}
            for column, value in drop.items():
                if column not in self.columns:
                    raise self.error("drop names a value of it, but columns does not name it", column)
                if value is not None and not isinstance(value, (str, int, float)):
                    raise self.error(f"drop is {value!r}, expected text, a number or None", column)
        elif drop is not None and drop not in ("first", "if_binary"):
            raise self.error(
                f"drop is {drop!r}, expected None, 'first', 'if_binary' or a dict of column to value",
                self.columns[0],
            )
        self.drop = dict(drop) if isinstance(drop, Mapping) else drop

    def parameters(self) -> dict[str, Any]:
        """The columns, their categories where given, what is left out or made one, and unknown values."""
        return {
            "columns": self.columns,
            "unknown": self.unknown,
            "drop": self.drop,
            "min_frequency": self.min_frequency,
            "max_categories": self.max_categories,
            "categories": self.categories,
        }

    def check_categories(self, column: str) -> None:
        """What is to be dropped is a category."""
        if isinstance(self.drop, dict) and column in self.drop and self._category(column) is None:
            known = ", ".join(self._found[column].labels[:10]) or "none"
            raise self.error(
                f"drop names {self.drop[column]!r}, which is no category; there are {known}", column
            )

    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """One column for each category that is not dropped; the infrequent ones share one."""
        infrequent = set(self._infrequent[column].tolist())
        names = [f"{column}={label}" for label in self._found[column].labels]
        if self._found[column].missing:
            names.append(f"{column}_missing")
        names = [name for index, name in enumerate(names) if index not in infrequent]
        if infrequent:
            names.append(f"{column}_infrequent")
        dropped = self._dropped(column)
        return [(name, "FP64") for index, name in enumerate(names) if index != dropped]

    def steps(self, datatypes: Mapping[str, str]) -> list[Step]:
        """The calls, each of which can leave out outputs that nothing needs."""
        return [replace(step, narrow=partial(self._narrowed, step)) for step in super().steps(datatypes)]

    def _narrowed(self, step: Step, keep: Sequence[Sequence[int]]) -> Step:
        """The step with these columns of each block; an input without one is looked up only for errors."""
        blocks = dict(zip(step.inputs, zip(step.outputs, keep, strict=True), strict=True))
        columns = tuple(column for column, (_, kept) in blocks.items() if len(kept) or step.refuses)
        positions, unknown, missing = self.codes(columns)
        first = 0
        for index, column in enumerate(columns):
            block, kept = blocks[column]
            last = first + len(self._found[column].values)
            places = np.full(len(block.names) + 2, _NONE, np.int32)  # behind the block's: _REFUSED and _NONE
            places[_REFUSED] = _REFUSED
            places[list(kept)] = np.arange(len(kept))
            positions[first:last] = places[positions[first:last]]
            unknown[index], missing[index] = places[unknown[index]], places[missing[index]]
            first = last
        state = (*lookup_arrays([self._found[column] for column in columns]), positions, unknown, missing)
        made = [(block, kept) for block, kept in blocks.values() if len(kept)]
        outputs = tuple(Block(tuple(block.names[i] for i in kept), block.datatype) for block, kept in made)
        return replace(step, name=self.step_name(columns), state=state, inputs=columns, outputs=outputs)

    def kernel(self) -> str:
        """A kernel of its own."""
        return "one_hot"

    def codes(self, columns: Sequence[str]) -> tuple[Array, ...]:
        """INT32: which of its column's outputs each category sets, and an unknown and a missing value."""
        positions, unknown, missing = [], [], []
        for column in columns:
            found, dropped = self._found[column], self._dropped(column)
            places = self.places(column)
            if dropped is not None:
                places = np.where(places == dropped, _NONE, places - (places > dropped))
            other = _REFUSED if self.unknown == "error" else _NONE
            if self.unknown == "infrequent" and self._infrequent[column].size:
                other = int(places[self._infrequent[column][0]])
            positions.append(places[: len(found.values)])
            unknown.append(other)
            missing.append(int(places[-1]) if found.missing else other)
        return (
            np.concatenate(positions).astype(np.int32),
            np.array(unknown, np.int32),
            np.array(missing, np.int32),
        )

    def _category(self, column: str) -> int | None:
        """The index of the category that `drop` names."""
        assert isinstance(self.drop, dict)
        value, found = self.drop[column], self._found[column]
        if value is None or value != value:
            return len(found.values) if found.missing else None
        key = value.encode() if isinstance(value, str) else value
        return found.values.index(key) if key in found.values else None

    def _dropped(self, column: str) -> int | None:
        """Which output, before any is left out."""
        places = self.places(column)
        if self.drop == "first":
            return 0
        if self.drop == "if_binary":
            return 0 if np.unique(places).size == 2 else None
        if isinstance(self.drop, dict) and column in self.drop:
            category = self._category(column)
            return None if category is None else int(places[category])
        return None
