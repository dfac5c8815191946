"""The transforms by the kind that saved documents name. Every one of them has a parity test."""

from __future__ import annotations

from typing import TypeVar

from penstock.errors import TransformError
from penstock.transforms.base import Transform

_Class = TypeVar("_Class", bound=type[Transform])

REGISTRY: dict[str, type[Transform]] = {}


def register(transform: _Class) -> _Class:
    """Makes a class known by its `kind`; to be used as its decorator."""
    if transform.kind in REGISTRY:
        raise ValueError(f"two transforms of the kind {transform.kind!r}")
    REGISTRY[transform.kind] = transform
    return transform


def transform_of(kind: object) -> type[Transform]:
    """The class of that kind. TransformError for an unknown one."""
    if not isinstance(kind, str) or kind not in REGISTRY:
        raise TransformError(f"there is no transform {kind!r}; known are {', '.join(sorted(REGISTRY))}")
    return REGISTRY[kind]
