"""The machine code of custom transforms on disk, by the hash of all that it follows from.

Whoever can write here can run code in every process that reads here. So the folder must be this user's
alone, and so must each file; a folder of anybody else is not used. What is damaged, missing or cannot be
written costs time only. Any number of processes may read and write at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

VARIABLE = "PENSTOCK_CACHE_DIR"
_FOLDER = "custom-transforms"
_MAGIC = b"penstock code 1\n"
_LIMIT = 64 << 20
_log = logging.getLogger("penstock.transforms")


def folder() -> Path:
    """Where the code lies: below $PENSTOCK_CACHE_DIR, or else where XDG's specification has caches."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given) / _FOLDER
    # https://specifications.freedesktop.org/basedir/latest/: relative paths are to be ignored
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path("~/.cache").expanduser()) / "penstock" / _FOLDER


def read(key: str) -> bytes | None:
    """The content of that key; None where there is none that can be trusted to be whole."""
    try:
        with _opened(folder(), create=False) as directory:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hold us
            number = os.open(key, flags, dir_fd=directory)
            with os.fdopen(number, "rb") as file:
                status = os.fstat(number)
                _refuse_others(status, key)
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(f"{key} is no file")
                stored = file.read(_LIMIT)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:
        _warn(f"{folder()}: {error}")
        return None
    content = stored[len(_MAGIC) + 32 :]
    return content if stored == _sealed(key, content) else None


def write(key: str, content: bytes) -> None:
    """Keeps the content for other processes; they see all of it or nothing."""
    name = f"{key}.{secrets.token_hex(8)}.part"
    try:
        with _opened(folder(), create=True) as directory:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            number = os.open(name, flags, 0o600, dir_fd=directory)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(_sealed(key, content))
                os.replace(name, key, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)
                raise
    except (OSError, RuntimeError) as error:
        _warn(f"{folder()}: {error}")


def _sealed(key: str, content: bytes) -> bytes:
    """With what tells a damaged file, or one under another's name."""
    return _MAGIC + hashlib.sha256(key.encode() + content).digest() + content


@contextmanager
def _opened(path: Path, *, create: bool) -> Iterator[int]:
    if create:
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(0o700)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _refuse_others(os.fstat(directory), "the folder")
        yield directory
    finally:
        os.close(directory)


def _refuse_others(status: os.stat_result, what: str) -> None:
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(
            f"{what} is of user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}; "
            f"expected user {os.geteuid()} and nobody else"
        )


@cache
def _warn(message: str) -> None:
    """Once a process."""
    _log.warning(
        "custom transforms are compiled anew in each process, since their cache cannot be used: %s; "
        "%s names another folder",
        message,
        VARIABLE,
    )
