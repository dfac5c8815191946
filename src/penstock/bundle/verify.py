"""Verification: a bundle is exactly what its manifest says, and the manifest is one that this Penstock reads.

Nothing of the folder is trusted. Each file is opened relative to the folder's descriptor, without
following links, must be a regular file (see `regular_file`), and is read once: with `keep`, the bytes
that were hashed are the bytes that are loaded later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from penstock.bundle.manifest import FILE, Manifest, digest_of, parse_manifest
from penstock.bundle.regular_file import IrregularFileError, opened_regular, read_at_most
from penstock.bundle.sealed import SealedFile, copy_and_digest
from penstock.errors import BundleError, NotFoundError

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Limits:
    """How large a bundle may be."""

    manifest_bytes: int = 1 << 20
    files: int = 32  # beside the manifest
    file_bytes: int = 4 << 30
    total_bytes: int = 8 << 30


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle that agreed with its manifest. `files` is empty unless they were kept; close it then."""

    path: Path
    manifest: Manifest
    digest: str
    files: Mapping[str, SealedFile]

    def close(self) -> None:
        """Frees the files."""
        for file in self.files.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def verify_bundle(
    path: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    expected: tuple[str, str] | None = None,
    keep: bool = False,
    progress: Progress | None = None,
) -> VerifiedBundle:
    """Checks sizes, digests, and that nothing else lies in the folder.

    `expected` are the name and version that the bundle must have: one of others is refused before its files
    are read. Raises NotFoundError when there is no such folder, BundleError with one line that names the file
    otherwise.
    """
    folder = Path(path)
    with _opened_folder(folder) as directory, ExitStack() as undo:
        manifest, digest = _read_manifest(folder, directory, limits)
        if expected is not None and expected != (manifest.name, manifest.version):
            raise BundleError(
                f"{folder} holds the bundle {manifest.label}; expected one that was built as "
                f"{'/'.join(expected)}. Move it to its own place, or build it anew."
            )
        check_sizes(manifest, limits, str(folder))
        _refuse_unlisted(folder, directory, manifest)
        files: dict[str, SealedFile] = {}
        for name, entry in sorted(manifest.files.items()):
            if progress is not None:
                progress(f"{manifest.label}: verifying {name} ({entry.bytes} bytes)")
            with _opened_file(folder, directory, name) as source:
                size = os.fstat(source).st_size
                if size != entry.bytes:
                    raise BundleError(f"{folder}: {name} has {size} bytes; {FILE} says {entry.bytes}.")
                if keep:
                    file = undo.enter_context(SealedFile(name, source, entry.bytes))
                    sha256, count = file.sha256, file.size
                    files[name] = file
                else:
                    sha256, count = copy_and_digest(source, entry.bytes, None)
            if count != entry.bytes:
                raise BundleError(
                    f"{folder}: {name} changed its size while it was read; {FILE} says {entry.bytes} bytes."
                )
            if sha256 != entry.sha256:
                raise BundleError(
                    f"{folder}: {name} has the SHA-256 {sha256}; {FILE} says {entry.sha256}. "
                    f"It was altered or damaged."
                )
        undo.pop_all()
    return VerifiedBundle(folder, manifest, digest, MappingProxyType(files))


def check_sizes(manifest: Manifest, limits: Limits, where: str) -> None:
    """BundleError when the files that a manifest lists are too many or too large."""
    if len(manifest.files) > limits.files:
        raise BundleError(
            f"{where}: {FILE} lists {len(manifest.files)} files; at most {limits.files} are allowed."
        )
    for name, entry in manifest.files.items():
        if entry.bytes > limits.file_bytes:
            raise BundleError(
                f"{where}: {name} has {entry.bytes} bytes; a file may have at most {limits.file_bytes}."
            )
    total = sum(entry.bytes for entry in manifest.files.values())
    if total > limits.total_bytes:
        raise BundleError(f"{where}: its files have {total} bytes; at most {limits.total_bytes} are allowed.")


def _read_manifest(folder: Path, directory: int, limits: Limits) -> tuple[Manifest, str]:
    with _opened_file(folder, directory, FILE) as source:
        data = read_at_most(source, limits.manifest_bytes)
    if len(data) > limits.manifest_bytes:
        raise BundleError(
            f"{folder}: {FILE} has more than the {limits.manifest_bytes} bytes that are allowed."
        )
    try:
        return parse_manifest(data), digest_of(data)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error


def _refuse_unlisted(folder: Path, directory: int, manifest: Manifest) -> None:
    present = set(os.listdir(directory))
    for name in sorted(present - set(manifest.files) - {FILE}):
        raise BundleError(f"{folder}: holds {name!r}, which {FILE} does not list. Remove it.")
    for name in sorted(set(manifest.files) - present):
        raise BundleError(f"{folder}: {name} is missing; {FILE} lists it.")


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no bundle folder {folder}.") from error
    except NotADirectoryError as error:
        raise BundleError(
            f"{folder} is no folder. An archive is unpacked with `penstock bundle unpack`."
        ) from error
    except OSError as error:
        raise BundleError(f"{folder} cannot be read: {error.strerror}.") from error
    try:
        yield directory
    finally:
        os.close(directory)


@contextmanager
def _opened_file(folder: Path, directory: int, name: str) -> Iterator[int]:
    try:
        with opened_regular(name, directory=directory) as source:
            yield source
    except FileNotFoundError as error:
        if name == FILE:
            raise BundleError(f"{folder} holds no {FILE}: it is no bundle, or not all of one.") from error
        raise BundleError(f"{folder}: {name} is missing; {FILE} lists it.") from error
    except IrregularFileError as error:
        raise BundleError(f"{folder}: {name} {error}.") from error
    except OSError as error:  # opening it, or reading it
        raise BundleError(f"{folder}: {name} cannot be read: {error.strerror}.") from error
