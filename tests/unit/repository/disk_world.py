"""A repository on disk of the smallest bundles, and a loader for them that can be held up or refuse."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from penstock.bundle.schedule import Schedule
from penstock.config import ModelSection
from penstock.errors import BundleError
from penstock.log import Event
from penstock.repository.layout import VersionFolder
from penstock.repository.lifecycle import Lifecycle

WAIT_S = 20.0


@dataclass
class Core:
    """Stands where a compiled version would: lifecycles only pass it on."""

    label: str
    content: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...] = (("x", "FP32", (-1,)),)


@dataclass
class Bundle:
    manifest: Any
    digest: str
    core: Core
    description: str = "a test model"
    schedule: Schedule | None = None


class DiskRepository:
    """REPOSITORY/<model>/<version>/ with one file of content each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def put(self, model: str, version: str, content: str = "good") -> Path:
        """Writes a version; content "bad" is one that the loader refuses."""
        folder = self.root / model / version
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.bin").write_text(content)
        entry = {"sha256": hashlib.sha256(content.encode()).hexdigest(), "bytes": len(content)}
        partial = folder / "bundle.json.part"
        partial.write_text(json.dumps({"files": {"model.bin": entry}}))
        partial.replace(folder / "bundle.json")
        return folder

    def remove(self, model: str, version: str) -> None:
        shutil.rmtree(self.root / model / version)

    def alias(self, model: str, **aliases: str) -> None:
        (self.root / model / "aliases.json").write_text(json.dumps(aliases))


@dataclass
class Loader:
    """Loads what DiskRepository.put wrote. `hold(label)` makes loads wait until `release(label)`."""

    loads: list[str] = field(default_factory=list)
    before: Callable[[VersionFolder], None] | None = None  # called as a load begins
    gates: dict[str, threading.Event] = field(default_factory=dict)
    schedule: Schedule | None = None  # of what it loads

    def hold(self, label: str) -> None:
        self.gates[label] = threading.Event()

    def release(self, label: str) -> None:
        self.gates.pop(label).set()

    def __call__(self, folder: VersionFolder) -> Bundle:
        label = f"{folder.model}:{folder.version}"
        if self.before is not None:
            self.before(folder)
        content = (folder.path / "model.bin").read_text()
        digest = hashlib.sha256((folder.path / "bundle.json").read_bytes()).hexdigest()
        self.loads.append(label)
        gate = self.gates.get(label)
        if gate is not None:
            assert gate.wait(WAIT_S)
        if content.startswith("bad"):
            raise BundleError(f"model.bin of {label} is\nbad")
        return Bundle(SimpleNamespace(), digest, Core(label, content), schedule=self.schedule)


@dataclass
class Snapshot:
    ready: bool
    models: dict[str, tuple[str, dict[str, str], dict[str, Any]]]

    def versions(self, model: str) -> dict[str, Any]:
        """Content where one serves, the reason where none does."""
        found = self.models.get(model, ("", {}, {}))[2]
        return {name: core.content if isinstance(core, Core) else core for name, core in found.items()}

    def serving(self, model: str) -> dict[str, str]:
        cores = self.models.get(model, ("", {}, {}))[2]
        return {name: core.content for name, core in cores.items() if isinstance(core, Core)}


class World:
    """A repository, a lifecycle over it, and all that the lifecycle said."""

    def __init__(self, root: Path) -> None:
        self.disk = DiskRepository(root)
        self.loader = Loader()
        self.settings: dict[str, ModelSection] = {}
        self.snapshots: list[Snapshot] = []
        self.lines: list[Event] = []
        self.looks: list[Path] = []  # model folders that were read
        self.broken_pipe = False  # reports fail
        self.unpublishable = False  # publishing fails
        self.lifecycle = Lifecycle(
            root,
            settings=lambda name: self.settings.get(name, ModelSection()),
            load=self.loader,
            publish=self.publish,
            report=self.report,
            threads=3,
        )

    def publish(self, models: Any, ready: bool) -> None:
        if self.unpublishable:
            raise ValueError("not to be published")
        shown = {
            name: (default, dict(aliases), dict(versions)) for name, default, aliases, versions in models
        }
        self.snapshots.append(Snapshot(ready, shown))

    def report(self, event: Event) -> None:
        if self.broken_pipe:
            raise BrokenPipeError
        self.lines.append(event)

    def event(self, kind: str) -> Event:
        """The only one of its kind."""
        (found,) = [event for event in self.lines if event.kind == kind]
        return found

    @property
    def now(self) -> Snapshot:
        return self.snapshots[-1]

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, (self.lines, self.snapshots[-3:])
            time.sleep(0.002)

    def scan(self) -> None:
        """Reads the disk and waits until no load is under way."""
        self.lifecycle.scan()
        self.quiet()

    def quiet(self) -> None:
        self.wait(lambda: not self.lifecycle.loading and "UNLOADING" not in self.states().values())

    def states(self) -> dict[str, str]:
        return {f"{v.model}:{v.version}": v.state.value for v in self.lifecycle.view.versions()}


def touch(path: Path, ns: int) -> None:
    """Gives a file another time, whatever the clock's grain."""
    os.utime(path, ns=(ns, ns))
