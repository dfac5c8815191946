"""The compiled codec through tests/native/codec/probe/probe.cc, in Python's terms."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The kinds of a parameter's value; the position is the probe's number.
NONE, BOOL, INT64, STRING, DOUBLE, UINT64 = range(6)
Parameters = dict[str, tuple[int, Any]]


@dataclass
class Tensor:
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | list[bytes]  # numbers as they lie in memory; BYTES as its elements
    parameters: Parameters = field(default_factory=dict)
    aligned: bool = True


@dataclass
class Request:
    model_name: str
    model_version: str
    id: str
    parameters: Parameters
    inputs: list[Tensor]
    outputs: list[tuple[str, Parameters]]
    raw: bool


@dataclass
class Piece:
    borrowed: bool
    data: bytes


class StatusError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def malformed(self) -> bool:
        """The bytes are no protobuf message, or one of its strings is not UTF-8."""
        return "malformed protobuf" in str(self) or "not valid UTF-8" in str(self)


class Dump:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, form: str = "I") -> Any:
        (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def blob(self) -> bytes:
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self) -> str:
        return self.blob().decode()

    def check(self) -> None:
        code = self.number()
        if code:
            raise StatusError(code, self.text())

    def parameters(self) -> Parameters:
        found: Parameters = {}
        count = self.number()
        for _ in range(count):
            name = self.text()
            kind = self.number()
            readers = {
                NONE: lambda: None,
                BOOL: lambda: bool(self.number("Q")),
                INT64: lambda: self.number("q"),
                STRING: self.text,
                DOUBLE: lambda: self.number("d"),
                UINT64: lambda: self.number("Q"),
            }
            assert name not in found, "a key came out twice"
            found[name] = kind, readers[kind]()
        return found

    def tensor(self) -> Tensor:
        name, datatype = self.text(), self.text()
        shape = tuple(self.number("q") for _ in range(self.number()))
        aligned = bool(self.number())
        elements = self.number()
        data = [self.blob() for _ in range(elements)] if datatype == "BYTES" else self.blob()
        return Tensor(name, datatype, shape, data, self.parameters(), aligned)


def pack_text(text: str | bytes) -> bytes:
    blob = text.encode() if isinstance(text, str) else text
    return struct.pack("<I", len(blob)) + blob


def pack_parameters(parameters: Parameters) -> bytes:
    out = struct.pack("<I", len(parameters))
    for name, (kind, value) in parameters.items():
        out += pack_text(name) + struct.pack("<I", kind)
        if kind == STRING:
            out += pack_text(value)
        elif kind != NONE:
            out += struct.pack({BOOL: "<Q", INT64: "<q", DOUBLE: "<d", UINT64: "<Q"}[kind], value)
    return out


class Probe:
    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.probe_parse_timeout.restype = ctypes.c_int64

    def call(self, name: str, *arguments: Any) -> bytes:
        function = getattr(self.library, name)
        function.restype = ctypes.c_size_t
        out = ctypes.POINTER(ctypes.c_char)()
        converted = []
        for argument in arguments:
            converted.append(ctypes.c_size_t(argument) if isinstance(argument, int) else argument)
        size = function(*converted, ctypes.byref(out))
        return ctypes.string_at(out, size)

    def decode(self, message: bytes, shift: int = 0) -> Request:
        dump = Dump(self.call("probe_decode_request", message, len(message), shift))
        dump.check()
        name, version, id_ = dump.text(), dump.text(), dump.text()
        parameters = dump.parameters()
        inputs = [dump.tensor() for _ in range(dump.number())]
        outputs = [(dump.text(), dump.parameters()) for _ in range(dump.number())]
        return Request(name, version, id_, parameters, inputs, outputs, bool(dump.number()))

    def encode(
        self,
        tensors: Sequence[Tensor],
        *,
        model_name: str = "",
        model_version: str = "",
        id_: str = "",
        parameters: Parameters | None = None,
        raw: bool = True,
        stream: bool = False,
        prefix: int = 0,
        borrow_at: int = 2**32 - 1,
    ) -> list[Piece]:
        out = pack_text(model_name) + pack_text(model_version) + pack_parameters(parameters or {})
        out += pack_text(id_) + struct.pack("<I", len(tensors))
        for tensor in tensors:
            out += pack_text(tensor.name) + pack_text(tensor.datatype)
            out += struct.pack(f"<I{len(tensor.shape)}q", len(tensor.shape), *tensor.shape)
            elements = 1
            for dim in tensor.shape:
                elements *= dim
            out += struct.pack("<I", elements)
            blobs = tensor.data if isinstance(tensor.data, list) else [tensor.data]
            out += b"".join(pack_text(blob) for blob in blobs)
        out += struct.pack("<4I", raw, stream, prefix, borrow_at)
        dump = Dump(self.call("probe_encode_response", out))
        return [Piece(bool(dump.number()), dump.blob()) for _ in range(dump.number())]

    def stream_error(self, message: bytes, id_: str) -> bytes:
        return self.call("probe_stream_error", message, len(message), id_.encode())

    def model_ready(self, message: bytes) -> tuple[str, str]:
        dump = Dump(self.call("probe_model_ready", message, len(message)))
        dump.check()
        return dump.text(), dump.text()

    def health_check(self, message: bytes) -> str:
        dump = Dump(self.call("probe_health_check", message, len(message)))
        dump.check()
        return dump.text()

    def framed_ready(self, ready: bool) -> bytes:
        return self.call("probe_framed_reply", 0, int(ready))

    def framed_health(self, status: int) -> bytes:
        return self.call("probe_framed_reply", 1, status)

    def parse_timeout(self, header: bytes) -> int | None:
        nanoseconds = int(self.library.probe_parse_timeout(header, ctypes.c_size_t(len(header))))
        return None if nanoseconds < 0 else nanoseconds

    def percent_encode(self, text: bytes) -> str:
        return self.call("probe_percent_encode", text, len(text)).decode("ascii")
