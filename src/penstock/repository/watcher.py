"""Watches a repository by polling, which works on every file system, and tells the lifecycle what changed.

A change counts once it has stood for a whole interval: a folder that is being copied is not loaded before it
is complete and nothing in it changed since the last look, and one that is being replaced is not unloaded in
between. A new one that stays incomplete is known, so that callers are told what it waits for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from penstock.errors import ServerError
from penstock.log import Event, failing_into
from penstock.niceness import yield_to_serving
from penstock.repository.layout import ModelFolder, VersionFolder
from penstock.repository.lifecycle import Lifecycle

Folders = Mapping[str, ModelFolder]
_PATIENCE_S = 5.0
_log = logging.getLogger("penstock.repository")


def settled(known: Folders, previous: Folders, current: Folders) -> dict[str, ModelFolder]:
    """What to believe of the disk, given what is believed (`known`) and the last two looks at it. Pure.

    A version, present or gone, is believed when both looks agree on it; otherwise what was known of it
    stands. One that they find incomplete `waits`, unless a complete one was known: then that stands. The
    aliases of a model are believed when both looks agree on them.
    """
    believed: dict[str, ModelFolder] = {}
    for name in sorted({*known, *current}):
        nothing = ModelFolder(name)
        old, before, now = known.get(name, nothing), previous.get(name, nothing), current.get(name, nothing)
        if now.problem or before.problem:
            folder = ModelFolder(name, old.versions, old.aliases, now.problem)
        else:
            folder = ModelFolder(
                name,
                _settled_versions(old, before, now),
                now.aliases if now.aliases == before.aliases else old.aliases,
            )
        if folder.versions or folder.problem:
            believed[name] = folder
    return believed


def _settled_versions(old: ModelFolder, before: ModelFolder, now: ModelFolder) -> dict[str, VersionFolder]:
    versions: dict[str, VersionFolder] = {}
    for version in {*old.versions, *now.versions}:
        seen, last, kept = now.versions.get(version), before.versions.get(version), old.versions.get(version)
        chosen = kept
        if seen == last:
            chosen = _waiting(kept, seen) if seen is not None and seen.incomplete else seen
        if chosen is not None:
            versions[version] = chosen
    return versions


def _waiting(kept: VersionFolder | None, seen: VersionFolder) -> VersionFolder:
    """What to believe of a version that is incomplete; one that was tried as it is has its own reason."""
    if kept is not None and (not kept.incomplete or kept == seen):
        return kept
    return replace(seen, waits=True)


class Watcher:
    """A thread that looks every `interval` seconds, from start() to stop()."""

    def __init__(self, lifecycle: Lifecycle, *, interval: float, report: Callable[[Event], None]) -> None:
        self._lifecycle = lifecycle
        self._interval = interval
        self._report = failing_into(_log, "reporting", report)
        self._previous: Folders = {}
        self._trouble = ""  # what was told of the last look
        self._waited_for: dict[str, str] = {}  # label of an incomplete version to what was told of it
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="penstock-watch", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._previous = self._lifecycle.folders()
        self._thread.start()

    def stop(self) -> None:
        """Ends it, after the look that is under way; but waits for a disk that hangs only so long."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)

    def _watch(self) -> None:
        yield_to_serving()
        while not self._stopping.wait(self._interval):
            try:
                self._look()
            except ServerError as error:  # a file system that is away for a while must not unload anything
                self._tell_of(Event("repository_unreadable", str(error), reason=str(error)))
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                line = f"looking at the repository failed, and is tried again: {reason}"
                self._tell_of(Event("watch_failed", line, reason=reason))
            else:
                self._trouble = ""

    def _look(self) -> None:
        with self._lifecycle.looking() as current:
            known = self._lifecycle.folders()
            believed = settled(known, self._previous, current)
            if believed != known:
                self._lifecycle.adopt(believed)
        previous, self._previous = self._previous, current
        self._tell_of_incomplete(previous, current)

    def _tell_of_incomplete(self, previous: Folders, current: Folders) -> None:
        """Versions that wait for files and do not grow any more: somebody may have to do something."""
        waiting: dict[str, str] = {}
        for name, model in current.items():
            before = previous.get(name, ModelFolder(name)).versions
            for version, folder in model.versions.items():
                label = f"{name}:{version}"
                if folder.incomplete and folder == before.get(version):
                    waiting[label] = folder.incomplete
                    if self._waited_for.get(label) != folder.incomplete:
                        self._report(
                            Event(
                                "version_incomplete",
                                f"{label} is not complete and waits: {folder.incomplete}",
                                model=name,
                                version=version,
                                reason=folder.incomplete,
                            )
                        )
        self._waited_for = waiting

    def _tell_of(self, trouble: Event) -> None:
        """Once, however many looks meet it."""
        if trouble != self._trouble:
            self._trouble = str(trouble)
            self._report(trouble)
