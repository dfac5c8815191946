"""A model's file of tensors: safetensors, which other tools read as well, and in its metadata one entry,
`penstock`: a JSON object with the fields of the kind's `Description`.

One entry, because the format does not say in which order it keeps several, and the same model must give
the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from penstock.errors import ModelError
from penstock.models.options import ModelOptions, describe_validation
from penstock.models.prepared import PreparedModel

FILE = "model.safetensors"
_ENTRY = "penstock"

Array = np.ndarray[Any, Any]
Label = str | bool | int | float


class Description(BaseModel):
    """What a file says beside its numbers. Each kind has more of its own."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    kind: str
    format: int  # checked before what it may change
    estimator: str  # what was fitted
    classes: tuple[Label, ...] | None = None  # labels in the order of the outputs, where they are known
    feature_names: Annotated[tuple[str, ...], Field(min_length=1)]
    named: bool = True  # False: fitted on a bare matrix, and the names are the library's or x0, x1, ...


Form = TypeVar("Form", bound=Description)


def write(description: Description, tensors: Mapping[str, Array]) -> bytes:
    """The file's content; the same bytes for the same model. `tensors` are in C's order: safetensors would
    write another one as it lies in memory.
    """
    document = json.dumps(description.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return safetensors.numpy.save(dict(tensors), {_ENTRY: document})


def read(content: bytes, source: str, form: type[Form], what: str) -> tuple[Form, dict[str, Array]]:
    """Description and tensors of a file. ModelError where it is none, or damaged; `what` is the model in a
    message.
    """
    text = metadata(content).get(_ENTRY)
    if not isinstance(text, str):
        raise ModelError(f"{source} is no {what}: its metadata has no entry {_ENTRY!r}.")
    try:
        return form.model_validate_json(text), safetensors.numpy.load(content)
    except ValidationError as error:
        raise ModelError(f"{source} is malformed: {describe_validation(error)}.") from error
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a type that NumPy has not
        raise ModelError(f"{source} is no whole safetensors file: {error}.") from error


def prepared(
    content: bytes, description: Description, options: ModelOptions, estimator: object | None
) -> PreparedModel:
    """A model whose `content` was read, and says that."""
    return PreparedModel(
        kind=description.kind,
        file=FILE,
        content=content,
        options=options,
        feature_names=description.feature_names,
        named=description.named,
        estimator=estimator,
    )


def read_bytes(path: str) -> bytes:
    """The file of a bundle."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{FILE} cannot be read: {error.strerror}.") from error


def kind_of(content: bytes) -> str | None:
    """The kind that the description names; None for any other content, or where that is damaged."""
    try:
        document = json.loads(metadata(content)[_ENTRY])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    kind = document.get("kind") if isinstance(document, dict) else None
    return kind if isinstance(kind, str) else None


def metadata(content: bytes) -> dict[str, Any]:
    """Of a safetensors file: a length of 8 bytes, then that much JSON, with the metadata in one field.

    Empty for any other content.
    """
    size = int.from_bytes(content[:8], "little")
    if content[8:9] != b"{" or size > len(content) - 8:
        return {}
    try:
        found = json.loads(content[8 : 8 + size]).get("__metadata__")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def labels(classes: Array) -> tuple[Label, ...]:
    """A classifier's `classes_` as JSON has them."""
    return tuple(
        value if isinstance(value, (str, bool, int, float)) else str(value) for value in classes.tolist()
    )


def feature_names(estimator: Any, width: int) -> tuple[tuple[str, ...], bool]:
    """Of an estimator of scikit-learn, and whether it was fitted with them; else x0, x1 and so on."""
    names = getattr(estimator, "feature_names_in_", None)
    found = [f"x{i}" for i in range(width)] if names is None else map(str, names)
    return tuple(found), names is not None
