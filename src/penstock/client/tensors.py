"""Arrays to ModelInferRequest bytes and ModelInferResponse bytes to arrays. No sockets, no state but a cache
of heads.

Tensors travel raw (Open Inference Protocol v2, "raw_input_contents"): little-endian, row-major, unpadded; an
element of BYTES is a 4-byte little-endian length and then that many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from penstock import _proto, bfloat16
from penstock.client.answers import Array, InferResult, Parameter
from penstock.errors import DATA_LOSS, InputError, StatusError
from penstock.fitting import Fitted
from penstock.frames import DATATYPES, objects_of

# As they stand on the wire; BF16 as its bits.
DTYPES: dict[str, np.dtype[Any]] = {
    **{name: dtype.newbyteorder("<") for name, dtype in DATATYPES.items()},
    "BF16": np.dtype("<u2"),
}

_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}

_MESSAGE_LIMIT = 2**31 - 1  # protobuf's own, in bytes
_RAW_INPUT_CONTENTS = bytes([7 << 3 | 2])  # the field's tag: number 7, length-delimited
_LENGTH = struct.Struct("<I")


class Tensor(NamedTuple):
    """An input ready to be sent. `raw` is what goes onto the wire: bytes, or a C-contiguous little-endian
    array.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | Array


def tensor(fitted: Fitted) -> Tensor:
    """What fit() made, ready to be sent."""
    values = fitted.values
    raw = raw_bytes(values) if isinstance(values, list) else to_raw(values, fitted.datatype)
    return Tensor(fitted.name, fitted.datatype, fitted.shape, raw)


def raw_bytes(elements: Iterable[str | bytes | None]) -> bytes:
    """The raw form of a BYTES tensor. Text is UTF-8; None, which has no form of its own, goes as the empty
    string.
    """
    values = [item if isinstance(item, bytes) else _element(item) for item in elements]
    lengths = np.fromiter(map(len, values), "<u4", len(values))
    pieces: list[bytes] = [b""] * (2 * len(values))
    # "V4" is how NumPy hands out 4-byte pieces whole; "S4" would drop trailing zeros.
    pieces[0::2] = lengths.view("V4").tolist()
    pieces[1::2] = values
    return b"".join(pieces)


def _element(item: object) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if item is None or item != item:  # NaN is how pandas spells a missing string
        return b""
    raise InputError(f"a BYTES tensor takes str, bytes or None; got {item!r} of type {type(item).__name__}")


def to_raw(array: Array, datatype: str) -> bytes | Array:
    """The raw form of an array that already has its datatype's dtype (bits for BF16, str or bytes for
    BYTES).
    """
    if datatype == "BYTES":
        return raw_bytes(array.ravel().tolist())
    return np.ascontiguousarray(array, DTYPES[datatype])


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """The array of a raw output; numbers are a view of `raw`. StatusError DATA_LOSS when the bytes do not
    fit.
    """
    if datatype == "BYTES":
        return _split(name, shape, raw)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise StatusError(DATA_LOSS, f"output '{name}' has the unknown datatype '{datatype}'")
    try:
        array = np.frombuffer(raw, dtype).reshape(shape)
    except ValueError:
        raise StatusError(
            DATA_LOSS,
            f"output '{name}' came with {len(raw)} bytes, which is not {datatype} of shape {list(shape)}",
        ) from None
    return bfloat16.values_of(array) if datatype == "BF16" else array


def _split(name: str, shape: Sequence[int], raw: bytes) -> Array:
    elements: list[bytes] = []
    append, length_at = elements.append, _LENGTH.unpack_from
    end, size = 0, len(raw)
    while end + 4 <= size:
        start = end + 4
        end = start + length_at(raw, end)[0]
        append(raw[start:end])
    if end != size or len(elements) != int(np.prod(shape)):
        raise StatusError(
            DATA_LOSS,
            f"output '{name}' came with {size} bytes, which are not {list(shape)} length-prefixed strings",
        )
    return objects_of(elements, shape)


@lru_cache(maxsize=512)
def _head(
    model: str, version: str, inputs: tuple[tuple[str, str, tuple[int, ...]], ...], outputs: tuple[str, ...]
) -> bytes:
    request = _proto.ModelInferRequest(model_name=model, model_version=version)
    for name, datatype, shape in inputs:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
    for name in outputs:
        request.outputs.add(name=name)
    return bytes(request.SerializeToString())


