from __future__ import annotations

import threading
from pathlib import Path

import pytest

from penstock.bundle.placing import partial_file, partial_folder, place
from penstock.errors import BundleError


def test_a_folder_appears_whole_and_its_hidden_name_is_gone(tmp_path: Path) -> None:
    with partial_folder(tmp_path / "repository") as folder:
        assert folder.name.startswith(".")
        (folder / "file").write_text("1")
        path = place(folder, tmp_path / "repository", "delay", "3", overwrite=False)
    assert (path / "file").read_text() == "1"
    assert [p.name for p in (tmp_path / "repository").iterdir()] == ["delay"]


def test_nothing_is_left_of_a_folder_whose_making_failed(tmp_path: Path) -> None:
    def fail() -> None:
        with partial_folder(tmp_path) as folder:
            (folder / "file").write_text("1")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [True, False])
def test_a_version_in_the_way_is_kept_even_an_empty_one(tmp_path: Path, content: bool) -> None:
    old = tmp_path / "delay" / "3"
    old.mkdir(parents=True)
    if content:
        (old / "file").write_text("old")
    inode = old.stat().st_ino
    with partial_folder(tmp_path) as folder:
        (folder / "file").write_text("new")
        with pytest.raises(BundleError, match="exists already"):
            place(folder, tmp_path, "delay", "3", overwrite=False)
    assert old.stat().st_ino == inode


def test_replacing_is_one_step_for_those_who_look(tmp_path: Path) -> None:
    """A reader that opens the version again and again finds one at every moment."""

    def put(text: str) -> None:
        with partial_folder(tmp_path) as folder:
            (folder / "file").write_text(text)
            place(folder, tmp_path, "delay", "3", overwrite=True)

    put("0")
    gone: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            if not (tmp_path / "delay" / "3").exists():
                gone.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for i in range(50):
        put(str(i))
    stop.set()
    reader.join()
    assert gone == []
    assert (tmp_path / "delay" / "3" / "file").read_text() == "49"
    assert [p.name for p in tmp_path.iterdir()] == ["delay"]


def test_a_repository_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"), partial_folder(tmp_path / "file"):
        pass
    with pytest.raises(BundleError, match="cannot be written"), partial_file(tmp_path / "none" / "file"):
        pass


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with partial_file(tmp_path / "file") as out:
            out.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with partial_file(tmp_path / "file") as out:
        out.write(b"whole")
        assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_bytes() == b"whole"
