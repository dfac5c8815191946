from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disk_world import WAIT_S, World
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UNAVAILABLE, StatusError
from penstock.repository import layout
from penstock.repository.layout import ModelFolder, VersionFolder
from penstock.repository.watcher import Watcher, settled


def _folder(version: str, content: int, incomplete: str = "") -> VersionFolder:
    return VersionFolder(
        "m", version, Path("/r/m") / version, str(content), (("bundle.json", content, 0, 0),), incomplete
    )


VERSIONS = st.dictionaries(
    st.sampled_from("123"),
    st.tuples(st.integers(0, 2), st.sampled_from(["", "model.bin is missing"])),
    max_size=3,
).map(lambda found: {name: _folder(name, *how) for name, how in found.items()})
ALIASES = st.dictionaries(st.just("champion"), st.sampled_from("123"))
LOOKS = st.one_of(st.just({}), st.builds(lambda v, a: {"m": ModelFolder("m", v, a)}, VERSIONS, ALIASES))
EMPTY = ModelFolder("m")


def _waits(folder: VersionFolder | None) -> VersionFolder | None:
    return None if folder is None else replace(folder, waits=True)


@given(LOOKS, LOOKS, LOOKS)
def test_only_what_two_looks_agree_on_is_believed_and_nothing_incomplete_for_what_is_whole(
    known: dict[str, ModelFolder], previous: dict[str, ModelFolder], current: dict[str, ModelFolder]
) -> None:
    believed = settled(known, previous, current).get("m", EMPTY).versions
    old, before, now = (look.get("m", EMPTY).versions for look in (known, previous, current))
    for version in "123":
        if believed.get(version) != old.get(version):
            assert now.get(version) == before.get(version)
            assert believed.get(version) in (now.get(version), _waits(now.get(version)))
        if version in old and not old[version].incomplete and version in now:
            assert not believed[version].incomplete


@given(LOOKS, LOOKS)
def test_what_stays_is_believed_at_the_second_look_and_waits_where_it_is_incomplete(
    known: dict[str, ModelFolder], current: dict[str, ModelFolder]
) -> None:
    found = settled(known, current, current)
    now, old = current.get("m", EMPTY).versions, known.get("m", EMPTY).versions
    expected: dict[str, VersionFolder | None] = {}
    for name, folder in now.items():
        before = old.get(name)
        tried = before is not None and (not before.incomplete or before == folder)
        whole = not folder.incomplete
        expected[name] = folder if whole else before if tried else _waits(folder)
    assert found.get("m", EMPTY).versions == expected
    assert settled(found, current, current) == found


def test_a_model_that_cannot_be_read_keeps_what_was_known() -> None:
    known = {"m": ModelFolder("m", {"1": _folder("1", 0)}, {"champion": "1"})}
    broken = {"m": ModelFolder("m", problem="/r/m cannot be read: Input/output error")}
    found = settled(known, broken, broken)["m"]
    assert found.versions == known["m"].versions
    assert found.aliases == {"champion": "1"}


