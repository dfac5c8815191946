"""Features: a list of transforms, from the columns of a frame to the matrix that a model takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock.errors import INVALID_ARGUMENT, InputError, RefusedRowError, StatusError, TransformError
from penstock.frames import DATATYPES, Column, Columns, as_datatype, check_times, columns_of, datatype_of
from penstock.instants import Times
from penstock.transforms.base import INTEGER, Transform
from penstock.transforms.custom import Custom
from penstock.transforms.document import (
    read_inputs,
    read_object,
    read_transform,
    write_arrays,
    write_document,
)
from penstock.transforms.layout import Layout
from penstock.transforms.plan import Output, Plan, check_matrix
from penstock.transforms.planner import make_plan
from penstock.transforms.saved import Saved
from penstock.transforms.steps import Alias, Item, Map
from penstock.transforms.strings import Strings, as_sent_strings, restore_strings, strings_of

if TYPE_CHECKING:
    from penstock._core import Program

Array = np.ndarray[Any, Any]


class Features:
    """An ordered list of transforms, fitted together and run by the compiled kernels everywhere.

    The list starts with the columns of a frame. Each transform reads the columns that it names and puts its
    outputs in their place: a column that stays one keeps its name, and one that becomes many gives its
    outputs, named after it, in order. What is left in the end, in order of first mention, are the features;
    each must be a number. Columns that no transform names, and those that no feature depends on, are no
    inputs. The transforms are copied: fitting one Features object does not change another.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        given = list(transforms)
        if not given:
            raise TransformError("features: the list of transforms is empty")
        for index, transform in enumerate(given):
            if not isinstance(transform, Transform):
                raise TransformError(f"features: item {index} is {transform!r}, expected a transform")
        self.transforms: tuple[Transform, ...] = tuple(copy.deepcopy(given))
        self._layout: Layout | None = None
        self._strings: dict[str, Strings] = {}
        self._items: list[Item] | None = None
        self._plans: dict[tuple[str, str], Plan] = {}
        self._programs: dict[str, Program] = {}

    def __getstate__(self) -> dict[str, Any]:
        # What follows from the transforms is made again where it is needed.
        return self.__dict__ | {"_items": None, "_plans": {}, "_programs": {}}

    def __repr__(self) -> str:
        return f"Features([{', '.join(map(repr, self.transforms))}])"

    @property
    def fitted(self) -> bool:
        """Whether fit() has been called, or this was saved after it."""
        return self._layout is not None

    def fit(
        self,
        frame: Any,
        target: Any = None,
        *,
        names: Sequence[str] | None = None,
        datatypes: Mapping[str, str] | None = None,
    ) -> Features:
        """Fits the transforms in order, each on what those before it make of `frame`. Returns self.

        `frame` is anything that penstock.frames reads, of at least one row; `names` are a NumPy matrix's
        columns. `target`, [rows], is what the model is to predict. An input has the datatype of its column,
        or FP64 where an integer or boolean column goes first to a transform of missing values, such as
        Impute, since integers know none; `datatypes` says otherwise. InputError for a frame that cannot
        be read, TransformError for one that cannot be learned from; this object is then as it was.

        What to train on is what fit_transform() gives: with a TargetEncode, transform() of the same frame
        would show each row its own target.
        """
        self._fit(frame, target, names, datatypes, keep_all=False)
        return self

    def _fit(
        self,
        frame: Any,
        target: Any,
        names: Sequence[str] | None,
        given: Mapping[str, str] | None,
        *,
        keep_all: bool,
    ) -> dict[str, Column]:
        """Fits, and gives the columns that a later transform reads, or all of them, as fitting saw them."""
        columns = columns_of(frame, names)
        if columns.rows == 0:
            raise InputError("the frame has no rows; expected at least one to fit on")
        goal = None if target is None else columns_of({"target": target})["target"]
        if goal is not None and len(goal) != columns.rows:
            raise InputError(f"target has {len(goal)} rows, the frame has {columns.rows}")
        transforms = copy.deepcopy(self.transforms)
        layout = Layout(_input_datatypes(transforms, columns, given or {}), columns)
        values: dict[str, Column] = {}
        strings: dict[str, Strings] = {}
        times: dict[str, Times] = {}
        last_read = {name: at for at, transform in enumerate(transforms) for name in transform.columns}
        for index, transform in enumerate(transforms):
            datatypes = layout.read(transform)
            for name in transform.columns:
                if name not in values:
                    values[name] = read = as_datatype(columns[name], datatypes[name], name)
                    if isinstance(read, list):
                        strings[name] = strings_of(read, transform.given_texts(name))
                    kind = columns.times(name)
                    if kind is not None:
                        times[name] = kind
            own = {name: values[name] for name in transform.columns}
            if transform.reads_times:
                transform.times = {name: times[name] for name in transform.columns if name in times}
            transform.fit(own, datatypes, goal)
            if times.keys() & own.keys():
                for item in transform.steps(datatypes):
                    if isinstance(item, Alias) and item.source in times:
                        times[item.target] = times[item.source]
            layout.replace(transform)
            made = transform.training_outputs(own, datatypes, goal)
            if made is None:
                made = _outputs_of(transform, datatypes, own, last_read, None if keep_all else index)
            values |= made
        _check_features(layout)
        self.transforms, self._layout, self._strings = transforms, layout, strings
        self._items, self._plans, self._programs = None, {}, {}
        self.plan()
        return values

    def transform(
        self,
        frame: Any,
        dtype: str = "FP64",
        *,
        names: Sequence[str] | None = None,
        as_sent: bool = True,
    ) -> Array:
        """The features of each row of `frame`: [rows, features], FP64 or FP32, by the kernels that serve.

        A NumPy matrix holds the inputs in their order, or the columns that `names` names. Missing and empty
        strings are what a server takes them for, which gets both as an empty one (ADR 7); without `as_sent`
        they are told apart. InputError for a missing column or a value that does not fit its column's
        datatype or that a transform refuses.
        """
        self._fitted_layout()
        if isinstance(frame, np.ndarray) and names is None:
            names = [name for name, _ in self.inputs]
        columns = columns_of(frame, names)
        check_times(columns, self.times)
        given = {}
        for name, datatype in self.inputs:
            if name not in columns:
                raise InputError(f"column {name!r} ({datatype}) is missing; got {_listed(columns)}")
            values = as_datatype(columns[name], datatype, name)
            given[name] = (
                as_sent_strings(values, self._strings[name])
                if as_sent and isinstance(values, list)
                else values
            )
        if dtype not in self._programs:
            self._programs[dtype] = self.program(dtype=dtype)
        return _run(self._programs[dtype], given)["features"]

    def fit_transform(
        self,
        frame: Any,
        target: Any = None,
        dtype: str = "FP64",
        *,
        names: Sequence[str] | None = None,
        datatypes: Mapping[str, str] | None = None,
    ) -> Array:
        """The features to train a model on: fit(), then transform() of the same frame.

        They differ from these where a transform learns from the target and is cross-fitted, as TargetEncode.
        """
        check_matrix(dtype)
        if not any(transform.cross_fitted for transform in self.transforms):
            self.fit(frame, target, names=names, datatypes=datatypes)
            return self.transform(frame, dtype, names=names)
        values = self._fit(frame, target, names, datatypes, keep_all=True)
        with np.errstate(over="ignore"):
            return np.column_stack([np.asarray(values[name], DATATYPES[dtype]) for name in self.output_names])

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Name and datatype of each column that the features depend on, in order of first mention."""
        return list(self.plan().inputs)

    @property
    def times(self) -> dict[str, Times]:
        """Of each input that a transform reads as dates and times, whether they have a time zone."""
        inputs = {name for name, _ in self.inputs}
        return {
            name: kind
            for transform in self.transforms
            for name, kind in transform.times.items()
            if name in inputs
        }

    @property
    def output_names(self) -> list[str]:
        """The features, in the order of the matrix's columns."""
        return list(self._fitted_layout().columns)

    @property
    def strings(self) -> dict[str, Strings]:
        """Of each input that is text, whether training knew missing and empty strings."""
        return {name: self._strings[name] for name, datatype in self.inputs if datatype == "BYTES"}

    def program(self, output: str = "features", dtype: str = "FP64") -> Program:
        """The compiled program from the inputs to one matrix `output` [rows, features] of FP64 or FP32."""
        return self.plan(output, dtype).program()

    def plan(self, output: str = "features", dtype: str = "FP64") -> Plan:
        """What program() runs, step by step."""
        check_matrix(dtype)
        layout = self._fitted_layout()
        if (output, dtype) not in self._plans:
            matrix = Output(output, dtype, tuple(layout.columns))
            self._plans[output, dtype] = make_plan(list(layout.inputs.items()), self._asked(), [matrix])
        return self._plans[output, dtype]

    def document(self) -> dict[str, Any]:
        """The inputs, `strings` and, of each transform, its kind, parameters and what it learned; as JSON."""
        return write_document(self._fitted_layout().inputs, self._strings, self.transforms)

    def arrays(self) -> dict[str, Array]:
        """The arrays that the transforms learned, by the transform's index and the array's name: `0.mean`."""
        self._fitted_layout()
        return write_arrays(self.transforms)

    @staticmethod
    def from_scikit_learn(fitted: object, reference: object | None = None) -> Features:
        """What a fitted ColumnTransformer, FeatureUnion, Pipeline or transformer of scikit-learn does.

        Nothing is fitted again. The inputs are its feature_names_in_, or x0, x1 and so on, and the features
        its get_feature_names_out(). `reference` is the frame that it was fitted on: its columns have the
        inputs' datatypes, and its text says whether missing and empty strings were known. Without it the
        fitted objects tell: categories of text are BYTES, of integers INT64, of booleans BOOL, and all else
        is FP64.

        With `reference` the features are compared with what `fitted.transform` makes of it, to 1e-6, in all
        rows or an even sample of 20,000 (fewer where there are many features). Without it nothing is
        compared: an encoder, discretizer or threshold behind a step that computes is then refused.

        TransformError names a class or a parameter without a counterpart, and what to do instead, or the
        first row and feature that differ. InputError for a reference that scikit-learn refuses.
        """
        from penstock.transforms.scikit_learn import check_reference, document_of

        features = Features.from_saved(*document_of(fitted, reference))
        if reference is not None:
            check_reference(fitted, features, reference)
        return features

    @staticmethod
    def from_saved(document: Any, arrays: Mapping[str, Array], *, allow_custom: bool = False) -> Features:
        """The fitted features that document() and arrays() gave. TransformError when they are malformed.

        Nothing of the document is run here. Where it has a Custom transform, the program is RefusedError
        unless `allow_custom`, for that is code of whoever wrote the document.
        """
        body = read_object(document, {"inputs", "strings", "transforms"}, "the document")
        layout = Layout(read_inputs(body["inputs"]))
        items = body["transforms"]
        if not isinstance(items, list) or not items:
            raise TransformError(
                f"saved features: 'transforms' is {items!r}, expected a list of at least one"
            )
        of_each: dict[str, dict[str, Array]] = {}
        for name, array in arrays.items():
            prefix, _, own = name.partition(".")
            of_each.setdefault(prefix, {})[own or name] = array
        transforms = []
        for index, item in enumerate(items):
            entry = read_object(item, {"kind", "parameters", "learned"}, f"transform {index}")
            transform = read_transform(entry, index)
            datatypes = layout.read(transform)
            transform.check_datatypes(datatypes)
            own_arrays = of_each.pop(str(index), {})
            saved = Saved(f"transform {index} ({transform.kind})", entry["learned"], own_arrays)
            transform.restore(saved, datatypes)
            saved.finish()
            transform.fitted = True
            if allow_custom and isinstance(transform, Custom):
                transform.allow()
            layout.replace(transform)
            transforms.append(transform)
        for prefix, stray in of_each.items():
            name = next(iter(stray))
            shown = name if name == prefix else f"{prefix}.{name}"
            raise TransformError(f"saved features: the array {shown!r} belongs to no transform")
        if list(layout.inputs.items()) != [tuple(pair) for pair in body["inputs"]]:
            raise TransformError("saved features: 'inputs' are not the columns that the transforms read")
        _check_features(layout)
        features = Features(transforms)
        features._layout = layout
        features._strings = restore_strings(body["strings"], layout.inputs)
        features.plan()  # what cannot be planned is refused here
        return features

    def _fitted_layout(self) -> Layout:
        if self._layout is None:
            raise TransformError("features: not fitted yet; call fit() on a frame first")
        return self._layout

    def _asked(self) -> list[Item]:
        """What all transforms ask for. Made once: tables of many categories take their time."""
        if self._items is None:
            layout = Layout(self._fitted_layout().inputs)
            self._items = []
            for transform in self.transforms:
                self._items += transform.steps(layout.read(transform))
                layout.replace(transform)
        return self._items


