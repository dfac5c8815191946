"""Opening one file in a folder that is not trusted: it may be a FIFO, a link, a device, or without an end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class IrregularFileError(Exception):
    """Something else than a regular file stands there; the text says what: `is a FIFO; expected ...`."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"is a {kind}; expected a regular file")


@contextmanager
def opened_regular(
    name: str | Path, *, directory: int | None = None, follow_link: bool = False
) -> Iterator[int]:
    """A descriptor to read a regular file by. Never waits, and follows a link in the last part only if told.

    `name` is relative to the open `directory`, where one is given. Raises IrregularFileError; OSError where
    the file cannot be opened, FileNotFoundError where there is none.
    """
    # O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOFOLLOW: a link fails here with ELOOP.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_link else os.O_NOFOLLOW)
    try:
        source = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        kind = _kind_there(name, directory, follow_link)
        if kind:
            raise IrregularFileError(kind) from error
        raise
    try:
        kind = _kind(os.fstat(source).st_mode)
        if kind:
            raise IrregularFileError(kind)
        yield source
    finally:
        os.close(source)


def read_at_most(source: int, limit: int) -> bytes:
    """The file's bytes, `limit` + 1 of them at most: one more tells that it is longer."""
    pieces = []
    left = limit + 1
    while left and (piece := os.read(source, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _kind_there(name: str | Path, directory: int | None, follow_link: bool) -> str:
    try:
        return _kind(os.stat(name, dir_fd=directory, follow_symlinks=follow_link).st_mode)
    except OSError:
        return ""


def _kind(mode: int) -> str:
    """What it is, for people; "" for a regular file."""
    kinds = {
        stat.S_IFREG: "",
        stat.S_IFLNK: "link",
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "FIFO",
        stat.S_IFSOCK: "socket",
    }
    return kinds.get(stat.S_IFMT(mode), "device")
