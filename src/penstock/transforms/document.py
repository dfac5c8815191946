"""The document of fitted transforms, as a bundle holds it: how it is written, and the checks on its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.errors import TransformError
from penstock.frames import DATATYPES
from penstock.transforms.base import Transform
from penstock.transforms.registry import transform_of
from penstock.transforms.saved import from_json, to_json
from penstock.transforms.steps import Array
from penstock.transforms.strings import Strings, save_strings


def write_document(
    inputs: Mapping[str, str], strings: Mapping[str, Strings], transforms: Sequence[Transform]
) -> dict[str, Any]:
    """The inputs, `strings` and, of each transform, its kind, parameters and what it learned; as JSON."""
    return {
        "inputs": [list(item) for item in inputs.items()],
        "strings": save_strings(strings),
        "transforms": [
            {
                "kind": transform.kind,
                "parameters": {name: to_json(value) for name, value in transform.parameters().items()},
                "learned": transform.learned(),
            }
            for transform in transforms
        ],
    }


def write_arrays(transforms: Sequence[Transform]) -> dict[str, Array]:
    """The arrays that the transforms learned, by the transform's index and the array's name: `0.mean`."""
    return {
        f"{index}.{name}": array
        for index, transform in enumerate(transforms)
        for name, array in transform.arrays().items()
    }


def read_object(value: Any, keys: set[str], what: str) -> dict[str, Any]:
    """An object of exactly these keys. TransformError for anything else."""
    if not isinstance(value, dict) or value.keys() != keys:
        raise TransformError(f"saved features: {what} is no object of {', '.join(sorted(keys))}")
    return value


def read_inputs(value: Any) -> dict[str, str]:
    """Names and datatypes. TransformError where there is another thing, or a name twice."""
    if not isinstance(value, list):
        raise TransformError(f"saved features: 'inputs' is {value!r}, expected a list")
    found = {}
    for pair in value:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(item, str) for item in pair)):
            raise TransformError(f"saved features: the input {pair!r} is no pair of name and datatype")
        name, datatype = pair
        if datatype not in DATATYPES and datatype != "BYTES":
            raise TransformError(f"saved features: input {name!r} has the unknown datatype {datatype!r}")
        if name in found:
            raise TransformError(f"saved features: input {name!r} occurs twice")
        found[name] = datatype
    return found


def read_transform(entry: Mapping[str, Any], index: int) -> Transform:
    """The transform that an entry names, by its parameters alone. TransformError where they are not sound."""
    kind = transform_of(entry["kind"])
    parameters = entry["parameters"]
    if not isinstance(parameters, dict):
        raise TransformError(f"saved features: the parameters of transform {index} are no object")
    try:
        return kind(**{name: from_json(value) for name, value in parameters.items()})
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TransformError(f"saved features: transform {index} ({kind.kind}): {error}") from error
