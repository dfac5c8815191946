"""Random lives of one model, held to what must be true after every step."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.config import ModelSection
from penstock.errors import BundleError
from penstock.repository.layout import ModelFolder, VersionFolder
from penstock.repository.model import ManagedModel
from penstock.repository.states import Attempt, State

NAMES = st.sampled_from(["1", "2", "10"])


class ModelLife(RuleBasedStateMachine):
    """The disk changes, operators ask, loads end well or badly, in any order."""

    @initialize(policy=st.sampled_from(["latest", "all", ("1", "10")]), count=st.integers(1, 2))
    def begin(self, policy: Any, count: int) -> None:
        self.model = ManagedModel("m", ModelSection(policy=policy, latest_count=count))
        self.disk: dict[str, int] = {}
        self.partial: set[str] = set()  # of these, files are missing
        self.aliases: dict[str, str] = {}
        self.contents = 0
        self.was_ready = False  # and nobody took anything away since

    def step(self) -> None:
        """What the lifecycle does after every change."""
        plan = self.model.plan()
        for folder in plan.load:
            self.model.slots[folder.version].begin(Attempt(folder, Future()))
        for version, reason in plan.drop:
            if self.model.slots[version].drop(reason) is not None:
                self.model.slots[version].released()
        self.model.settle()

    def look(self) -> None:
        versions = {
            name: VersionFolder(
                "m",
                name,
                Path("/r/m") / name,
                str(content),
                (("bundle.json", content, 0, 0),),
                "model.bin is missing" if name in self.partial else "",
                name in self.partial,
            )
            for name, content in self.disk.items()
        }
        self.model.adopt(ModelFolder("m", versions, dict(self.aliases)))
        self.step()

    def serving(self) -> dict[str, str]:
        return {v: s.serving.digest for v, s in self.model.slots.items() if s.serving is not None}

    def serves_what_is_there(self) -> bool:
        """A version whose folder is gone may serve until another does, or until that fails."""
        return any(version in self.disk for version in self.serving())

    def loading(self) -> list[str]:
        return [version for version, slot in self.model.slots.items() if slot.attempt is not None]

    @rule(name=NAMES)
    def write_version(self, name: str) -> None:
        self.contents += 1
        self.disk[name] = self.contents
        self.partial.discard(name)
        self.look()

    @rule(name=NAMES)
    def write_a_part(self, name: str) -> None:
        """Of a version that is new: the watcher lets a known one stand until the new content is whole."""
        if name not in self.disk and name not in self.model.slots:
            self.contents += 1
            self.disk[name] = self.contents
            self.partial.add(name)
            self.look()

    @rule(name=NAMES)
    def remove_version(self, name: str) -> None:
        self.disk.pop(name, None)
        self.partial.discard(name)
        self.was_ready &= self.serves_what_is_there()
        self.look()

    @rule(name=st.sampled_from(["stable", "champion"]), version=st.one_of(st.none(), NAMES))
    def write_alias(self, name: str, version: str | None) -> None:
        self.aliases = {**self.aliases, name: version} if version else {}
        if version is None and not isinstance(self.model.settings.policy, str):
            self.was_ready = False  # an alias may have been all that wanted a version which is not listed
        self.look()

    @rule(version=st.one_of(st.just(""), NAMES))
    def ask_for_load(self, version: str) -> None:
        if not version or version in self.model.folder.versions:
            self.model.request_load(version)
            self.step()

    @rule(version=st.one_of(st.just(""), NAMES))
    def ask_for_unload(self, version: str) -> None:
        if not version or version in self.model.slots:
            self.was_ready = False
            self.model.request_unload(version)
            self.step()
            gone = [version] if version else list(self.model.slots)
            assert not set(gone) & set(self.serving())

    @precondition(lambda self: self.loading())
    @rule(data=st.data(), good=st.booleans())
    def end_a_load(self, data: st.DataObject, good: bool) -> None:
        version = data.draw(st.sampled_from(self.loading()))
        slot = self.model.slots[version]
        assert slot.attempt is not None
        digest, before = slot.attempt.folder.digest, self.serving().get(version)
        if not good:
            slot.fail(BundleError("bad"))
            assert self.serving().get(version) == before
        elif version in self.model.wanted():
            # The files may have changed since the look that the load came from.
            slot.succeed(SimpleNamespace(digest=data.draw(st.sampled_from([digest, "of later files"]))))
        else:
            slot.abandon()
        self.step()

    @invariant()
    def it_never_goes_dark_by_itself(self) -> None:
        if self.was_ready:
            assert self.serving()
        self.was_ready = self.serves_what_is_there()

    @invariant()
    def when_nothing_is_loading_just_the_wanted_versions_serve(self) -> None:
        if not self.loading():
            assert set(self.serving()) == self.model.wanted()

    @invariant()
    def what_is_not_whole_is_not_tried_and_says_what_it_waits_for(self) -> None:
        for version in self.partial:
            slot = self.model.slots[version]
            assert (slot.serving, slot.attempt) == (None, None)
            asked = self.model.requests.down or version in self.model.requests.unloaded
            assert slot.reason == (
                "unloaded on request" if asked else "waits for its files: model.bin is missing"
            )

    @invariant()
    def callers_see_what_there_is(self) -> None:
        view = self.model.view()
        assert set(view.ready_versions()) == set(self.serving())
        assert (view.default == "") == (not self.serving())
        assert all(seen.reason for seen in view.versions.values() if seen.state is not State.READY)
        assert set(view.aliases.values()) <= set(view.versions)
        stable = view.aliases.get("stable")
        if stable in self.serving():
            assert view.default == stable


ModelLife.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestModelLife = ModelLife.TestCase
