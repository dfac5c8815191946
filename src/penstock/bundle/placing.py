"""Placing: files and folders that appear whole or not at all.

What is being written has a name that begins with a dot and ends in `.partial`, on the same file system
as its place; servers that watch a repository pass such names over. A rename then shows it. A process
killed before leaves only the hidden name behind.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from penstock.errors import BundleError

_AT_FDCWD = -100
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2  # linux/fs.h, for renameat2(2)


def _partial_name() -> str:
    return f".{secrets.token_hex(8)}.partial"


@contextmanager
def partial_folder(repository: Path) -> Iterator[Path]:
    """A hidden folder in `repository`, which is made when missing; removed at the end unless `place`
    took it.
    """
    try:
        repository.mkdir(parents=True, exist_ok=True)
        folder = repository / _partial_name()
        folder.mkdir()
    except OSError as error:
        raise BundleError(f"The repository {repository} cannot be written: {error.strerror}.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def partial_file(target: Path) -> Iterator[IO[bytes]]:
    """A hidden file beside `target`, renamed to it when the block ends well and removed when it does not."""
    path = target.parent / _partial_name()
    try:
        out = path.open("xb")
    except OSError as error:
        raise BundleError(f"{target} cannot be written: {error.strerror}.") from error
    try:
        with out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)
    sync_folder(target.parent)


def place(folder: Path, repository: Path, name: str, version: str, *, overwrite: bool) -> Path:
    """Moves a finished folder to `repository/name/version`, in one step that readers see as before or after.

    BundleError when that version exists and `overwrite` is false. With it, the two are exchanged and
    the old one is removed afterwards.
    """
    target = repository / name / version
    try:
        sync_folder(folder)
        target.parent.mkdir(exist_ok=True)
        try:
            _rename(folder, target, _RENAME_NOREPLACE)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if not overwrite:
                raise version_exists(target) from error
            _rename(folder, target, _RENAME_EXCHANGE)
        sync_folder(target.parent)
        sync_folder(repository)
    except OSError as error:
        hint = " This file system cannot replace folders in one step." if error.errno == errno.EINVAL else ""
        raise BundleError(f"{target} cannot be written: {error.strerror}.{hint}") from error
    return target


def version_exists(path: Path) -> BundleError:
    """The error to raise for a version that is there already."""
    return BundleError(
        f"{path} exists already. Versions do not change: give another one, or pass overwrite=True "
        "(--overwrite) to replace it."
    )


def sync_folder(path: Path) -> None:
    """Makes the names in a folder survive a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(source: Path, target: Path, flags: int) -> None:
    # Python's os.rename has no flags, and without them an empty folder in the way would be replaced silently.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source), None, str(target))
