"""The manifest, `bundle.json`: what a bundle is, and the digest of each of its files.

Canonical form: JSON with sorted keys, two spaces of indent, UTF-8, one newline at the end. The SHA-256
of these bytes is the version's identity, so the same inputs give the same digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from penstock.config import Scheduling
from penstock.errors import BundleError
from penstock.models import forest, lightgbm, linear, onnx
from penstock.models.options import describe_validation

FILE = "bundle.json"
FORMAT = 1
# Model, version and file names: usable in a path, a URL and a metric label as they are.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BF16", "BYTES",
]  # fmt: skip
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


# What watchers of a repository take for something half-written.
_UNFINISHED = (".tmp", ".part", ".partial")


def _checked_name(value: str) -> str:
    if value.endswith(_UNFINISHED):
        raise ValueError(f"a name that ends in {' or '.join(_UNFINISHED)} means an unfinished folder")
    if not NAME.fullmatch(value):
        raise ValueError(
            "expected 1 to 128 of the characters A-Z a-z 0-9 . _ -, beginning with a letter or a digit"
        )
    return value


class Tensor(_Record):
    """One input or output. -1 takes any size; the first dimension is rows, but for outputs of models that
    give none.
    """

    name: Annotated[str, Field(min_length=1, max_length=1024)]
    datatype: Datatype
    shape: tuple[Annotated[int, Field(ge=-1)], ...]


class Input(Tensor):
    """An input. `empty_is_missing`: an empty string of this BYTES column means a missing value."""

    empty_is_missing: bool = False

    @model_validator(mode="after")
    def _only_strings_are_empty(self) -> Self:
        if self.empty_is_missing and self.datatype != "BYTES":
            raise ValueError(f"empty_is_missing is for BYTES, and {self.name} is {self.datatype}")
        return self


class LightgbmModel(_Record):
    """A LightGBM text file."""

    kind: Literal["lightgbm"]
    file: str
    options: lightgbm.Options


class ForestModel(_Record):
    """Decision trees and a link, as safetensors."""

    kind: Literal["forest"]
    file: str
    options: forest.Options


class LinearModel(_Record):
    """Coefficients, intercepts and a link, as safetensors."""

    kind: Literal["linear"]
    file: str
    options: linear.Options


class OnnxModel(_Record):
    """An ONNX file."""

    kind: Literal["onnx"]
    file: str
    options: onnx.Options


class Transforms(_Record):
    """The fitted transforms: their parameters as JSON, their arrays as safetensors."""

    document: str
    arrays: str


class Tolerance(_Record):
    """How far a number may be from the recorded one: `absolute + relative * |recorded|`."""

    absolute: Annotated[float, Field(ge=0)]
    relative: Annotated[float, Field(ge=0)]

    def allows(self, expected: NDArray[np.float64], got: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Element by element. NaN agrees with NaN, and an infinity with itself."""
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(got - expected) <= self.absolute + self.relative * np.abs(expected)
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        return np.asarray(same | (near & np.isfinite(expected) & np.isfinite(got)))


class Golden(_Record):
    """The recorded examples: `rows` of inputs and the outputs that they gave when the bundle was built."""

    file: str
    rows: Annotated[int, Field(ge=1)]
    tolerance: Tolerance


class TrainingData(_Record):
    """Which data the model was trained on (see `lineage.digest_frame`)."""

    digest: Sha256
    rows: Annotated[int, Field(ge=0)]


class Environment(_Record):
    """Where the bundle was built."""

    python: str
    packages: dict[str, str]


class Lineage(_Record):
    """Where the version comes from. What its writer did not know is null."""

    training_data: TrainingData | None = None
    parameters: dict[str, JsonValue] = {}
    metrics: dict[str, JsonValue] = {}
    code_revision: str | None = None
    author: str | None = None
    environment: Environment
    extra: dict[str, JsonValue] = {}


class FileEntry(_Record):
    """What a file must be."""

    sha256: Sha256
    bytes: Bytes


class Manifest(_Record):
    """All of `bundle.json`."""

    format: Annotated[int, Field(ge=1, le=FORMAT)] = FORMAT
    name: str
    version: str
    created: str
    model: Annotated[LightgbmModel | ForestModel | LinearModel | OnnxModel, Field(discriminator="kind")]
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    outputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    transforms: Transforms | None
    max_rows: Annotated[int, Field(ge=0)]  # 0: no limit
    scheduling: Scheduling = Scheduling()
    golden: Golden | None  # null: invented examples warm up, and nothing is compared
    lineage: Lineage
    files: dict[str, FileEntry]

    _names = field_validator("name", "version")(_checked_name)

    @field_validator("created")
    @classmethod
    def _is_utc_time(cls, value: str) -> str:
        parse_time(value)
        return value

    @field_validator("files")
    @classmethod
    def _plain_file_names(cls, value: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in value:
            if not NAME.fullmatch(name) or name == FILE:
                raise ValueError(f"{name!r} is no plain file name inside the bundle")
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        for what, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [tensor.name for tensor in tensors]
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"{what} names {doubled[0]!r} twice")
        used = self.used_files()
        for what, name in used.items():
            if name not in self.files:
                raise ValueError(f"{what} names {name!r}, which is not under files")
        if len(set(used.values())) != len(used):
            raise ValueError("one file is named for two uses")
        unused = sorted(set(self.files) - set(used.values()))
        if unused:
            raise ValueError(f"files lists {unused[0]!r}, which nothing uses")
        return self

    def used_files(self) -> dict[str, str]:
        """Each use of a file by where it stands in the manifest."""
        used = {"model.file": self.model.file}
        if self.transforms is not None:
            used |= {
                "transforms.document": self.transforms.document,
                "transforms.arrays": self.transforms.arrays,
            }
        if self.golden is not None:
            used["golden.file"] = self.golden.file
        return used

    @property
    def label(self) -> str:
        """`name/version`, for messages."""
        return f"{self.name}/{self.version}"

    def to_bytes(self) -> bytes:
        """The canonical form."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=2, ensure_ascii=False)
        return text.encode() + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """Reads `bundle.json`. BundleError, in one line, for what is malformed or written by a later Penstock."""
    try:
        fields = json.loads(data, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise BundleError(f"{FILE} is nested too deeply.") from error
    except ValueError as error:
        raise BundleError(f"{FILE} is not valid JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise BundleError(f"{FILE} holds a JSON {type(fields).__name__}; expected an object.")
    written = fields.get("format")
    if isinstance(written, int) and not isinstance(written, bool) and written > FORMAT:
        raise BundleError(
            f"{FILE} was written by a later Penstock (format {written}); this one reads up to {FORMAT}. "
            f"Upgrade Penstock."
        )
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(f"{FILE} is malformed: {describe_validation(error)}.") from error


def digest_of(manifest: bytes) -> str:
    """A version's identity: the SHA-256 of its `bundle.json`, in hexadecimal."""
    return hashlib.sha256(manifest).hexdigest()


def check_name(value: str, what: str) -> str:
    """A model's or version's name. BundleError says what is allowed."""
    try:
        return _checked_name(value)
    except ValueError as error:
        raise BundleError(f"The {what} {value!r} cannot be used: {error}.") from error


def parse_time(value: str) -> datetime:
    """A time as the manifest writes it, `2026-01-31T12:00:00Z`."""
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("expected a time in UTC as in 2026-01-31T12:00:00Z") from None


def format_time(value: datetime) -> str:
    """`value`, which knows its time zone, in UTC to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(n for n in names if names.count(n) > 1)!r} stands twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
