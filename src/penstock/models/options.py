"""ModelOptions: what a bundle may set for its model, checked where it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from penstock.errors import ConfigError, ModelError


class ModelOptions(BaseModel):
    """Base of each kind's options."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    @classmethod
    def of(cls, given: Mapping[str, Any], kind: str) -> Self:
        """The options that a caller of `penstock.build` gave. ModelError names what is not one."""
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            raise ModelError(f"model_options of the {kind} model: {describe_validation(error)}") from error

    def replaced(self, overrides: Mapping[str, Any] | None, kind: str) -> Self:
        """With some replaced, by the server's configuration say. ConfigError names what this kind has not."""
        if not overrides:
            return self
        try:
            return type(self).model_validate({**self.model_dump(), **overrides})
        except ValidationError as error:
            raise ConfigError(f"Options for the {kind} model: {describe_validation(error)}") from error


def describe_validation(error: ValidationError) -> str:
    """The first of pydantic's complaints as one line: where, what was expected, what came."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    came = (
        "" if first["type"] in ("missing", "extra_forbidden") else f" (got {_shortened(first.get('input'))})"
    )
    message = "no such field" if first["type"] == "extra_forbidden" else first["msg"]
    message = message.removeprefix("Value error, ").rstrip(".")
    return f"{where}: {message}{came}" if where else f"{message}{came}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
