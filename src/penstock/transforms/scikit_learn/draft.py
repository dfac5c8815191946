"""Draft: the transforms that stand for a fitted object of scikit-learn, while it is taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from penstock.errors import TransformError
from penstock.transforms.base import Transform
from penstock.transforms.document import write_arrays, write_document
from penstock.transforms.registry import transform_of
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Array
from penstock.transforms.strings import Strings

Parameters = Mapping[str, Any] | Callable[[list[str]], Mapping[str, Any]]

_OTHER = {"None": "NaN", "NaN": "None"}
_EXACT = {
    "binarize",
    "bucketize",
    "cast",
    "clip",
    "hash",
    "impute",
    "missing_indicator",
    "one_hot",
    "ordinal",
}


class Draft:
    """The transforms so far, and the columns that they leave.

    Columns have working names of their own; what scikit-learn calls them, document() says in the end.
    `datatypes` are those of the inputs, None where the fitted objects are to tell; `strings` what is known of
    their text, and `missing` which of None and NaN their columns of objects have. `compared` says whether
    there are rows to hold the features against. Every transform is restored when it is added, by the checks
    that a bundle's goes through.
    """

    def __init__(
        self,
        datatypes: Mapping[str, str | None],
        strings: Mapping[str, Strings],
        missing: Mapping[str, frozenset[str]],
        *,
        compared: bool,
    ) -> None:
        self._inputs = dict(datatypes)
        self._strings = dict(strings)
        self._known = set(strings)  # inputs whose text was seen
        self._input_of = {name: name for name in datatypes}  # working columns that are an input, unchanged
        self._text_of = dict(self._input_of)  # and those that are one's text, with missing values filled
        self._datatypes: dict[str, str] = {}  # of all others
        self._names = set(datatypes)  # that have ever been used
        self._missing = dict(missing)
        self._compared = compared
        self._computed: set[str] = set()  # columns whose last bit may be another than scikit-learn's
        self._filled: dict[
            str, tuple[str, str]
        ] = {}  # columns in which an imputer filled None alone, or NaN alone
        self._as_numbers: set[str] = set()
        self._read: list[str] = []
        self._path: list[str] = []
        self._transforms: list[Transform] = []

    @contextmanager
    def within(self, label: str) -> Iterator[None]:
        """Puts `label` into the messages of what is raised inside."""
        self._path.append(label)
        try:
            yield
        finally:
            self._path.pop()

    def error(self, message: str) -> TransformError:
        """A TransformError to raise, which says where in the fitted object it is."""
        return TransformError(f"scikit-learn: {' > '.join(self._path)}: {message}")

    def refusal(self, what: str, instead: str = "") -> TransformError:
        """A TransformError to raise for what has no counterpart, with what to do about it."""
        advice = "Write it as a t.Custom, or fit it into the model"
        return self.error(f"{what} cannot be converted. {instead or advice}.")

    @property
    def datatypes(self) -> dict[str, str | None]:
        """Of the inputs: those given, and those that fitted objects told. None for all else."""
        return dict(self._inputs)

    def datatype(self, column: str) -> str:
        """Of a working column; FP64 for an input of which nothing is known."""
        if column in self._input_of:
            return self._inputs[self._input_of[column]] or "FP64"
        return self._datatypes[column]

    def is_text(self, column: str) -> bool:
        """Whether it is known to be text."""
        return self.datatype(column) == "BYTES"

    def is_input(self, column: str) -> bool:
        """Whether it is an input under its own name."""
        return self._input_of.get(column) == column

    def tell(self, column: str, datatype: str) -> None:
        """A fitted object shows the datatype of a column. An input of which nothing is known takes it.

        TransformError where the column is text and it says numbers, or the other way round.
        """
        name = self._input_of.get(column)
        if name is not None and self._inputs[name] is None:
            if datatype == "BYTES" and name in self._as_numbers:
                raise self.error(f"column {name!r} is text here and numbers in another place")
            self._inputs[name] = datatype
        if (datatype == "BYTES") != self.is_text(column):
            expected = "text" if datatype == "BYTES" else "numbers"
            raise self.error(
                f"column {name or column!r} was {expected} when this was fitted, and is "
                f"{self.datatype(column)} here; pass the frame that it was fitted on as reference="
            )

    def tell_strings(self, column: str, *, missing: bool, empty: bool) -> None:
        """Whether a fitted object knows missing and empty strings in a text column that nobody has seen."""
        name = self._text_of.get(column)
        if name is not None and name not in self._known:
            told = self._strings.get(name, Strings(False, False))
            self._strings[name] = Strings(told.missing or missing, told.empty or empty)

    def numbers(self, columns: Sequence[str]) -> None:
        """Says that these are read as numbers. TransformError for one that is text."""
        for column in columns:
            name = self._input_of.get(column)
            if self.is_text(column):
                raise self.error(f"column {name or column!r} is text; expected numbers")
            if name is not None:
                self._as_numbers.add(name)

    def fills(self, column: str, kind: str) -> None:
        """An imputer or indicator matches None or NaN, `kind`, in a column, and not the other one.

        TransformError where the reference has the other one there.
        """
        name = self._input_of.get(column)
        other = _OTHER[kind]
        if name is not None and other in self._missing.get(name, ()):
            raise self._half_filled(name, kind)

    def input_name(self, column: str) -> str:
        """Of a working column that is an input, unchanged, that input; else its own."""
        return self._input_of.get(column, column)

    def filled(self, column: str, kind: str, source: str) -> None:
        """An imputer has filled None or NaN, `kind`, in what people know as `source`."""
        self._filled[column] = (kind, source)

    def check_filled(self, column: str, categories: Sequence[Any]) -> None:
        """TransformError where categories have a missing value that the imputer before left alone."""
        if column not in self._filled:
            return
        kind, source = self._filled[column]
        left = {"None" if value is None else "NaN" for value in categories if value is None or value != value}
        if _OTHER[kind] in left:
            raise self._half_filled(source, kind)

    def _half_filled(self, column: str, kind: str) -> TransformError:
        given, other = ("nan", "None") if kind == "NaN" else ("None", "nan")
        return self.error(
            f"missing_values={given} does not match {_OTHER[kind]}, which column {column!r} has, and callers "
            f"send both as missing. Use missing_values={other} or pd.NA, or fillna before fit."
        )

    def steps_at(self, columns: Sequence[str]) -> None:
        """A transform jumps at some values of these columns: categories, edges, thresholds.

        TransformError where they are computed and there is nothing to compare the answers with.
        """
        if not self._compared and not self._computed.isdisjoint(columns):
            raise self.error(
                "behind a step that computes, the last bit of a number decides what it becomes, and there "
                "is nothing to compare with. Give reference=, the frame that it was fitted on."
            )

    def copies(self, labels: Sequence[str], wanted: Sequence[Sequence[str]]) -> list[list[str]]:
        """Columns of their own for each of several branches: for each of `wanted` its copies, in order.

        First one copy of each column, then the second ones: columns are read in the order of the frame.
        """
        made: list[list[str]] = [[""] * len(columns) for columns in wanted]
        places: dict[str, list[tuple[int, int]]] = {}
        for branch, columns in enumerate(wanted):
            for index, column in enumerate(columns):
                places.setdefault(column, []).append((branch, index))
        # Where an input was transformed under its own name, it is the same place.
        order = [name for name in dict.fromkeys((*self._inputs, *places)) if name in places]
        while any(places.values()):
            left = [column for column in order if places[column]]
            names = []
            for column in left:
                branch, index = places[column].pop(0)
                made[branch][index] = name = self._fresh(f"{labels[branch]}__{column}")
                names.append(name)
            self._copy(left, names)
        return made

    def add(
        self,
        kind: str,
        columns: Sequence[str],
        *,
        parameters: Parameters | None = None,
        learned: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Array] | None = None,
        exact: bool = False,
    ) -> list[list[str]]:
        """One more transform: the names of what it puts in the place of each of its columns.

        `exact` says that it picks, fills or counts, and rounds nothing; so do all of some kinds.

        Where such a name is taken, the columns get other names first; `parameters` that name columns are
        therefore a function of the names. TransformError where the transform cannot be as it is described,
        or a column is text and it reads numbers.
        """
        if "BYTES" not in transform_of(kind).accepts:
            self.numbers(columns)
        named = list(columns)
        transform, outputs = self._restored(kind, named, parameters, learned, arrays)
        if self._collide(named, outputs):
            named = [self._fresh(column) for column in columns]
            self._copy(columns, named)
            transform, outputs = self._restored(kind, named, parameters, learned, arrays)
            if self._collide(named, outputs):
                raise self.error(
                    f"{transform.step_name(columns)} makes a column whose name is taken; rename one"
                )
        self._enter(transform)
        computes = not (exact or kind in _EXACT) or not self._computed.isdisjoint(named)
        texts = {column: self._text_of.pop(column, None) for column in named}
        for column in named:
            self._input_of.pop(column, None)
            self._datatypes.pop(column, None)
            self._filled.pop(column, None)
            self._computed.discard(column)
        for column, made in zip(named, outputs, strict=True):
            for name, datatype in made:
                self._names.add(name)
                self._datatypes[name] = datatype
                if computes:
                    self._computed.add(name)
                text = texts[column]
                if datatype == "BYTES" and text is not None:
                    self._text_of[name] = text
        return [[name for name, _ in made] for made in outputs]

    def document(
        self, columns: Sequence[str], names: Sequence[str]
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """The document and the arrays of features that are `columns` alone, called `names`."""
        for column in columns:
            if self.is_text(column):
                raise self.error(
                    f"column {self._text_of.get(column, column)!r} is text in the output, and features are "
                    f"numbers. Encode it, as with OneHotEncoder, or drop it, and fit again."
                )
        select, _ = self._restored("select", list(columns), {"only": True, "names": list(names)}, None, None)
        self._enter(select)
        inputs = {name: self._inputs[name] or "FP64" for name in self._read}
        texts = [name for name, datatype in inputs.items() if datatype == "BYTES"]
        strings = {name: self._strings.get(name, Strings(False, False)) for name in texts}
        return write_document(inputs, strings, self._transforms), write_arrays(self._transforms)

    def _restored(
        self,
        kind: str,
        columns: list[str],
        parameters: Parameters | None,
        learned: Mapping[str, Any] | None,
        arrays: Mapping[str, Array] | None,
    ) -> tuple[Transform, list[list[tuple[str, str]]]]:
        """A transform, as it comes back from a bundle, and what it puts in the place of each column."""
        datatypes = {column: self.datatype(column) for column in columns}
        given = parameters(columns) if callable(parameters) else parameters or {}
        try:
            transform = transform_of(kind)(columns=columns, **given)
            transform.check_datatypes(datatypes)
            saved = Saved(f"transform {kind}", dict(learned or {}), arrays or {})
            transform.restore(saved, datatypes)
            saved.finish()
        except TransformError as error:
            raise self.error(str(error)) from error
        transform.fitted = True
        return transform, [transform.outputs(column, datatypes[column]) for column in columns]

    def _collide(self, columns: Sequence[str], outputs: Sequence[Sequence[tuple[str, str]]]) -> bool:
        """Whether a name comes twice, is that of a column elsewhere, or of another that outputs replace."""
        names = [(name, column) for column, made in zip(columns, outputs, strict=True) for name, _ in made]
        replaced = {column for column, made in zip(columns, outputs, strict=True) if made}
        return len(dict(names)) < len(names) or any(
            (name in self._names and name not in columns) or (name != column and name in replaced)
            for name, column in names
        )

    def _fresh(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names:
            number += 1
            name = f"{wanted} ({number})"
        self._names.add(name)
        return name

    def _copy(self, columns: Sequence[str], names: Sequence[str]) -> None:
        self._enter(transform_of("copy")(columns=columns, names=names))  # type: ignore[call-arg]
        for column, name in zip(columns, names, strict=True):
            for known in (self._input_of, self._text_of, self._datatypes):
                if column in known:
                    known[name] = known[column]
            if column in self._filled:
                self._filled[name] = self._filled[column]
            if column in self._computed:
                self._computed.add(name)

    def _enter(self, transform: Transform) -> None:
        self._read += [name for name in transform.columns if name in self._inputs and name not in self._read]
        self._transforms.append(transform)


def flat(outputs: Sequence[Sequence[str]]) -> list[str]:
    """All outputs of all columns, in order."""
    return [name for names in outputs for name in names]
