"""Watches a repository by polling, which works on every file system, and tells the lifecycle what changed.

A change counts once it has stood for a whole interval: a folder that is being copied is not touched before it
is complete and nothing in it changed since the last look, and one that is being replaced is not unloaded in
between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from penstock.errors import ServerError
from penstock.repository import layout
from penstock.repository.layout import ModelFolder, VersionFolder
from penstock.repository.lifecycle import Lifecycle

Folders = Mapping[str, ModelFolder]


def settled(known: Folders, previous: Folders, current: Folders) -> dict[str, ModelFolder]:
    """What to believe of the disk, given what is believed (`known`) and the last two looks at it. Pure.

    A version, present or gone, is believed when both looks agree on it and it is complete; otherwise what was
    known of it stands. The same holds for a model's aliases.
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
        agreed = seen == last and not (seen is not None and seen.incomplete)
        chosen = seen if agreed else kept
        if chosen is not None:
            versions[version] = chosen
    return versions


class Watcher:
    """A thread that looks every `interval` seconds, from start() to stop()."""

    def __init__(
        self, root: Path, lifecycle: Lifecycle, *, interval: float, report: Callable[[str], None]
    ) -> None:
        self._root = root
        self._lifecycle = lifecycle
        self._interval = interval
        self._report = report
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="penstock-watch", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it, after the look that is under way."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        previous: Folders = self._lifecycle.folders()
        trouble = ""
        while not self._stopping.wait(self._interval):
            try:
                current = layout.scan(self._root)
            except ServerError as error:  # a file system that is away for a while must not unload anything
                if str(error) != trouble:
                    trouble = str(error)
                    self._report(trouble)
                continue
            trouble = ""
            known = self._lifecycle.folders()
            believed = settled(known, previous, current)
            if believed != known:
                self._lifecycle.adopt(believed)
            previous = current
