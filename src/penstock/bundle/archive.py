"""A bundle as one file: a gzip-compressed tar of plain files, `bundle.json` first.

The tar is POSIX ustar and holds regular files only, in a fixed order with fixed times and owners, so
packing twice gives the same bytes. Gzip (time 0, no name) because text models shrink three- to fourfold
and every system opens it; what proves that two archives hold the same version is the digest inside, not
the archive's own bytes.

Reading trusts nothing. The manifest comes first and is checked; from then on only the files that it
lists are taken, each once and with exactly its size, so no more can come out of an archive than its
manifest admits to, whatever the compressed bytes expand to. Headers are read one at a time: no
extension, link, device or folder is followed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from penstock.bundle.manifest import FILE, Manifest, digest_of, parse_manifest
from penstock.bundle.placing import partial_file, partial_folder, place
from penstock.bundle.regular_file import IrregularFileError, opened_regular
from penstock.bundle.verify import DEFAULT_LIMITS, Limits, Progress, check_sizes, verify_bundle
from penstock.errors import BundleError, NotFoundError

SUFFIX = ".penstock"
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
# Zeros after the end mark: tar programs fill up to a record of 20 blocks, some to larger ones.
_PADDING_LIMIT = 1 << 20


def pack(
    path: str | os.PathLike[str],
    archive: str | os.PathLike[str] | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Verifies a bundle's folder and writes it as one file, `<name>-<version>.penstock` in the working
    folder by default.

    The file appears whole or not at all. BundleError when it exists and `overwrite` is not given.
    """
    with verify_bundle(path, limits=limits, keep=True, progress=progress) as bundle:
        manifest = bundle.manifest
        target = Path(archive) if archive is not None else Path(f"{manifest.name}-{manifest.version}{SUFFIX}")
        if target.exists() and not overwrite:
            raise BundleError(f"{target} exists already. Pass overwrite=True (--overwrite) to replace it.")
        data = (Path(path) / FILE).read_bytes()
        if digest_of(data) != bundle.digest:
            raise BundleError(f"{path}: {FILE} changed while it was packed. Try again.")
        with partial_file(target) as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as compressed:
            _write_entry(compressed, FILE, len(data), io.BytesIO(data))
            for name, file in sorted(bundle.files.items()):
                if progress is not None:
                    progress(f"{manifest.label}: packing {name}")
                with Path(file.path).open("rb") as source:
                    _write_entry(compressed, name, file.size, source)
            compressed.write(bytes(2 * _BLOCK))
    return target


def unpack(
    archive: str | os.PathLike[str],
    repository: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Unpacks into `repository/<name>/<version>` and returns that folder; it appears only after it was
    verified.

    Raises NotFoundError for no such archive, BundleError for one that is damaged, hostile or too large,
    or whose version exists already (without `overwrite`).
    """
    source = Path(archive)
    with _opened(source) as file, partial_folder(Path(repository)) as folder:
        with _explained(source), gzip.GzipFile(fileobj=file, mode="rb") as plain:
            manifest = _extract(cast(BinaryIO, plain), folder, limits, progress)
        verify_bundle(folder, limits=limits)
        return place(folder, Path(repository), manifest.name, manifest.version, overwrite=overwrite)


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    with ExitStack() as closing:
        try:
            descriptor = closing.enter_context(opened_regular(source, follow_link=True))
        except FileNotFoundError as error:
            raise NotFoundError(f"There is no archive {source}.") from error
        except IrregularFileError as error:
            raise BundleError(f"{source} {error}, an archive that `penstock bundle pack` wrote.") from error
        except OSError as error:
            raise BundleError(f"{source} cannot be read: {error.strerror}.") from error
        yield closing.enter_context(os.fdopen(descriptor, "rb", closefd=False))


@contextmanager
def _explained(source: Path) -> Iterator[None]:
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{source}: {error}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.HeaderError, UnicodeError) as error:
        raise BundleError(f"{source} is no bundle archive, or is damaged: {error}.") from error


def _extract(plain: BinaryIO, folder: Path, limits: Limits, progress: Progress | None) -> Manifest:
    first = _next_header(plain)
    if first is None or first.name != FILE:
        raise BundleError(f"begins with {first.name if first else 'nothing'!r}; expected {FILE} first.")
    if first.size > limits.manifest_bytes:
        raise BundleError(f"{FILE} has {first.size} bytes; at most {limits.manifest_bytes} are allowed.")
    data = _exactly(plain, first.size)
    _skip_padding(plain, first.size)
    manifest = parse_manifest(data)
    check_sizes(manifest, limits, "the manifest")
    _write_synced(folder / FILE, [data])
    left = dict(manifest.files)
    while (header := _next_header(plain)) is not None:
        entry = left.pop(header.name, None)
        if entry is None:
            again = header.name in manifest.files or header.name == FILE
            reason = "stands in it twice" if again else f"is not listed in {FILE}"
            raise BundleError(f"{header.name!r} {reason}.")
        if header.size != entry.bytes:
            raise BundleError(f"{header.name} has {header.size} bytes; {FILE} says {entry.bytes}.")
        if progress is not None:
            progress(f"{manifest.label}: unpacking {header.name}")
        digest = hashlib.sha256()
        _write_synced(folder / header.name, _pieces(plain, header.size, digest.update))
        _skip_padding(plain, header.size)
        if digest.hexdigest() != entry.sha256:
            raise BundleError(f"{header.name} has another SHA-256 than {FILE} says: altered or damaged.")
    if left:
        raise BundleError(f"{min(left)} is missing; {FILE} lists it.")
    _expect_end(plain)
    return manifest


def _next_header(plain: BinaryIO) -> tarfile.TarInfo | None:
    block = plain.read(_BLOCK)
    if len(block) == _BLOCK and not any(block):
        return None
    # frombuf reads this one block and checks its sum: extensions, which could name a link or a size,
    # are not followed.
    header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise BundleError(f"{header.name!r} is no regular file (tar type {header.type!r}).")
    if header.size < 0:
        raise BundleError(f"{header.name!r} has a negative size.")
    return header


def _pieces(plain: BinaryIO, size: int, seen: Callable[[bytes], object]) -> Iterator[bytes]:
    while size:
        piece = plain.read(min(size, _CHUNK))
        if not piece:
            raise EOFError("it ends in the middle of a file")
        size -= len(piece)
        seen(piece)
        yield piece


def _exactly(plain: BinaryIO, size: int) -> bytes:
    return b"".join(_pieces(plain, size, len))


def _skip_padding(plain: BinaryIO, size: int) -> None:
    _exactly(plain, -size % _BLOCK)


def _expect_end(plain: BinaryIO) -> None:
    rest = plain.read(_PADDING_LIMIT)
    if any(rest) or plain.read(1):
        raise BundleError("has more bytes behind its end mark.")


def _write_entry(out: gzip.GzipFile, name: str, size: int, source: IO[bytes]) -> None:
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o644
    out.write(header.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict"))
    while piece := source.read(_CHUNK):
        out.write(piece)
    out.write(bytes(-size % _BLOCK))


def _write_synced(path: Path, pieces: Iterator[bytes] | list[bytes]) -> None:
    with path.open("xb") as out:
        out.writelines(pieces)
        out.flush()
        os.fsync(out.fileno())
