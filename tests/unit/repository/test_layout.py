from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from disk_world import DiskRepository, touch

from penstock.errors import ServerError
from penstock.repository import layout


def test_a_scan_finds_models_versions_digests_and_aliases(disk: DiskRepository) -> None:
    folder = disk.put("delay", "1")
    disk.put("delay", "2", "other")
    disk.put("fare", "1")
    disk.alias("delay", champion="2")
    found = layout.scan(disk.root)
    assert {name: sorted(model.versions) for name, model in found.items()} == {
        "delay": ["1", "2"],
        "fare": ["1"],
    }
    assert found["delay"].aliases == {"champion": "2"}
    version = found["delay"].versions["1"]
    assert version.digest == hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    assert (version.path, version.incomplete) == (folder, "")


def test_hidden_and_temporary_folders_and_those_without_a_manifest_are_passed_over(
    disk: DiskRepository,
) -> None:
    disk.put("delay", "1")
    disk.put("delay", ".2")
    disk.put("delay", "3.tmp")
    disk.put(".trash", "1")
    (disk.root / os.fsdecode(b"not\xffutf8")).mkdir()
    (disk.root / "two\nlines").mkdir()
    (disk.root / "delay" / "4").mkdir()
    (disk.root / "delay" / "5").write_text("a file")
    assert sorted(layout.scan(disk.root)) == ["delay"]
    assert sorted(layout.scan(disk.root)["delay"].versions) == ["1"]


def test_a_missing_file_and_one_of_another_size_make_a_version_incomplete(disk: DiskRepository) -> None:
    missing = disk.put("delay", "1")
    (missing / "model.bin").unlink()
    short = disk.put("delay", "2")
    (short / "model.bin").write_text("goo")
    folder = disk.put("delay", "3")
    (folder / "model.bin").unlink()
    (folder / "model.bin").mkdir()
    versions = layout.scan(disk.root)["delay"].versions
    assert versions["1"].incomplete == "model.bin cannot be read: No such file or directory"
    assert versions["2"].incomplete == "model.bin has 3 bytes, bundle.json says 4"
    assert versions["3"].incomplete == "model.bin cannot be read: not a regular file"


def test_the_stamp_changes_with_a_file_and_the_digest_with_the_manifest_only(disk: DiskRepository) -> None:
    folder = disk.put("delay", "1")
    before = layout.scan(disk.root)["delay"].versions["1"]
    assert layout.scan(disk.root)["delay"].versions["1"] == before
    touch(folder / "model.bin", 1)
    after = layout.scan(disk.root)["delay"].versions["1"]
    assert after.stamp != before.stamp
    assert after.digest == before.digest


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": 3}', '{"files": {"a\\u0000": {"bytes": 1}}}', "[" * 100_000]
)
def test_a_manifest_that_is_none_is_found_for_the_loader_to_refuse(disk: DiskRepository, text: str) -> None:
    folder = disk.put("delay", "1")
    (folder / "bundle.json").write_text(text)
    assert sorted(layout.scan(disk.root)["delay"].versions) == ["1"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"champion": 2}', '{"champion": ""}', '{"": "1"}', '{"a": "\\ud800"}']
)
def test_unusable_aliases_are_a_problem_that_names_the_file_and_hides_no_version(
    disk: DiskRepository, text: str
) -> None:
    disk.put("delay", "1")
    (disk.root / "delay" / "aliases.json").write_text(text)
    found = layout.scan(disk.root)["delay"]
    assert "aliases.json" in found.problem
    assert sorted(found.versions) == ["1"]


def test_a_repository_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"nowhere cannot be read.*--repository"):
        layout.scan(tmp_path / "nowhere")
