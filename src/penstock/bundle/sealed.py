"""SealedFile: the bytes of one file, read once into memory that nobody can change afterwards.

Model libraries load from a path. Handing them the bundle's own path would let the file change between
its check and its load; they get the path of this copy instead, so what was verified is what is loaded.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from types import TracebackType
from typing import Self

_CHUNK = 1 << 20
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SealedFile:
    """An anonymous file (memfd_create(2)), sealed against writing. Close it, or use it in a `with`."""

    def __init__(self, name: str, source: int, size: int) -> None:
        """Reads at most `size` + 1 bytes of the open file descriptor `source`: one more tells that it
        is longer.
        """
        self._fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            self.sha256, self.size = copy_and_digest(source, size, self._fd)
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str:
        """A path by which this process can open the bytes while the object is open."""
        return f"/proc/self/fd/{self._fd}"

    def read(self) -> bytes:
        """All bytes."""
        pieces = []
        at = 0
        while piece := os.pread(self._fd, _CHUNK, at):
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Frees the memory, once those who opened `path` have closed it too."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()


def copy_and_digest(source: int, size: int, target: int | None) -> tuple[str, int]:
    """The SHA-256 and count of the next bytes of `source`, `size` + 1 at most; written to `target`
    where given.
    """
    digest = hashlib.sha256()
    count = 0
    while piece := os.read(source, min(_CHUNK, size + 1 - count)):
        digest.update(piece)
        count += len(piece)
        view = memoryview(piece)
        while target is not None and view:
            view = view[os.write(target, view) :]
    return digest.hexdigest(), count
