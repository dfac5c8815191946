"""What a ModelInferRequest means: the protocol's rules said once more, on top of Google's parser."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from codec_probe import BOOL, DOUBLE, INT64, NONE, STRING, UINT64, Parameters, Request, Tensor
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from penstock import _proto

# datatype: field of InferTensorContents, numpy's dtype
NUMBERS = {
    "BOOL": ("bool_contents", "u1"),
    "UINT8": ("uint_contents", "<u1"),
    "UINT16": ("uint_contents", "<u2"),
    "UINT32": ("uint_contents", "<u4"),
    "UINT64": ("uint64_contents", "<u8"),
    "INT8": ("int_contents", "<i1"),
    "INT16": ("int_contents", "<i2"),
    "INT32": ("int_contents", "<i4"),
    "INT64": ("int64_contents", "<i8"),
    "FP16": (None, "<u2"),
    "BF16": (None, "<u2"),
    "FP32": ("fp32_contents", "<f4"),
    "FP64": ("fp64_contents", "<f8"),
}
DATATYPES = [*NUMBERS, "BYTES"]
CONTENTS = [field.name for field in _proto.InferTensorContents.DESCRIPTOR.fields]
PARAMETER_KINDS = {
    None: NONE,
    "bool_param": BOOL,
    "int64_param": INT64,
    "string_param": STRING,
    "double_param": DOUBLE,
    "uint64_param": UINT64,
}


class RefusedError(Exception):
    """The message breaks a rule of the protocol."""


class MalformedError(RefusedError):
    """The bytes are no ModelInferRequest at all."""


def request_class() -> Any:
    """ModelInferRequest with its maps as the repeated entries that they are on the wire.

    Protobuf's parser in Python drops a map entry that holds an unknown field; the specification, and the
    parsers of other languages, skip the unknown field only.
    """
    pool = descriptor_pool.DescriptorPool()
    for serialized in _proto.file_descriptors().values():
        file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
        pending = list(file.message_type)
        while pending:
            message = pending.pop()
            message.options.ClearField("map_entry")
            pending += message.nested_type
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))


ModelInferRequest = request_class()


def parameters_of(found: Any) -> Parameters:
    """Of a map, or of its entries: the last one of a key counts."""
    result: Parameters = {}
    for name, value in found.items() if hasattr(found, "items") else [(e.key, e.value) for e in found]:
        choice = value.WhichOneof("parameter_choice")
        result[name] = PARAMETER_KINDS[choice], None if choice is None else getattr(value, choice)
    return result


def elements_of(shape: tuple[int, ...]) -> int:
    if len(shape) > 64 or any(dim < 0 for dim in shape):
        raise RefusedError(shape)
    if math.prod(dim for dim in shape if dim) >= 2**63:
        raise RefusedError(shape)
    return math.prod(shape)


def raw_data(datatype: str, elements: int, raw: bytes) -> bytes | list[bytes]:
    if datatype != "BYTES":
        if len(raw) != elements * np.dtype(NUMBERS[datatype][1]).itemsize:
            raise RefusedError("size")
        if datatype == "BOOL" and any(byte > 1 for byte in raw):
            raise RefusedError("bool")
        return raw
    found = []
    for _ in range(min(elements, len(raw) // 4 + 1)):
        if len(raw) < 4 or len(raw) - 4 < struct.unpack_from("<I", raw)[0]:
            raise RefusedError("element")
        end = 4 + struct.unpack_from("<I", raw)[0]
        found.append(raw[4:end])
        raw = raw[end:]
    if raw or len(found) != elements:
        raise RefusedError("elements")
    return found


def typed_data(datatype: str, elements: int, contents: Any) -> bytes | list[bytes]:
    field, dtype = ("bytes_contents", None) if datatype == "BYTES" else NUMBERS[datatype]
    if any(len(getattr(contents, other)) for other in CONTENTS if other != field):
        raise RefusedError("wrong contents")
    values = list(getattr(contents, field)) if field else []
    if len(values) != elements:
        raise RefusedError("count")
    if dtype is None:
        return values
    if field in ("int_contents", "uint_contents"):
        limits = np.iinfo(np.dtype(dtype))
        if any(not limits.min <= value <= limits.max for value in values):
            raise RefusedError("range")
    return np.array(values, dtype=dtype).tobytes()


def read(message: bytes) -> Request:
    """The request that the codec has to see; MalformedError or RefusedError where the codec has to refuse."""
    try:
        parsed = ModelInferRequest.FromString(message)
    except DecodeError as error:
        raise MalformedError(str(error)) from error
    raw = list(parsed.raw_input_contents)
    if raw and len(raw) != len(parsed.inputs):
        raise RefusedError("raw entries")
    inputs = []
    typed = False
    for i, given in enumerate(parsed.inputs):
        if given.datatype not in DATATYPES:
            raise RefusedError("datatype")
        elements = elements_of(tuple(given.shape))
        if raw:
            if given.HasField("contents"):
                raise RefusedError("raw and contents")
            data = raw_data(given.datatype, elements, raw[i])
        else:
            data = typed_data(given.datatype, elements, given.contents)
            typed = typed or elements > 0
        inputs.append(
            Tensor(given.name, given.datatype, tuple(given.shape), data, parameters_of(given.parameters))
        )
    return Request(
        parsed.model_name,
        parsed.model_version,
        parsed.id,
        parameters_of(parsed.parameters),
        inputs,
        [(output.name, parameters_of(output.parameters)) for output in parsed.outputs],
        bool(raw) or not typed,
    )


def plain(request: Request) -> Any:
    """For comparison: NaNs without their payload, which Python's floats do not keep in every width."""

    def parameters(found: Parameters) -> dict[str, Any]:
        return {name: (kind, repr(value)) for name, (kind, value) in found.items()}

    def data(tensor: Tensor) -> Any:
        if tensor.datatype in ("FP32", "FP64"):
            return [repr(value) for value in np.frombuffer(tensor.data, NUMBERS[tensor.datatype][1]).tolist()]
        return tensor.data

    return (
        (request.model_name, request.model_version, request.id, parameters(request.parameters), request.raw),
        [(t.name, t.datatype, t.shape, data(t), parameters(t.parameters)) for t in request.inputs],
        [(name, parameters(found)) for name, found in request.outputs],
    )
