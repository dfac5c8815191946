from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_world import WAIT_S, DiskRepository, touch

from penstock.bundle.verify import Limits
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
    assert versions["1"].incomplete == "model.bin is missing"
    assert versions["2"].incomplete == "model.bin has 3 bytes, bundle.json says 4"
    assert versions["3"].incomplete == ""  # no copy ends that way: it is for the loader to refuse


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


def scan_in_time(root: Path, limits: Limits | None = None) -> dict[str, layout.ModelFolder]:
    """A scan, on a thread of its own, so that one that hangs fails the test and no more."""
    found: list[dict[str, layout.ModelFolder]] = []
    thread = threading.Thread(target=lambda: found.append(layout.scan(root, limits or Limits())), daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive(), "the scan hangs"
    return found[0]


def as_fifo(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    path.with_name("elsewhere").write_text("{}")


def as_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def as_folder(path: Path) -> None:
    path.mkdir()


def as_100_mb(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 << 20)


@pytest.mark.parametrize("become", [as_fifo, as_link, as_link_to_nothing, as_folder, as_100_mb])
def test_a_manifest_that_is_not_fit_to_be_read_is_found_for_the_loader_to_refuse(
    disk: DiskRepository, become: Callable[[Path], None]
) -> None:
    disk.put("delay", "1")
    bad = disk.put("delay", "2")
    (bad / "bundle.json").unlink()
    become(bad / "bundle.json")
    versions = scan_in_time(disk.root)["delay"].versions
    assert sorted(versions) == ["1", "2"]
    assert (versions["2"].digest, versions["2"].incomplete) == ("", "")
    assert versions["2"] == scan_in_time(disk.root)["delay"].versions["2"]
    assert versions["1"].digest
    (bad / "bundle.json").rename(bad / "aside")
    disk.put("delay", "2")
    assert scan_in_time(disk.root)["delay"].versions["2"].stamp != versions["2"].stamp


def test_a_manifest_is_read_up_to_the_limit_of_the_settings(disk: DiskRepository) -> None:
    folder = disk.put("delay", "1")
    size = (folder / "bundle.json").stat().st_size
    assert layout.scan(disk.root, Limits(manifest_bytes=size))["delay"].versions["1"].digest
    assert layout.scan(disk.root, Limits(manifest_bytes=size - 1))["delay"].versions["1"].digest == ""


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a/b", "", "bundle\n.json"])
def test_names_that_lead_out_of_the_folder_are_never_looked_at(
    disk: DiskRepository, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = disk.put("delay", "1")
    (folder / "bundle.json").write_text(
        json.dumps({"files": {name: {"bytes": 1}, "model.bin": {"bytes": 4}}})
    )
    looked: list[Path] = []
    really = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: (looked.append(path), really(path))[1])
    found = layout.scan(disk.root)["delay"].versions["1"]
    assert looked == []
    assert found.incomplete == ""


def test_more_files_than_a_bundle_may_have_are_not_looked_at(disk: DiskRepository) -> None:
    folder = disk.put("delay", "1")
    files = {f"file{number}": {"bytes": 1} for number in range(33)}
    (folder / "bundle.json").write_text(json.dumps({"files": files}))
    assert layout.scan(disk.root)["delay"].versions["1"].incomplete == ""
    del files["file32"]
    (folder / "bundle.json").write_text(json.dumps({"files": files}))
    assert layout.scan(disk.root)["delay"].versions["1"].incomplete == "file0 is missing"


@pytest.mark.parametrize("become", [as_fifo, as_folder, as_100_mb, as_link_to_nothing])
def test_aliases_that_are_not_fit_to_be_read_are_a_problem_or_none(
    disk: DiskRepository, become: Callable[[Path], None]
) -> None:
    disk.put("delay", "1")
    become(disk.root / "delay" / "aliases.json")
    found = scan_in_time(disk.root)["delay"]
    assert sorted(found.versions) == ["1"]
    assert ("aliases.json" in found.problem) == (become is not as_link_to_nothing)


def test_aliases_may_be_a_link_as_mounted_files_are(disk: DiskRepository) -> None:
    disk.put("delay", "1")
    (disk.root / "delay" / "mounted").write_text('{"champion": "1"}')
    (disk.root / "delay" / "aliases.json").symlink_to("mounted")
    assert layout.scan(disk.root)["delay"].aliases == {"champion": "1"}


def test_a_link_that_leads_nowhere_hides_nothing_else(disk: DiskRepository) -> None:
    disk.put("delay", "1")
    (disk.root / "loop").symlink_to("loop")
    (disk.root / "delay" / "loop").symlink_to("loop")
    assert sorted(layout.scan(disk.root)) == ["delay"]
    assert sorted(layout.scan(disk.root)["delay"].versions) == ["1"]


def test_one_model_is_found_by_its_name_alone(disk: DiskRepository) -> None:
    disk.put("delay", "1")
    disk.put("delay", "2")
    disk.put(".hidden", "1")
    (disk.root / "file").write_text("")
    assert layout.find_model(disk.root, "delay") == layout.scan(disk.root)["delay"]
    for name in ("fare", "", ".", "..", "../repository", "delay/1", ".hidden", "file", "a\0b"):
        assert layout.find_model(disk.root, name) is None
    with pytest.raises(ServerError, match="cannot be read"):
        layout.find_model(disk.root / "nowhere", "delay")
