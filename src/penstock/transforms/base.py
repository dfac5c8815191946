"""What every transform is: parameters, a fit, the kernel calls that follow from it, and a form to save."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from penstock.errors import TransformError
from penstock.frames import Column
from penstock.instants import Times
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array, Item

LONGEST_NAME = 4096  # characters of a column's: outputs are named after it
FLOATING = ("FP32", "FP64")
INTEGER = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
NUMERIC = (*INTEGER, "FP16", "BF16", *FLOATING)


class Transform(ABC):
    """One transform of a list: it reads its `columns` and puts its outputs in their place.

    A column that becomes one keeps its name; one that becomes many gives names of its own, in its place and
    in order. What is made of several columns together stands in the place of the first; with `keep`, where a
    class has it, the columns themselves stay, before it. Not fitted when made; `fit` learns from a frame, and
    `Features` does that in the list's order.
    """

    kind: ClassVar[str]  # in messages and saved documents
    accepts: ClassVar[tuple[str, ...]]  # datatypes of the columns it reads
    reads_times: ClassVar[bool] = False  # whether it is told `times`
    fills_gaps: ClassVar[bool] = False  # whether missing values are what it is for
    only = False  # whether all columns but its own are dropped
    cross_fitted: ClassVar[bool] = False  # whether it has training_outputs()

    def __init__(self, columns: str | Sequence[str]) -> None:
        """`columns`: a name or a list of names. TransformError when there is none, or one twice."""
        given = (
            (columns,)
            if isinstance(columns, str)
            else tuple(columns)
            if isinstance(columns, Iterable)
            else ()
        )
        if not given or not all(isinstance(column, str) and column for column in given):
            raise self.error(f"columns is {columns!r}; expected a name or a list of names")
        seen: set[str] = set()
        for column in given:
            if column in seen:
                raise self.error("it is named twice; name each column once", column)
            if len(column) > LONGEST_NAME:
                what = f"the name {column[:40]!r}... has {len(column):,} characters; at most {LONGEST_NAME:,}"
                raise self.error(f"{what} are taken")
            seen.add(column)
        self.columns: tuple[str, ...] = given
        # Of its columns, those that are dates and times in the frame of fit(). Features sets it before.
        self.times: Mapping[str, Times] = {}
        self.fitted = False

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.parameters().items())
        return f"{type(self).__name__}({given})"

    def error(self, message: str, column: str | None = None) -> TransformError:
        """A TransformError to raise, which names this transform and the column."""
        where = "" if column is None else f"column {column!r}: "
        return TransformError(f"{self.kind}: {where}{message}")

    def step_name(self, columns: Sequence[str]) -> str:
        """What messages call a kernel call on these columns."""
        return f"{self.kind}({', '.join(columns)})"

    def check_datatypes(self, datatypes: Mapping[str, str]) -> None:
        """TransformError when a column is of a datatype that this transform does not read."""
        for column in self.columns:
            if datatypes[column] not in self.accepts:
                text = "text (BYTES)" if datatypes[column] == "BYTES" else datatypes[column]
                expected = "numbers" if "BYTES" not in self.accepts else "text, integers or floating point"
                raise self.error(f"it is {text}, expected {expected}", column)

    def fit(self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None) -> None:
        """Learns from `columns`: those of self.columns, of one length and of at least one row.

        Numbers are arrays in the type of their datatype, text is a list with None for missing. `target` is
        what the model is to predict, of the same length, where the caller gave one. TransformError names
        the column that cannot be learned from.
        """
        self.check_datatypes(datatypes)
        self.learn(columns, datatypes, target)
        self.fitted = True

    def training_outputs(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> dict[str, Column] | None:
        """What stands for the outputs in the rows of fit(), where that is not what the kernels make of them.

        For transforms that learn from `target` (`cross_fitted`): a row's own target must not be in its
        features. All outputs, by name. Fitted only.
        """
        return None

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The arguments of __init__ that make this transform again, `columns` first."""

    @abstractmethod
    def learn(
        self, columns: Mapping[str, Column], datatypes: Mapping[str, str], target: Column | None
    ) -> None:
        """The part of fit() that is this class's own; the datatypes are checked."""

    def given_texts(self, column: str) -> Collection[str | None]:
        """Texts that the parameters name for a column, None for missing: known, whatever fit() sees."""
        return ()

    @abstractmethod
    def outputs(self, column: str, datatype: str) -> list[tuple[str, str]]:
        """Names and datatypes of what stands in the place of one column, in order. Fitted transforms only."""

    @abstractmethod
    def steps(self, datatypes: Mapping[str, str]) -> Sequence[Item]:
        """What computes all outputs, given the datatypes of the columns. Fitted only.

        An output that has the name of one of the columns and is made by nothing here is that column as it is.
        """

    def learned(self) -> dict[str, Any]:
        """What fit() found that is not in arrays(), as JSON."""
        return {}

    def arrays(self) -> dict[str, Array]:
        """The arrays that fit() found, by name."""
        return {}

    def restore(self, saved: Saved, datatypes: Mapping[str, str]) -> None:
        """Takes learned() and arrays() back. TransformError where fit() could not have found them."""
        del saved, datatypes