def test_a_growing_folder_is_loaded_once_it_is_whole_and_a_removed_one_is_unloaded(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.scan()
    watcher = Watcher(world.lifecycle, interval=0.02, report=world.report)
    watcher.start()
    try:
        folder = world.disk.put("delay", "2", "good 2")
        world.wait(lambda: world.now.serving("delay") == {"2": "good 2"})
        half = world.disk.put("delay", "3", "good 3")
        (half / "model.bin").write_text("go")
        world.disk.remove("delay", "2")
        world.wait(lambda: world.now.serving("delay") == {"1": "good 1"})
        assert not folder.exists()
        assert "delay:3" not in world.loader.loads
        (half / "model.bin").write_text("good 3")
        world.wait(lambda: world.now.serving("delay") == {"3": "good 3"})
        world.disk.alias("delay", champion="1")
        world.wait(lambda: world.now.models["delay"][1] == {"champion": "1"})
    finally:
        watcher.stop()


def test_a_repository_that_is_away_for_a_while_unloads_nothing(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.scan()
    watcher = Watcher(world.lifecycle, interval=0.02, report=world.report)
    watcher.start()
    try:
        aside = world.disk.root.with_name("aside")
        world.disk.root.rename(aside)
        world.wait(lambda: any("cannot be read" in line for line in world.lines))
        assert world.now.serving("delay") == {"1": "good 1"}
        aside.rename(world.disk.root)
        world.disk.put("delay", "2", "good 2")
        world.wait(lambda: world.now.serving("delay") == {"2": "good 2"})
        assert sum("cannot be read" in line for line in world.lines) == 1
    finally:
        watcher.stop()


@contextmanager
def watching(world: World) -> Iterator[None]:
    watcher = Watcher(world.lifecycle, interval=0.02, report=world.report)
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()


def test_whatever_goes_wrong_in_a_look_is_told_once_and_the_next_look_comes(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.scan()

    class Cursed(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            raise KeyError(f"no settings for\n{name}")

    with watching(world):
        world.settings = Cursed()
        world.disk.put("fare", "1")
        world.wait(lambda: any("looking at the repository failed" in line for line in world.lines))
        looks = len(world.looks)
        world.wait(lambda: len(world.looks) > looks + 3)
        world.settings = {}
        world.wait(lambda: world.now.serving("fare") == {"1": "good"})
    (line,) = [line for line in world.lines if "looking at the repository failed" in line]
    assert "KeyError" in line
    assert "fare" in line
    assert "\n" not in line
    assert world.now.serving("delay") == {"1": "good 1"}


def test_a_report_that_fails_does_not_end_the_watching(world: World) -> None:
    world.scan()
    world.broken_pipe = True
    with watching(world):
        aside = world.disk.root.with_name("aside")
        world.disk.root.rename(aside)
        looks = len(world.looks)
        world.wait(lambda: len(world.looks) > looks + 3)
        aside.rename(world.disk.root)
        world.disk.put("delay", "1")
        world.wait(lambda: world.now.serving("delay") == {"1": "good"})


def test_a_version_that_stays_incomplete_is_told_once_with_what_it_waits_for(world: World) -> None:
    world.scan()
    with watching(world):
        folder = world.disk.put("delay", "1", "good")
        world.wait(lambda: world.now.serving("delay") == {"1": "good"})
        half = world.disk.put("delay", "2", "good 2")
        (half / "model.bin").write_text("go")
        line = "delay:2 is not complete and waits: model.bin has 2 bytes, bundle.json says 6"
        world.wait(lambda: line in world.lines)
        looks = len(world.looks)
        world.wait(lambda: len(world.looks) > looks + 3)
        assert world.lines.count(line) == 1
        (half / "model.bin").write_text("good 2")
        world.wait(lambda: world.now.serving("delay") == {"2": "good 2"})
    assert folder.exists()


def test_a_version_that_comes_without_its_files_is_known_with_what_it_waits_for(world: World) -> None:
    world.scan()
    with watching(world):
        half = world.disk.put("delay", "2", "good 2")
        (half / "model.bin").unlink()
        world.wait(lambda: "delay" in world.now.models)
        waits = "waits for its files: model.bin is missing"
        assert world.now.versions("delay") == {"2": waits}
        assert world.states() == {"delay:2": "UNAVAILABLE"}
        with pytest.raises(StatusError, match=f"no version ready: {waits}") as refused:
            world.lifecycle.view.resolve("delay", "")
        assert refused.value.status == UNAVAILABLE
        assert world.loader.loads == []
        assert not any("refused" in line for line in world.lines)
        (half / "model.bin").write_text("good")
        waits = "waits for its files: model.bin has 4 bytes, bundle.json says 6"
        world.wait(lambda: world.now.versions("delay") == {"2": waits})
        (half / "model.bin").write_text("good 2")
        world.wait(lambda: world.now.serving("delay") == {"2": "good 2"})
        world.disk.remove("delay", "2")
        world.wait(lambda: "delay" not in world.now.models)


def test_a_waiting_version_keeps_the_one_below_it_in_service(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.scan()
    with watching(world):
        half = world.disk.put("delay", "2", "good 2")
        (half / "model.bin").unlink()
        world.wait(lambda: world.states() == {"delay:1": "READY", "delay:2": "UNAVAILABLE"})
        assert world.now.serving("delay") == {"1": "good 1"}
        with pytest.raises(StatusError, match=r"No such file"):  # who asks for it by name is told
            world.lifecycle.load("delay", "2")
        assert world.now.serving("delay") == {"1": "good 1"}


def test_a_version_that_was_refused_incomplete_waits_once_more_of_it_has_come(world: World) -> None:
    folder = world.disk.put("delay", "1", "good 1")
    (folder / "model.bin").unlink()
    world.scan()
    refused = world.now.versions("delay")
    assert world.states() == {"delay:1": "FAILED"}
    with watching(world):
        looks = len(world.looks)
        world.wait(lambda: len(world.looks) > looks + 6)
        assert world.now.versions("delay") == refused
        (folder / "model.bin").write_text("go")
        waits = "waits for its files: model.bin has 2 bytes, bundle.json says 6"
        world.wait(lambda: world.now.versions("delay") == {"1": waits})
        assert world.states() == {"delay:1": "UNAVAILABLE"}


def test_a_manifest_that_nobody_can_read_is_refused_and_not_waited_for(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.scan()
    with watching(world):
        (world.disk.root / "delay" / "2").mkdir()
        (world.disk.root / "delay" / "2" / "bundle.json").mkdir()
        world.wait(lambda: any(line.startswith("delay:2 refused: ") for line in world.lines))
    assert world.now.serving("delay") == {"1": "good 1"}
    assert world.states()["delay:2"] == "FAILED"


def test_a_disk_that_hangs_does_not_keep_the_watcher_from_stopping(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.scan()
    monkeypatch.setattr("penstock.repository.watcher._PATIENCE_S", 0.05)
    hangs, go_on = threading.Event(), threading.Event()

    def model_folders(root: Path) -> list[Path]:
        hangs.set()
        assert go_on.wait(WAIT_S)
        return []

    monkeypatch.setattr(layout, "model_folders", model_folders)
    watcher = Watcher(world.lifecycle, interval=0.02, report=world.report)
    watcher.start()
    assert hangs.wait(WAIT_S)
    stopper = threading.Thread(target=lambda: (watcher.stop(), world.lifecycle.close()))
    stopper.start()
    stopper.join(WAIT_S / 2)
    stuck = stopper.is_alive()
    go_on.set()
    stopper.join()
    assert not stuck
