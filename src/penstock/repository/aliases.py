"""Aliases: names such as `stable` or `champion` for a model's versions, in REPOSITORY/<model>/aliases.json.

The file is one JSON object, {"champion": "2"}. It is always replaced whole, so a reader sees the old one or
the new one. Whoever reads it to write it again does so exclusively().
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from penstock.bundle.regular_file import IrregularFileError, opened_regular, read_at_most

FILE = "aliases.json"
STABLE = "stable"  # the alias that, where it is set, says which version answers when a caller names none
_LOCK = ".aliases.lock"  # stays, empty: a lock that goes away while somebody waits for it locks nothing
_LIMIT = 1 << 20  # bytes


def read(model_folder: Path) -> dict[str, str]:
    """The aliases of a model, {} without a file. ValueError names the file where it is not usable."""
    path = model_folder / FILE
    try:
        # A link is followed: deployments that mount single files make the file one.
        with opened_regular(path, follow_link=True) as source:
            data = read_at_most(source, _LIMIT)
        if len(data) > _LIMIT:
            raise ValueError(f"{path} has more than the {_LIMIT} bytes that are allowed")
    except FileNotFoundError:
        return {}
    except IrregularFileError as error:
        raise ValueError(f"{path} {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or not all(map(_usable, [*found, *found.values()])):
        raise ValueError(f'{path}: expected an object of alias to version, as in {{"champion": "2"}}')
    return found


@contextmanager
def exclusively(model_folder: Path) -> Iterator[None]:
    """Waits until nobody else changes the model's aliases, and keeps others out until the block ends.

    Raises OSError, as for a folder that may not be written.
    """
    with (model_folder / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        yield


def write(model_folder: Path, aliases: Mapping[str, str]) -> None:
    """Replaces the file in one step, and on disk before it returns. Raises OSError."""
    handle, temporary = tempfile.mkstemp(prefix=".aliases-", dir=model_folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(dict(sorted(aliases.items())), file, indent=2)
            file.write("\n")
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(model_folder / FILE)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _usable(name: object) -> bool:
    """Whether callers could send it: text, not empty, and no lone surrogates, which JSON can spell."""
    return isinstance(name, str) and name != "" and name.isprintable()
