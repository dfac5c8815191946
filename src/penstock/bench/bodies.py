"""What a load sends: serialized ModelInferRequests, from a file, from a table, or made from a model's
metadata.

A load sends several different requests in turns, so that a cache of answers, or of a processor, does not
flatter the server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penstock import _proto
from penstock.client import session, tensors
from penstock.client.answers import ModelMetadata, Parameter, TensorSpec
from penstock.errors import InputError, NotFoundError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """A serialized request. `answers` are the serialized messages that are right; none: any message is."""

    message: bytes
    answers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What every request of a load asks for, besides its values. `version` "" is the server's choice."""

    model: str
    version: str = ""
    parameters: Mapping[str, Parameter] | None = None


def from_file(path: Path, asked: Asked) -> Body:
    """One request from a file: a serialized ModelInferRequest, or JSON where the name ends in .json.

    JSON is the protocol's (`{"inputs": [{"name", "shape", "datatype", "data"}]}`), or protobuf's own form of
    the message. Parameters are added to it. InputError where it is neither, or for another model or version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    request = _of_json(path, data, asked) if path.suffix.lower() == ".json" else _of_bytes(path, data)
    if request.model_name != asked.model:
        raise InputError(f"{path} is a request for the model '{request.model_name}', not '{asked.model}'")
    if asked.version and request.model_version != asked.version:
        raise InputError(
            f"{path} is a request for the version '{request.model_version}', not '{asked.version}'"
        )
    # What the file holds stays as it is; protobuf messages may be concatenated.
    message = request.SerializeToString() if path.suffix.lower() == ".json" else data
    return Body(message + _tail("", asked.parameters))


def from_table(columns: Mapping[str, Any] | Any, metadata: ModelMetadata, asked: Asked) -> Body:
    """One request with all rows of a frame or of columns, fitted as the client does it."""
    return Body(
        session.stream_request(metadata, asked.model, asked.version, columns, ())
        + _tail("bench", asked.parameters)
    )


def made(metadata: ModelMetadata, asked: Asked, *, rows: int, count: int, seed: int) -> list[Body]:
    """Requests of so many rows with seeded values of the inputs' datatypes and shapes.

    Standard normal numbers; integers from 0 to 99; short words. A dimension of any size takes `rows` where it
    is the first, else 1. InputError where the server does not say what its model takes.
    """
    if not metadata.inputs:
        raise InputError(
            f"the server does not say which inputs the model '{metadata.name}' has, so that no request can "
            "be made up for it; give a whole request as a file"
        )
    if rows > 1 and not any(spec.shape[:1] == (-1,) for spec in metadata.inputs):
        raise InputError(
            f"the inputs of the model '{metadata.name}' have fixed shapes: {rows} rows do not fit"
        )
    random = np.random.default_rng(seed)
    return [
        from_table({spec.name: _values(spec, rows, random) for spec in metadata.inputs}, metadata, asked)
        for _ in range(count)
    ]


_WORDS = ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "willow")
_MAKERS: dict[str, Callable[[Any, tuple[int, ...]], Array]] = {
    "BOOL": lambda random, shape: random.integers(0, 2, shape).astype(bool),
    "BYTES": lambda random, shape: np.array(_WORDS, object)[random.integers(0, len(_WORDS), shape)],
}


def _values(spec: TensorSpec, rows: int, random: np.random.Generator) -> Array:
    shape = tuple(
        (rows if place == 0 else 1) if size == -1 else size for place, size in enumerate(spec.shape)
    )
    maker = _MAKERS.get(spec.datatype)
    if maker is not None:
        return maker(random, shape)
    if spec.datatype.startswith(("FP", "BF")):
        return random.standard_normal(shape, np.float32)
    return random.integers(0, 100, shape)


def _tail(id: str, parameters: Mapping[str, Parameter] | None) -> bytes:  # noqa: A002
    return tensors.encode_request("", "", (), id=id, parameters=parameters)


def _of_bytes(path: Path, data: bytes) -> Any:
    try:
        return _proto.ModelInferRequest.FromString(data)
    except Exception as error:
        raise InputError(
            f"{path} is no serialized ModelInferRequest: {error}. JSON is taken from names ending in .json."
        ) from error


def _of_json(path: Path, data: bytes, asked: Asked) -> Any:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise InputError(f'{path}: expected an object with a list "inputs"')
    inputs = document["inputs"]
    if any(isinstance(each, dict) and "data" in each for each in inputs):
        request = _of_rest(path, document, inputs)
    else:
        from google.protobuf import json_format

        try:
            request = json_format.ParseDict(document, _proto.ModelInferRequest())
        except json_format.ParseError as error:
            raise InputError(f"{path} is no ModelInferRequest in JSON: {error}") from error
    # The protocol's HTTP form has both in its path.
    request.model_name = request.model_name or asked.model
    request.model_version = request.model_version or asked.version
    return request


def _of_rest(path: Path, document: dict[str, Any], inputs: Sequence[Any]) -> Any:
    """The protocol's JSON, as its HTTP form has it: flat or nested `data` beside a shape."""
    made_of: list[tensors.Tensor] = []
    for place, each in enumerate(inputs):
        if not isinstance(each, dict) or not {"name", "shape", "datatype", "data"} <= each.keys():
            raise InputError(f"{path}: inputs[{place}] needs name, shape, datatype and data")
        name, datatype = str(each["name"]), str(each["datatype"])
        known = datatype == "BYTES" or datatype in tensors.DTYPES
        if not known or datatype == "BF16":
            raise InputError(f"{path}: input '{name}' has the datatype '{datatype}', which JSON cannot give")
        try:
            values = np.array(each["data"], object if datatype == "BYTES" else tensors.DTYPES[datatype])
            values = values.reshape(tuple(each["shape"]))
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{path}: input '{name}': its data is not {datatype} of the shape {each['shape']}: {error}"
            ) from error
        made_of.append(tensors.Tensor(name, datatype, values.shape, tensors.to_raw(values, datatype)))
    return _proto.ModelInferRequest.FromString(
        tensors.encode_request(
            str(document.get("model_name", "")),
            str(document.get("model_version", "")),
            made_of,
            id=str(document.get("id", "")),
            parameters=document.get("parameters"),
        )
    )
