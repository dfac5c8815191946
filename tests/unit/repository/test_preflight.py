from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from disk_world import DiskRepository

from penstock.config import ModelSection
from penstock.errors import ServerError
from penstock.repository import layout, preflight


def warnings(disk: DiskRepository, root: Path | None = None, **models: ModelSection) -> list[str]:
    """The lines about a folder and these sections of the configuration."""
    place = root or disk.root
    folders = {name: folder for name, folder in layout.scan(place).items() if folder.versions}
    found = list(preflight.mismatches(place, folders, models))
    assert all(event.kind == "warning" and "\n" not in event for event in found)
    return [str(event) for event in found]


def test_a_repository_that_fits_its_configuration_is_no_matter(disk: DiskRepository) -> None:
    disk.put("delay", "1")
    preflight.refuse_bundle(disk.root)
    assert warnings(disk, delay=ModelSection(policy=("1",))) == []


def test_a_bundle_is_no_repository_and_the_folder_two_above_it_is_named(disk: DiskRepository) -> None:
    folder = disk.put("delay", "1")
    with pytest.raises(ServerError, match="is a bundle, not a repository") as refused:
        preflight.refuse_bundle(folder)
    assert str(refused.value).endswith(f"--repository {disk.root}")


def test_a_relative_path_to_a_bundle_gets_a_folder_that_can_be_given(
    disk: DiskRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(disk.put("delay", "1"))
    with pytest.raises(ServerError) as refused:
        preflight.refuse_bundle(Path())
    assert str(refused.value).endswith(f"--repository {disk.root}")


def test_one_models_folder_is_told_from_a_repository(disk: DiskRepository) -> None:
    disk.put("delay", "1")
    root = disk.root / "delay"
    (line,) = warnings(disk, root)
    assert line.startswith(f"the repository {root} holds no bundles, so nothing is served.")
    assert line.endswith(f"--repository {disk.root}")


def test_a_folder_without_bundles_is_warned_of(disk: DiskRepository) -> None:
    (disk.root / "photos" / "2013").mkdir(parents=True)
    (line,) = warnings(disk)
    assert "holds no bundles, so nothing is served. Bundles are REPOSITORY/<model>/<version>" in line


def test_a_section_for_a_model_that_is_not_there_names_the_nearest_or_all(disk: DiskRepository) -> None:
    disk.put("delay", "1")
    disk.put("fare", "1")
    assert warnings(disk, dleay=ModelSection(), other=ModelSection()) == [
        "the configuration has [models.dleay], and the repository has no such model; did you mean delay?",
        "the configuration has [models.other], and the repository has no such model; it has: delay, fare",
    ]


def test_a_policy_that_names_absent_versions_is_warned_of(disk: DiskRepository) -> None:
    disk.put("delay", "1")
    disk.put("delay", "2")
    section = ModelSection(policy=("2", "7", "8"))
    (line,) = warnings(disk, delay=section)
    assert line == "delay: the configuration's policy names versions 7, 8, and the repository has: 1, 2"
    (event,) = preflight.mismatches(disk.root, layout.scan(disk.root), {"delay": section})
    assert event.fields == {
        "model": "delay",
        "reason": "the policy names absent versions",
        "absent": ["7", "8"],
    }


def test_versions_that_cannot_be_read_now_are_not_called_absent(disk: DiskRepository) -> None:
    disk.put("delay", "1")
    folders = {"delay": layout.ModelFolder("delay", problem="Input/output error")}
    assert list(preflight.mismatches(disk.root, folders, {"delay": ModelSection(policy=("1",))})) == []


def test_a_repository_that_is_not_there_is_left_to_the_scan(disk: DiskRepository) -> None:
    shutil.rmtree(disk.root)
    preflight.refuse_bundle(disk.root)
