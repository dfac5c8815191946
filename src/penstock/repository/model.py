"""One model's versions: what is asked for, what is wanted, and what must be done about it.

Decisions only: it starts no load and frees nothing. Touched only under the lifecycle's lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.config import ModelSection
from penstock.log import Event
from penstock.repository.aliases import STABLE
from penstock.repository.layout import ModelFolder, VersionFolder
from penstock.repository.policy import version_order, wanted
from penstock.repository.states import VersionSlot
from penstock.repository.view import ModelView, VersionView

_ON_REQUEST = "unloaded on request"
_BY_POLICY = "not wanted by the model's policy"
_GONE = "its folder is gone"


@dataclass(slots=True)
class Requests:
    """What operators asked of a model, until they ask otherwise or the server ends."""

    pinned: set[str] = field(default_factory=set)  # loaded by name
    unloaded: set[str] = field(default_factory=set)  # unloaded by name
    down: bool = False  # unloaded as a whole


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now: folders to load, the most wanted first; versions to drop, each with the reason."""

    load: list[VersionFolder]
    drop: list[tuple[str, str]]


class ManagedModel:
    """The slots of one model, and the rules by which they change."""

    def __init__(self, name: str, settings: ModelSection) -> None:
        self.name = name
        self.settings = settings
        self.folder = ModelFolder(name)
        self.slots: dict[str, VersionSlot] = {}
        self.requests = Requests()
        self.aliases: dict[str, str] = {}  # as callers see them
        self._told: set[str] = set()
        self._untold: list[Event] = []

    def adopt(self, folder: ModelFolder) -> None:
        """Takes the folder as what is on disk. A part that could not be read stays as it was known."""
        if folder.problem:
            self._complain(folder.problem)
            folder = ModelFolder(self.name, folder.versions or self.folder.versions, self.folder.aliases)
        self.folder = folder
        for version, found in folder.versions.items():
            slot = self.slots.setdefault(version, VersionSlot())
            if found.waits:  # what it was refused for is not what it waits for now
                slot.failure = None

    def request_load(self, version: str) -> None:
        """An operator wants a version; "" is all that the policy wants. Tries anew what failed."""
        if version:
            if self.requests.down:  # only what is named comes back, not all that went down with the model
                self.requests.unloaded |= set(self.folder.versions)
            self.requests.pinned.add(version)
            self.requests.unloaded.discard(version)
        else:
            self.requests.unloaded.clear()
        self.requests.down = False
        self.forget_failures()

    def request_unload(self, version: str) -> None:
        """An operator wants a version gone; "" is all of them. It holds whatever the policy says."""
        if version:
            self.requests.unloaded.add(version)
            self.requests.pinned.discard(version)
        else:
            self.requests = Requests(down=True)

    def forget_failures(self) -> None:
        """Lets what failed be tried again, and complaints be made again."""
        self._told.clear()
        for slot in self.slots.values():
            slot.failure = None

    def desired_aliases(self) -> dict[str, str]:
        """As the settings and the model's file have them; the file wins."""
        return {**self.settings.aliases, **self.folder.aliases}

    def wanted(self) -> frozenset[str]:
        """The versions that should serve: of those whole on disk, not unloaded, and not refused as they are.

        A version that an alias names is wanted, so that a flip of `latest` never takes it away.
        """
        if self.requests.down:
            return frozenset()
        candidates = {
            version
            for version, folder in self.folder.versions.items()
            if version not in self.requests.unloaded
            and not folder.waits
            and not self._refused(self.slots[version], folder)
        }
        pinned = {*self.requests.pinned, *self.desired_aliases().values(), *self.aliases.values()}
        return wanted(
            candidates, self.settings.policy, latest_count=self.settings.latest_count, pinned=pinned
        )

    @staticmethod
    def _refused(slot: VersionSlot, folder: VersionFolder) -> bool:
        """Whether these very files failed and nothing else serves for them: the next best is wanted then."""
        return slot.serving is None and slot.failure is not None and slot.failure.stamp == folder.stamp

    def plan(self) -> Plan:
        """What to load, and what may go: the unwanted go only when no wanted one is still on its way.

        Aliases flip first: a version that only an old alias held may go in the same step.
        """
        self._flip_aliases()
        chosen = sorted(self.wanted(), key=version_order, reverse=True)
        load = [self.folder.versions[version] for version in chosen if self._needs_load(version)]
        coming = {folder.version for folder in load} | {
            v for v in chosen if self.slots[v].attempt is not None
        }
        awaited = any(self.slots[version].serving is None for version in coming)
        drop: list[tuple[str, str]] = []
        for version, slot in self.slots.items():
            if version in chosen:
                continue
            asked = self.requests.down or version in self.requests.unloaded
            reason = _ON_REQUEST if asked else self._unwanted(version)
            if slot.serving is None:
                slot.idle_reason = reason
            elif asked or not awaited:
                drop.append((version, reason))
        return Plan(load, drop)

    def _unwanted(self, version: str) -> str:
        """Why nobody wants it."""
        folder = self.folder.versions.get(version)
        if folder is None:
            return _GONE
        return f"waits for its files: {folder.incomplete}" if folder.waits else _BY_POLICY

    def _needs_load(self, version: str) -> bool:
        slot, folder = self.slots[version], self.folder.versions[version]
        # A folder that changed between the look and the load gave another digest: only a new look tells that.
        current = slot.serving is not None and (slot.serving.digest == folder.digest or slot.source == folder)
        failed = slot.failure is not None and slot.failure.stamp == folder.stamp
        return not current and not failed and slot.attempt is None

    def _flip_aliases(self) -> None:
        """Takes over the aliases whose version serves; one whose version does not stays where it was."""
        served: dict[str, str] = {}
        for alias, target in self.desired_aliases().items():
            slot = self.slots.get(target)
            before = self.aliases.get(alias, "")
            if alias in self.slots:
                self._complain(f"alias {alias} is not used: a version has that name")
            elif slot is not None and (slot.serving is not None or not before):
                # With nothing before it, callers are told why its version is not ready.
                served[alias] = target
            elif before:
                served[alias] = before
        self.aliases = served

    def settle(self) -> None:
        """After the plan is carried out: tells of aliases that lead nowhere, forgets what is gone."""
        for alias, target in self.desired_aliases().items():
            slot = self.slots.get(target)
            if slot is not None and slot.releasing:
                continue  # why it is gone is told once it is
            if slot is None or (slot.serving is None and slot.attempt is None):
                why = slot.reason if slot is not None else "there is no such version"
                now = self.aliases.get(alias, "")
                kept = f"; it stays at {now}" if now not in ("", target) else ""
                self._complain(f"alias {alias} names version {target}, which is not ready: {why}{kept}")
        for version, slot in list(self.slots.items()):
            busy = slot.serving is not None or slot.attempt is not None or slot.releasing
            if not busy and version not in self.folder.versions:
                del self.slots[version]
                self.requests.pinned.discard(version)
                self.requests.unloaded.discard(version)
        self.aliases = {alias: target for alias, target in self.aliases.items() if target in self.slots}

    def view(self) -> ModelView:
        """The model as callers see it."""
        versions = {
            version: VersionView(self.name, version, slot.state, slot.reason, slot.serving)
            for version, slot in sorted(self.slots.items(), key=lambda item: version_order(item[0]))
        }
        ready = [version for version, seen in versions.items() if seen.loaded is not None]
        stable = self.aliases.get(STABLE, "")
        default = stable if stable in ready else (ready[-1] if ready else "")
        return ModelView(self.name, default, dict(self.aliases), versions)

    def take_complaints(self) -> list[Event]:
        """What to tell an operator; each thing is told once."""
        untold, self._untold = self._untold, []
        return untold

    def _complain(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            self._untold.append(Event("warning", f"{self.name}: {problem}", model=self.name, reason=problem))
