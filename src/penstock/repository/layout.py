"""What lies in a repository on disk: REPOSITORY/<model>/<version>/bundle.json beside the files that it lists.

Reading here is shallow on purpose: it tells whether a folder is complete and whether it changed, from names,
sizes and times. What the files hold is checked when the bundle is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from penstock.errors import ServerError
from penstock.repository import aliases

MANIFEST = "bundle.json"
_TEMPORARY = (".tmp", ".part", ".partial", "~")

Stamp = tuple[tuple[str, int, int, int], ...]  # path, size, mtime in ns, inode


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A version's folder as a scan found it."""

    model: str
    version: str
    path: Path
    digest: str  # SHA-256 of bundle.json, in hex: the version's identity
    stamp: Stamp  # changes whenever a file of the bundle is written again
    incomplete: str = ""  # what is missing or of another size than bundle.json says; "": nothing


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's folder: its versions by name, and the aliases that its file gives."""

    name: str
    versions: dict[str, VersionFolder] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    problem: str = ""  # why the folder or its aliases could not be read, so that what was known must stand


def scan(root: Path) -> dict[str, ModelFolder]:
    """All models of a repository by name. Raises ServerError where the folder itself cannot be read."""
    try:
        return {folder.name: scan_model(folder) for folder in _folders(root)}
    except OSError as error:
        raise ServerError(
            f"the repository {root} cannot be read: {error.strerror}. Name a folder with --repository."
        ) from error


def scan_model(path: Path) -> ModelFolder:
    """One model's folder. What cannot be read is told in `problem`, never raised."""
    versions: dict[str, VersionFolder] = {}
    try:
        for folder in _folders(path):
            found = _scan_version(path.name, folder)
            if found is not None:
                versions[found.version] = found
    except OSError as error:
        return ModelFolder(path.name, problem=f"{path} cannot be read: {error.strerror}")
    try:
        return ModelFolder(path.name, versions, aliases.read(path))
    except ValueError as error:
        return ModelFolder(path.name, versions, problem=str(error))


def _folders(path: Path) -> Iterator[Path]:
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if not _ignored(entry.name) and entry.is_dir())
    return (path / name for name in names)


def _ignored(name: str) -> bool:
    # What is not printable, a name that is not UTF-8 among it, no caller could send.
    return name.startswith(".") or name.endswith(_TEMPORARY) or not name.isprintable()


def _scan_version(model: str, path: Path) -> VersionFolder | None:
    """The folder, or None for one without a manifest: that is the file a builder writes last."""
    manifest = path / MANIFEST
    try:
        data = manifest.read_bytes()
        stamps = [_stamp(MANIFEST, manifest)]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return VersionFolder(model, path.name, path, "", (), f"{MANIFEST} cannot be read: {error.strerror}")
    incomplete = ""
    for name, size in _listed_files(data):
        try:
            found = _stamp(name, path / name)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            incomplete = incomplete or f"{name} cannot be read: {reason}"
            continue
        stamps.append(found)
        if size is not None and found[1] != size:
            incomplete = incomplete or f"{name} has {found[1]} bytes, {MANIFEST} says {size}"
    return VersionFolder(model, path.name, path, hashlib.sha256(data).hexdigest(), tuple(stamps), incomplete)


def _stamp(name: str, path: Path) -> tuple[str, int, int, int]:
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise ValueError("not a regular file")
    return name, info.st_size, info.st_mtime_ns, info.st_ino


def _listed_files(manifest: bytes) -> list[tuple[str, int | None]]:
    """Names and sizes of the files that a manifest lists. None where it is none: loading says so."""
    try:
        listed = json.loads(manifest)["files"]
        return [(str(name), entry["bytes"]) for name, entry in listed.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
