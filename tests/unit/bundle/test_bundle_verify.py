from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_folders import FILES, write_folder

from penstock.bundle.sealed import SealedFile
from penstock.bundle.verify import Limits, verify_bundle
from penstock.errors import BundleError, NotFoundError


def refused(path: Path, **options: Limits) -> str:
    with pytest.raises(BundleError) as caught:
        verify_bundle(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_untouched_bundle_is_what_its_manifest_says(folder: Path) -> None:
    with verify_bundle(folder) as bundle:
        assert bundle.manifest.label == "delay/3"
        assert bundle.files == {}
        assert len(bundle.digest) == 64


def test_kept_files_are_the_bytes_that_were_verified_whatever_happens_to_the_folder(folder: Path) -> None:
    with verify_bundle(folder, keep=True) as bundle:
        (folder / "model.txt").write_bytes(b"something else")
        (folder / "golden.safetensors").unlink()
        assert {name: file.read() for name, file in bundle.files.items()} == FILES
        assert Path(bundle.files["model.txt"].path).read_bytes() == FILES["model.txt"]


def test_progress_names_each_file(folder: Path) -> None:
    lines: list[str] = []
    verify_bundle(folder, progress=lines.append)
    assert [name in line for name, line in zip(sorted(FILES), lines, strict=True)] == [True, True]


def test_a_changed_byte_is_found(folder: Path) -> None:
    data = bytearray(FILES["model.txt"])
    data[3] ^= 1
    (folder / "model.txt").write_bytes(data)
    message = refused(folder)
    assert "model.txt has the SHA-256" in message
    assert "altered or damaged" in message


@pytest.mark.parametrize("data", [b"", FILES["model.txt"][:-1], FILES["model.txt"] + b"x"])
def test_another_size_is_found_and_both_are_named(folder: Path, data: bytes) -> None:
    (folder / "model.txt").write_bytes(data)
    expected = len(FILES["model.txt"])
    assert f"model.txt has {len(data)} bytes; bundle.json says {expected}" in refused(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.txt").unlink()
    assert "model.txt is missing" in refused(folder)


def test_a_folder_without_a_manifest_is_no_bundle(folder: Path) -> None:
    (folder / "bundle.json").unlink()
    assert "holds no bundle.json" in refused(folder)


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no bundle folder"):
        verify_bundle(tmp_path / "nothing")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "is no folder" in refused(tmp_path / "file")


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "model.txt~"])
def test_a_file_that_is_not_listed_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    assert f"{name!r}, which bundle.json does not list" in refused(folder)


def test_a_folder_that_is_not_listed_is_refused(folder: Path) -> None:
    (folder / "more").mkdir()
    assert "'more', which bundle.json does not list" in refused(folder)


def as_link(path: Path) -> None:
    target = path.parent.parent / "outside"
    path.rename(target)
    path.symlink_to(target)


def as_link_to_sibling(path: Path) -> None:
    target = path.parent / "golden.safetensors"
    path.unlink()
    path.symlink_to(target.name)


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_socket(path: Path) -> None:
    path.unlink()
    there = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(there)


@pytest.mark.parametrize("name", ["model.txt", "bundle.json"])
@pytest.mark.parametrize("become", [as_link, as_link_to_sibling, as_fifo, as_folder, as_socket])
def test_only_regular_files_are_read(folder: Path, name: str, become: Callable[[Path], None]) -> None:
    become(folder / name)
    message = refused(folder)
    assert name in message
    assert "expected a regular file" in message


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(manifest_bytes=100), "bundle.json has more than the 100 bytes"),
        (Limits(files=1), "lists 2 files; at most 1 are allowed"),
        (Limits(file_bytes=50), "golden.safetensors has 100 bytes; a file may have at most 50"),
        (Limits(total_bytes=110), "its files have 120 bytes; at most 110 are allowed"),
    ],
)
def test_limits_are_held(folder: Path, limits: Limits, words: str) -> None:
    assert words in refused(folder, limits=limits)


def test_a_manifest_of_exactly_the_limit_is_read(folder: Path) -> None:
    size = (folder / "bundle.json").stat().st_size
    verify_bundle(folder, limits=Limits(manifest_bytes=size))
    refused(folder, limits=Limits(manifest_bytes=size - 1))


def test_a_damaged_manifest_names_the_folder(folder: Path) -> None:
    (folder / "bundle.json").write_bytes(b"{")
    assert str(folder) in refused(folder)


def test_the_folder_itself_may_be_reached_through_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    verify_bundle(tmp_path / "link")


def test_a_bundle_of_another_name_is_refused_before_its_files_are_read(folder: Path) -> None:
    verify_bundle(folder, expected=("delay", "3"))
    (folder / "model.txt").write_bytes(b"altered")
    for expected in (("delay", "4"), ("late", "3")):
        words = refused(folder, expected=expected)
        assert f"holds the bundle delay/3; expected one that was built as {'/'.join(expected)}" in words


def test_no_descriptor_is_left_open(folder: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    for _ in range(3):
        verify_bundle(folder, keep=True).close()
    (folder / "model.txt").write_bytes(b"x" * len(FILES["model.txt"]))
    for _ in range(3):
        refused(folder)
        with pytest.raises(BundleError):
            verify_bundle(folder, keep=True)
    assert opened() == before


def test_a_sealed_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    source = os.open(tmp_path / "file", os.O_RDONLY)
    with SealedFile("file", source, 3) as file:
        with pytest.raises(PermissionError):
            Path(file.path).write_bytes(b"xyz")
        assert file.read() == b"abc"
        assert file.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    os.close(source)


def test_a_file_that_grows_while_it_is_read_is_cut_after_one_byte_too_many(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    source = os.open(tmp_path / "file", os.O_RDONLY)
    with SealedFile("file", source, 3) as file:
        assert file.size == 4
    os.close(source)


def test_the_digest_is_the_manifests_bytes(tmp_path: Path) -> None:
    one = verify_bundle(write_folder(tmp_path / "a"))
    same = verify_bundle(write_folder(tmp_path / "b"))
    other = verify_bundle(write_folder(tmp_path / "c", max_rows=7))
    assert one.digest == same.digest != other.digest
