"""What callers see of the repository at one moment. Immutable: read from any thread without a lock.

A name that is unknown or not ready is told in the words of the data plane (ext/engine/snapshot.cc), so that
callers read the same whether an inference or another RPC met it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.errors import UNAVAILABLE, NotFoundError, StatusError
from penstock.repository.policy import version_order
from penstock.repository.states import Loaded, State

# What `_core.Server.publish` takes of one model: name, default version, aliases, versions or why they are not
# ready.
PublishedModel = tuple[str, str, Mapping[str, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version: what serves it (None where nothing does), its state and why."""

    model: str
    version: str
    state: State
    reason: str
    loaded: Loaded | None


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model. `versions` in natural order; `default` is "" while none is ready."""

    name: str
    default: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, VersionView] = field(default_factory=dict)

    def published(self) -> PublishedModel:
        """As the core takes it."""
        versions = {
            name: seen.reason if seen.loaded is None else seen.loaded.core
            for name, seen in self.versions.items()
        }
        return self.name, self.default, self.aliases, versions

    def ready_versions(self) -> list[str]:
        """Those that answer now."""
        return [name for name, seen in self.versions.items() if seen.loaded is not None]


@dataclass(frozen=True, slots=True)
class RepositoryView:
    """All models by name."""

    models: Mapping[str, ModelView] = field(default_factory=dict)

    def versions(self) -> Iterator[VersionView]:
        """Every version of every model."""
        for model in self.models.values():
            yield from model.versions.values()

    def model(self, name: str) -> ModelView:
        """The model of that name; NotFoundError."""
        found = self.models.get(name)
        if found is None:
            raise unknown_model(name)
        return found

    def ready(self, name: str = "", version: str = "") -> list[tuple[str, str, Loaded]]:
        """Model, version and what serves it: of one version, of a model's ready ones, or of all. Raises what
        resolve() and model() raise.
        """
        if version:
            return [(name, *self.resolve(name, version))]
        return [
            (model.name, number, seen.loaded)
            for model in ([self.model(name)] if name else self.models.values())
            for number, seen in model.versions.items()
            if seen.loaded is not None
        ]

    def resolve(self, name: str, version: str) -> tuple[str, Loaded]:
        """The version that "" (the model's choice), an alias or a version names, and what serves it.

        NotFoundError for a name that is unknown, StatusError UNAVAILABLE, with the reason, for one that is
        not ready.
        """
        model = self.model(name)
        target = model.aliases.get(version, version) if version else model.default
        if not target:
            newest = "".join(f": {seen.reason}" for seen in list(model.versions.values())[-1:])
            raise StatusError(UNAVAILABLE, f"model '{name}' has no version ready{newest}")
        seen = model.versions.get(target)
        if seen is None:
            raise unknown_version(name, version, {*model.versions, *model.aliases})
        if seen.loaded is None:
            raise StatusError(UNAVAILABLE, f"model '{name}' version '{target}' is not ready: {seen.reason}")
        return target, seen.loaded


def unknown_model(name: str) -> NotFoundError:
    """For a name that no model has."""
    return NotFoundError(f"model '{name}' is not hosted here; RepositoryIndex lists what is")


def unknown_version(model: str, version: str, known: Iterable[str]) -> NotFoundError:
    """For a name that is none of the model's versions and aliases, `known`."""
    names = ", ".join(sorted(known, key=version_order)) or "none"
    return NotFoundError(f"model '{model}' has no version or alias '{version}'; it has {names}")
