"""What callers see of the repository at one moment. Immutable: read from any thread without a lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.errors import UNAVAILABLE, NotFoundError, StatusError
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
            raise NotFoundError(f"unknown model '{name}'; {_there_are('models', self.models)}")
        return found

    def resolve(self, name: str, version: str) -> tuple[str, Loaded]:
        """The version that "" (the model's choice), an alias or a version names, and what serves it.

        NotFoundError for a name that is unknown, StatusError UNAVAILABLE, with the reason, for one that is
        not ready.
        """
        model = self.model(name)
        target = model.aliases.get(version, version) if version else model.default
        if not target:
            reasons = "; ".join(f"version {seen.version}: {seen.reason}" for seen in model.versions.values())
            raise StatusError(
                UNAVAILABLE, f"no version of model '{name}' is ready ({reasons or 'it has none'})"
            )
        seen = model.versions.get(target)
        if seen is None:
            known = {*model.versions, *model.aliases}
            raise NotFoundError(
                f"model '{name}' has no version or alias '{version}'; {_there_are('versions', known)}"
            )
        if seen.loaded is None:
            raise StatusError(UNAVAILABLE, f"version {target} of model '{name}' is not ready: {seen.reason}")
        return target, seen.loaded


def _there_are(what: str, names: Any) -> str:
    listed = sorted(names)
    shown = ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
    return f"{what} here: {shown or 'none'}"
