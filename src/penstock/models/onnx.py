"""ONNX models: a file, its bytes, or a ModelProto, run by ONNX Runtime.

The whole model must lie in one file: weights kept outside of it (ONNX's external data) would not be
covered by the bundle's digests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field, field_validator

from penstock.errors import StatusError
from penstock.models.libraries import onnxruntime_library, refusal
from penstock.models.options import ModelOptions
from penstock.models.prepared import PreparedModel

if TYPE_CHECKING:
    from penstock._core import Executor

KIND = "onnx"
FILE = "model.onnx"
# ModelProto's first field, ir_version, as every writer puts it first: field 1, a varint.
_MAGIC = b"\x08"

Provider = Literal["cpu", "cuda", "tensorrt"]


class Options(ModelOptions):
    """ONNX Runtime's session options that a bundle may set, and a server's configuration override."""

    providers: tuple[Provider, ...] = Field(
        default=("cpu",), min_length=1
    )  # in order of preference, cpu last
    fallback: bool = False  # pass over a provider that this machine has not, instead of refusing the model
    intra_op_threads: int = Field(default=1, ge=1, le=1024)
    inter_op_threads: int = Field(default=1, ge=1, le=1024)
    optimization: Literal["none", "basic", "extended", "all"] = "all"

    @field_validator("providers", mode="before")
    @classmethod
    def _take_lists(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


def recognizes(content: bytes) -> bool:
    """Whether these bytes look like a serialized ModelProto."""
    return content[:1] == _MAGIC


def prepare(model: object, options: dict[str, Any]) -> PreparedModel | None:
    """None when `model` is no ModelProto."""
    if type(model).__name__ != "ModelProto" or not hasattr(model, "SerializeToString"):
        return None
    return prepare_file(cast(Any, model).SerializeToString(deterministic=True), "the ModelProto", options)


def prepare_file(content: bytes, source: str, options: dict[str, Any]) -> PreparedModel:
    """A serialized model. What is wrong inside it, ONNX Runtime says when `load` reads it."""
    checked = Options.of(options, "ONNX")
    return PreparedModel(kind=KIND, file=FILE, content=content, options=checked, feature_names=None)


def load(path: str, options: ModelOptions) -> Executor:
    """Makes an ONNX Runtime session of the file."""
    from penstock._core import Executor

    assert isinstance(options, Options)
    try:
        return Executor.onnx(
            path,
            library=onnxruntime_library(),
            providers=options.providers,
            fallback=options.fallback,
            intra_op_threads=options.intra_op_threads,
            inter_op_threads=options.inter_op_threads,
            optimization=options.optimization,
        )
    except StatusError as error:
        raise refusal("ONNX Runtime", error, path, FILE) from error
