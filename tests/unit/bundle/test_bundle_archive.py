from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from bundle_folders import FILES, write_folder

from penstock.bundle.archive import pack, unpack
from penstock.bundle.verify import Limits, verify_bundle
from penstock.errors import BundleError, NotFoundError

Entry = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    return pack(folder, tmp_path / "delay.penstock")


def entries(packed: Path) -> list[Entry]:
    with tarfile.open(packed) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def write(path: Path, members: list[Entry], tail: bytes = bytes(1024)) -> Path:
    with gzip.open(path, "wb") as out:
        for info, data in members:
            out.write(info.tobuf(tarfile.PAX_FORMAT))
            out.write(data + bytes(-len(data) % 512))
        out.write(tail)
    return path


def named(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def refused(archive: Path, repository: Path, **options: Limits) -> str:
    with pytest.raises(BundleError) as caught:
        unpack(archive, repository, **options)
    assert "\n" not in str(caught.value)
    # Nothing is left, neither in the repository nor beside it.
    assert not repository.exists() or list(repository.iterdir()) == []
    return str(caught.value)


def test_what_is_packed_unpacks_to_the_same_version(folder: Path, packed: Path, tmp_path: Path) -> None:
    path = unpack(packed, tmp_path / "other")
    assert path == tmp_path / "other" / "delay" / "3"
    assert verify_bundle(path).digest == verify_bundle(folder).digest
    assert {p.name: p.read_bytes() for p in path.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }


def test_packing_twice_gives_the_same_bytes(folder: Path, packed: Path, tmp_path: Path) -> None:
    os.utime(folder / "model.txt", (1, 1))
    (folder / "model.txt").chmod(0o600)
    assert pack(folder, tmp_path / "again").read_bytes() == packed.read_bytes()


def test_any_tar_program_reads_an_archive(packed: Path) -> None:
    assert [info.name for info, _ in entries(packed)] == ["bundle.json", "golden.safetensors", "model.txt"]
    assert {info.name: data for info, data in entries(packed)[1:]} == FILES


def test_an_altered_bundle_is_not_packed(folder: Path, tmp_path: Path) -> None:
    (folder / "model.txt").write_bytes(b"")
    with pytest.raises(BundleError, match=r"model\.txt"):
        pack(folder, tmp_path / "archive")
    assert not (tmp_path / "archive").exists()


def test_an_existing_archive_is_kept_unless_told_otherwise(folder: Path, packed: Path) -> None:
    with pytest.raises(BundleError, match="exists already"):
        pack(folder, packed)
    assert pack(folder, packed, overwrite=True) == packed


def test_an_existing_version_is_kept_unless_told_otherwise(
    folder: Path, packed: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    inode = folder.stat().st_ino
    with pytest.raises(BundleError, match="exists already"):
        unpack(packed, repository)
    assert folder.stat().st_ino == inode
    unpack(packed, repository, overwrite=True)
    assert folder.stat().st_ino != inode
    assert [p.name for p in repository.iterdir()] == ["delay"]


def test_a_missing_archive_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no archive"):
        unpack(tmp_path / "nothing", tmp_path / "repository")


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "delay/3/model.txt", "..", "model.txt/", "./model.txt"]
)
def test_a_path_out_of_the_bundle_is_refused(packed: Path, tmp_path: Path, name: str) -> None:
    manifest, golden, model = entries(packed)
    archive = write(tmp_path / "evil", [manifest, golden, named(name, model[1])])
    refused(archive, tmp_path / "new")
    assert not (tmp_path / "evil_file").exists()


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "golden.safetensors"),
        (tarfile.LNKTYPE, "golden.safetensors"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.DIRTYPE, ""),
        (tarfile.GNUTYPE_SPARSE, ""),
        (tarfile.GNUTYPE_LONGNAME, ""),
        (tarfile.XHDTYPE, ""),
        (tarfile.XGLTYPE, ""),
    ],
)
def test_only_regular_files_come_out(packed: Path, tmp_path: Path, kind: bytes, link: str) -> None:
    manifest, golden, _ = entries(packed)
    archive = write(tmp_path / "evil", [manifest, golden, named("model.txt", b"", kind, link)])
    assert "'model.txt' is no regular file" in refused(archive, tmp_path / "new")


def test_a_file_that_stands_twice_is_refused(packed: Path, tmp_path: Path) -> None:
    manifest, golden, model = entries(packed)
    for doubled in (model, manifest):
        archive = write(tmp_path / "evil", [manifest, golden, model, doubled])
        assert "stands in it twice" in refused(archive, tmp_path / "new")


def test_a_file_that_is_not_listed_is_refused(packed: Path, tmp_path: Path) -> None:
    archive = write(tmp_path / "evil", [*entries(packed), named("extra", b"x")])
    assert "'extra' is not listed" in refused(archive, tmp_path / "new")


def test_a_missing_file_is_named(packed: Path, tmp_path: Path) -> None:
    assert "model.txt is missing" in refused(write(tmp_path / "evil", entries(packed)[:2]), tmp_path / "new")