def _input_datatypes(
    transforms: Sequence[Transform], columns: Columns, given: Mapping[str, str]
) -> dict[str, str]:
    """Of the columns that transforms name. InputError for a datatype that a column cannot have."""
    first: dict[str, Transform] = {}
    for transform in transforms:
        for name in transform.columns:
            first.setdefault(name, transform)
    for name, datatype in given.items():
        if name not in columns or name not in first:
            raise InputError(f"datatypes= names {name!r}, which no transform reads of the frame")
        if datatype not in DATATYPES and datatype != "BYTES":
            known = ", ".join([*DATATYPES, "BYTES"])
            raise InputError(f"datatypes= says that {name!r} is {datatype!r}; expected one of {known}")
    found = {}
    for name in columns:
        if name in first:
            natural = given.get(name) or datatype_of(columns[name], name)
            gaps = name not in given and first[name].fills_gaps and natural in INTEGER
            found[name] = "FP64" if gaps else natural
    return found


def _outputs_of(
    transform: Transform,
    datatypes: Mapping[str, str],
    values: Mapping[str, Column],
    last_read: Mapping[str, int],
    index: int | None,
) -> dict[str, Column]:
    """What a fitted transform makes of its columns: the outputs that are read after `index`; None: all."""
    items = transform.steps(datatypes)
    found = dict(values)
    written: dict[str, str] = {}
    for item in items:
        if isinstance(item, Alias):
            found[item.target] = found[item.source]
        elif isinstance(item, Map):
            written[item.target] = "FP64"
        else:
            written |= {name: block.datatype for block in item.outputs for name in block.names}
    outputs = [
        Output(name, datatype, (name,), flat=True)
        for name, datatype in written.items()
        if index is None or last_read.get(name, -1) > index
    ]
    if not outputs:
        return found
    program = make_plan(list(datatypes.items()), items, outputs).program()
    for name, tensor in _run(program, values).items():
        found[name] = tensor.tolist() if written[name] == "BYTES" else tensor
    return found


def _run(program: Program, columns: Mapping[str, Column]) -> dict[str, Array]:
    try:
        return program.run({name: columns[name] for name, _, _ in program.inputs})
    except StatusError as error:
        if error.status != INVALID_ARGUMENT:
            raise
        named = RefusedRowError.named_in(str(error))
        raise (RefusedRowError if named else InputError)(str(error)) from error


def _check_features(layout: Layout) -> None:
    if not layout.columns:
        raise TransformError("features: the transforms leave no column")
    for name, datatype in layout.columns.items():
        if datatype == "BYTES":
            raise TransformError(
                f"features: column {name!r} is still text; add a OneHot or an Ordinal for it"
            )


def _listed(columns: Columns) -> str:
    names = [repr(name) for name in columns]
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") or "no columns"
