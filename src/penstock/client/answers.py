"""What a client gets back: plain, immutable values instead of protobuf messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Parameter = bool | int | float | str


class InferResult(Mapping[str, Array]):
    """The outputs of one inference by name, with what the server said about them.

    Numbers come in their datatype's dtype (BF16 as float32), strings as object arrays of bytes. Arrays may be
    read-only views of the answer: copy one before writing to it.
    """

    __slots__ = ("id", "model", "outputs", "parameters", "version")

    def __init__(
        self,
        outputs: Mapping[str, Array],
        *,
        model: str,
        version: str,
        id: str = "",  # noqa: A002 -- the protocol's name
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        self.outputs = outputs
        self.model = model
        self.version = version
        self.id = id
        self.parameters: Mapping[str, Parameter] = {} if parameters is None else parameters

    @property
    def arm(self) -> str:
        """The route's arm that served: stable, canary or pinned; "" from servers that do not say."""
        return str(self.parameters.get("penstock_arm", ""))

    @property
    def digest(self) -> str:
        """The served bundle's digest; "" from servers that do not say."""
        return str(self.parameters.get("penstock_digest", ""))

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {a.dtype}{list(a.shape)}" for name, a in self.outputs.items())
        return f"InferResult(model={self.model!r}, version={self.version!r}, {{{shapes}}})"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model: name, datatype ("FP32", "BYTES", ...) and shape, -1 for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What a server says about itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a server says about a model, or about one version of it."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class ModelState:
    """One line of a repository's index: a version, its state ("READY", ...) and why it is in it."""

    name: str
    version: str
    state: str
    reason: str


def as_dict(message: Any) -> dict[str, Any]:
    """A protobuf message as plain Python values, fields by name, enums by name, unset fields left out.

    Unlike protobuf's JSON form, 64-bit integers stay integers.
    """
    return {f.name: _plain(f, value) for f, value in message.ListFields()}


def _plain(descriptor: Any, value: Any) -> Any:
    message = descriptor.message_type
    if message is not None and message.GetOptions().map_entry:
        item = message.fields_by_name["value"]
        return {key: _single(item, value[key]) for key in value}
    if descriptor.is_repeated:
        return [_single(descriptor, item) for item in value]
    return _single(descriptor, value)


def _single(descriptor: Any, value: Any) -> Any:
    if descriptor.message_type is not None:
        return as_dict(value)
    if descriptor.enum_type is not None:
        known = descriptor.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return value