def test_another_size_or_content_is_refused(packed: Path, tmp_path: Path) -> None:
    manifest, golden, model = entries(packed)
    longer = write(tmp_path / "longer", [manifest, golden, named("model.txt", model[1] + b"x")])
    assert "model.txt has 21 bytes; bundle.json says 20" in refused(longer, tmp_path / "new")
    other = write(tmp_path / "other", [manifest, golden, named("model.txt", b"x" * len(model[1]))])
    assert "model.txt has another SHA-256" in refused(other, tmp_path / "new")


def test_the_manifest_must_come_first(packed: Path, tmp_path: Path) -> None:
    archive = write(tmp_path / "evil", entries(packed)[::-1])
    assert "begins with 'model.txt'; expected bundle.json first" in refused(archive, tmp_path / "new")


def test_bytes_behind_the_end_are_refused(packed: Path, tmp_path: Path) -> None:
    archive = write(tmp_path / "evil", entries(packed), tail=bytes(1024) + b"more")
    assert "more bytes behind its end" in refused(archive, tmp_path / "new")
    archive = write(tmp_path / "endless", entries(packed), tail=bytes(64 << 20))
    assert "more bytes behind its end" in refused(archive, tmp_path / "new")


def bomb_in_manifest(members: list[Entry]) -> list[Entry]:
    return [named("bundle.json", bytes(256 << 20)), *members[1:]]


def bomb_in_file(members: list[Entry]) -> list[Entry]:
    return [members[0], named("model.txt", bytes(256 << 20))]


def bomb_in_extension(members: list[Entry]) -> list[Entry]:
    return [members[0], named("././@PaxHeader", bytes(256 << 20), tarfile.XHDTYPE)]


@pytest.mark.parametrize("bomb", [bomb_in_manifest, bomb_in_file, bomb_in_extension])
def test_a_decompression_bomb_is_refused_before_it_expands(
    packed: Path, tmp_path: Path, bomb: Callable[[list[Entry]], list[Entry]]
) -> None:
    archive = write(tmp_path / "bomb", bomb(entries(packed)))
    assert archive.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        refused(archive, tmp_path / "new")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_what_a_manifest_admits_to_is_held_to_the_limits(tmp_path: Path) -> None:
    content = bytes(1 << 20)
    folder = write_folder(tmp_path / "large", {**FILES, "model.txt": content})
    archive = pack(folder, tmp_path / "archive")
    words = refused(archive, tmp_path / "new", limits=Limits(file_bytes=1 << 19))
    assert "model.txt has 1048576 bytes; a file may have at most 524288" in words
    words = refused(archive, tmp_path / "new", limits=Limits(total_bytes=1 << 20))
    assert "at most 1048576 are allowed" in words


def test_every_cut_and_every_flipped_bit_is_refused(packed: Path, tmp_path: Path) -> None:
    data = packed.read_bytes()
    content = gzip.decompress(data)
    archive = tmp_path / "damaged"
    for cut in range(0, len(data), 7):
        archive.write_bytes(data[:cut])
        refused(archive, tmp_path / "new")
    for at in range(10, len(data), 5):
        changed = bytearray(data)
        changed[at] ^= 0x10
        archive.write_bytes(changed)
        with suppress(OSError, EOFError, zlib.error):
            if gzip.decompress(bytes(changed)) == content:  # a bit that says nothing, where a block ends
                continue
        refused(archive, tmp_path / "new")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x1f\x8b", os.urandom(2000), gzip.compress(b"abc")])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    assert "is no bundle archive, or is damaged" in refused(tmp_path / "file", tmp_path / "new")


def test_only_a_regular_file_is_opened_and_none_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "fifo is a FIFO; expected a regular file" in refused(tmp_path / "fifo", tmp_path / "new")
    assert "is a folder; expected a regular file" in refused(tmp_path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_archive_may_be_reached_through_a_link(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(packed)
    assert unpack(tmp_path / "link", tmp_path / "new") == tmp_path / "new" / "delay" / "3"


def test_a_negative_size_is_refused(packed: Path, tmp_path: Path) -> None:
    manifest, golden, model = entries(packed)
    block = bytearray(model[0].tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12  # -1 in base 256
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    out = io.BytesIO()
    for info, data in (manifest, golden):
        out.write(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512))
    (tmp_path / "evil").write_bytes(gzip.compress(out.getvalue() + bytes(block) + bytes(1024)))
    assert "negative size" in refused(tmp_path / "evil", tmp_path / "new")


def test_the_archive_is_smaller_than_its_files(tmp_path: Path) -> None:
    text = b"".join(b"leaf_value=%d.%d\n" % (i, i * 7) for i in range(20_000))
    folder = write_folder(tmp_path / "text", {**FILES, "model.txt": text})
    assert pack(folder, tmp_path / "archive").stat().st_size < len(text) / 3
    assert hashlib.sha256(text).hexdigest() in (folder / "bundle.json").read_text()
