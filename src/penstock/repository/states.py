"""How one version stands. A slot is touched only under the lifecycle's lock."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from penstock.errors import INTERNAL, PenstockError, StatusError
from penstock.repository.layout import Stamp, VersionFolder


class State(StrEnum):
    """LOADING -> READY or FAILED; READY -> UNLOADING -> UNAVAILABLE. One that is loaded anew stays READY."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    FAILED = "FAILED"
    UNAVAILABLE = "UNAVAILABLE"


class Loaded(Protocol):
    """A bundle that is loaded, checked and warm; what penstock.bundle.loading.open_bundle gives."""

    @property
    def manifest(self) -> Any:
        """The penstock.bundle.manifest.Manifest."""

    @property
    def digest(self) -> str:
        """The SHA-256 of its bundle.json, in hex."""

    @property
    def core(self) -> Any:
        """The penstock._core.Version that answers."""

    @property
    def matrix_columns(self) -> tuple[str, ...]:
        """The columns of the model's matrix, by name."""

    @property
    def description(self) -> str:
        """What runs the model, for people."""

    @property
    def forest(self) -> Any:
        """The penstock.models.forest_facts.ForestFacts; None where it is no forest."""

    @property
    def schedule(self) -> Any:
        """The penstock.bundle.schedule.Schedule; None where it is not to serve."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A load that is under way. `done` resolves once its outcome is published, good or bad."""

    folder: VersionFolder
    done: Future[None]


@dataclass(frozen=True, slots=True)
class Failure:
    """The last load's error, and the folder as it was then: the same files are not tried again unasked."""

    error: BaseException
    folder: VersionFolder

    @property
    def stamp(self) -> Stamp:
        """What lay on disk."""
        return self.folder.stamp

    @property
    def reason(self) -> str:
        """One line to stand beside the version's name. Callers need not know where the repository is."""
        line = " ".join(str(self.error).split())
        if not isinstance(self.error, PenstockError):  # a bare KeyError('x') would read 'x'
            line = f"{type(self.error).__name__}: {line}" if line else type(self.error).__name__
        place = f"{self.folder.model}/{self.folder.version}"
        line = line.replace(str(self.folder.path), place).removeprefix(f"{place}: ")
        return line.encode("utf-8", "replace").decode()  # it may quote a path that is not UTF-8

    def told(self) -> Exception:
        """The error as callers see it: of the same kind, with the version. INTERNAL for a defect."""
        text = f"{self.folder.model}/{self.folder.version}: {self.reason}"
        if isinstance(self.error, StatusError):
            return StatusError(self.error.status, text)
        if isinstance(self.error, PenstockError):
            return type(self.error)(text)
        return StatusError(INTERNAL, text)


class VersionSlot:
    """One version of one model: what serves, what is being loaded and what went wrong, each on its own."""

    def __init__(self) -> None:
        self.serving: Loaded | None = None
        self.source: VersionFolder | None = None  # the folder as it was when what serves was asked for
        self.attempt: Attempt | None = None
        self.failure: Failure | None = None
        self.releasing = 0  # contents that were dropped and are not let go of yet
        self.idle_reason = "not loaded"  # why nothing serves, where nothing is under way and nothing failed

    @property
    def state(self) -> State:
        """The one word for all of it: what a caller would meet."""
        if self.serving is not None:
            return State.READY
        if self.attempt is not None:
            return State.LOADING
        if self.releasing:
            return State.UNLOADING
        return State.FAILED if self.failure is not None else State.UNAVAILABLE

    @property
    def reason(self) -> str:
        """Why it is in that state; for a READY one, why a newer content of it is not; "" where there is
        nothing to say.
        """
        state = self.state
        if state is State.READY:
            return (
                f"the changed files were refused: {self.failure.reason}" if self.failure is not None else ""
            )
        if state is State.LOADING:
            return "loading"
        if state is State.UNLOADING:
            return "unloading"
        return self.failure.reason if self.failure is not None else self.idle_reason

    def begin(self, attempt: Attempt) -> None:
        """A load starts; what serves goes on serving."""
        self.attempt = attempt
        self.failure = None

    def succeed(self, loaded: Loaded) -> Loaded | None:
        """The load that was under way is what serves from now on. Gives what served before."""
        assert self.attempt is not None
        before, self.serving = self.serving, loaded
        self.source = self.attempt.folder
        self.attempt = self.failure = None
        return before

    def fail(self, error: BaseException) -> Failure:
        """The load that was under way failed; what serves goes on serving."""
        assert self.attempt is not None
        self.failure = Failure(error, self.attempt.folder)
        self.attempt = None
        return self.failure

    def abandon(self) -> None:
        """The load that was under way is no longer wanted: its outcome does not count."""
        self.attempt = None

    def drop(self, reason: str) -> Loaded | None:
        """Nothing serves from now on. Gives what did; `releasing` until released() says that it is gone."""
        before, self.serving = self.serving, None
        self.failure = self.source = None
        self.releasing += before is not None
        self.idle_reason = reason
        return before

    def released(self) -> None:
        """What a drop() gave is let go of."""
        self.releasing -= 1