def _tail(id: str, parameters: Mapping[str, Parameter] | None) -> bytes:  # noqa: A002
    request = _proto.ModelInferRequest(id=id)
    for name, value in (parameters or {}).items():
        if isinstance(value, bool):
            request.parameters[name].bool_param = value
        elif isinstance(value, int):
            kind = "int64_param" if -(2**63) <= value < 2**63 else "uint64_param"
            try:
                setattr(request.parameters[name], kind, value)
            except ValueError:
                raise InputError(
                    f"parameter '{name}' is {value}: an integer of at most 64 bits was expected"
                ) from None
        elif isinstance(value, float):
            request.parameters[name].double_param = value
        elif isinstance(value, str):
            request.parameters[name].string_param = value
        else:
            raise InputError(
                f"parameter '{name}' is a {type(value).__name__}: bool, int, float or str was expected"
            )
    return bytes(request.SerializeToString())


def encode_request(
    model: str,
    version: str,
    tensors: Sequence[Tensor],
    *,
    outputs: tuple[str, ...] = (),
    id: str = "",  # noqa: A002
    parameters: Mapping[str, Parameter] | None = None,
) -> bytes:
    """A serialized ModelInferRequest.

    All but the tensors' bytes is the same from one call to the next, so it is serialized once and kept:
    protobuf messages may be concatenated, and the pieces here are the head, id and parameters, and one
    length-delimited field a tensor. The bytes of an array are copied once, into the result.
    """
    pieces: list[Any] = [_head(model, version, tuple([t[:3] for t in tensors]), outputs)]
    if id or parameters:
        pieces.append(_tail(id, parameters))
    total = 0
    for tensor in tensors:
        raw = tensor.raw
        size = len(raw) if isinstance(raw, bytes) else raw.nbytes
        total += size
        pieces.append(_field_start(size))
        pieces.append(raw)
    if total > _MESSAGE_LIMIT:
        raise InputError(
            f"the inputs of model '{model}' take {total} bytes; a message holds at most {_MESSAGE_LIMIT}. "
            "Send fewer rows at a time (max_rows=...)."
        )
    return b"".join(pieces)


@lru_cache(maxsize=4096)
def _field_start(size: int) -> bytes:
    """What stands before the `size` bytes of one raw_input_contents: the tag, and the size as a base-128
    varint.
    """
    out = bytearray(_RAW_INPUT_CONTENTS)
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


def decode_response(response: Any) -> InferResult:
    """The result in a ModelInferResponse, raw or with typed contents. StatusError DATA_LOSS when it
    contradicts itself.
    """
    outputs: dict[str, Array] = {}
    raws = response.raw_output_contents
    if raws and len(raws) != len(response.outputs):
        raise StatusError(
            DATA_LOSS,
            f"the answer of model '{response.model_name}' has {len(response.outputs)} outputs "
            f"and {len(raws)} raw contents",
        )
    for index, output in enumerate(response.outputs):
        shape = tuple(output.shape)
        if raws:
            outputs[output.name] = from_raw(output.name, output.datatype, shape, raws[index])
        else:
            outputs[output.name] = _from_contents(output, shape)
    parameters = {name: _parameter(value) for name, value in response.parameters.items()}
    return InferResult(
        outputs,
        model=response.model_name,
        version=response.model_version,
        id=response.id,
        parameters=parameters,
    )


def _from_contents(output: Any, shape: tuple[int, ...]) -> Array:
    field = _CONTENTS.get(output.datatype)
    if field is None:
        raise StatusError(
            DATA_LOSS, f"output '{output.name}' of datatype '{output.datatype}' has no raw contents"
        )
    elements = getattr(output.contents, field)
    if len(elements) != int(np.prod(shape)):
        raise StatusError(
            DATA_LOSS,
            f"output '{output.name}' came with {len(elements)} elements for the shape {list(shape)}",
        )
    if output.datatype == "BYTES":
        return objects_of(elements, shape)
    return np.array(elements, DTYPES[output.datatype]).reshape(shape)


def _parameter(value: Any) -> Parameter:
    kind = value.WhichOneof("parameter_choice")
    found: Parameter = "" if kind is None else getattr(value, kind)
    return found
