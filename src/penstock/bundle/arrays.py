"""From what users hold (frames, columns, arrays) to the arrays of a bundle's inputs."""

from __future__ import annotations

from collections.abc import Sequence

from penstock import frames
from penstock.bundle.examples import Arrays
from penstock.bundle.manifest import Input
from penstock.errors import InputError
from penstock.fitting import fit


def arrays_of(data: object, inputs: Sequence[Input]) -> Arrays:
    """The array of each input, in its datatype and shape, all with the same rows; missing strings are None.

    `data` is what fit() takes. InputError names what is missing or does not fit.
    """
    fitted = fit(data, inputs)
    for tensor in fitted[1:]:
        if len(tensor.values) != len(fitted[0].values):
            raise InputError(
                f"column {tensor.name!r} has {len(tensor.values)} rows, column {fitted[0].name!r} has "
                f"{len(fitted[0].values)}"
            )
    return {
        tensor.name: frames.objects_of(tensor.values, tensor.shape)
        if isinstance(tensor.values, list)
        else tensor.values
        for tensor in fitted
    }


def to_wire(arrays: Arrays, inputs: Sequence[Input]) -> Arrays:
    """The same as callers send them: a missing string is an empty one.

    InputError where that means something else.
    """
    sent = dict(arrays)
    for tensor in inputs:
        if tensor.datatype != "BYTES":
            continue
        elements = arrays[tensor.name].ravel().tolist()
        if None in elements and not tensor.empty_is_missing:
            width = len(elements) // len(arrays[tensor.name])
            raise InputError(
                f"'{tensor.name}' has a missing string in row {elements.index(None) // width}, which callers "
                f"cannot send: an empty string is text here. Fill it, or leave the row out."
            )
        sent[tensor.name] = frames.objects_of([e or b"" for e in elements], arrays[tensor.name].shape)
    return sent


def infer_datatypes(frame: object, names: Sequence[str]) -> dict[str, str]:
    """The datatype of each named column of a frame. InputError for one that is missing or text."""
    columns = frames.columns_of(frame)
    found = {}
    for name in names:
        if name not in columns:
            raise InputError(f"reference= has no column '{name}', which the model was trained on.")
        found[name] = frames.datatype_of(columns[name], name)
        if found[name] == "BYTES":
            raise InputError(f"reference= holds text in '{name}'; this model takes text through features=.")
    return found
