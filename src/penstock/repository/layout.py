"""What lies in a repository on disk: REPOSITORY/<model>/<version>/bundle.json beside the files that it lists.

Reading here is shallow on purpose: it tells whether a folder is complete and whether it changed, from names,
sizes and times. What the files hold is checked when the bundle is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from penstock.bundle.manifest import FILE, NAME
from penstock.bundle.regular_file import IrregularFileError, opened_regular, read_at_most
from penstock.bundle.verify import DEFAULT_LIMITS, Limits
from penstock.errors import ServerError
from penstock.repository import aliases

_TEMPORARY = (".tmp", ".part", ".partial", "~")

Stamp = tuple[tuple[str, int, int, int], ...]  # path, size, mtime in ns, inode


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A version's folder as a scan found it."""

    model: str
    version: str
    path: Path
    digest: str  # SHA-256 of bundle.json, in hex: the version's identity; "" where it is not fit to be read
    stamp: Stamp  # changes whenever a file of the bundle is written again
    incomplete: str = ""  # what is missing or of another size than bundle.json says; "": nothing
    waits: bool = False  # incomplete, and not to be tried before it is whole; a scan never says so


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's folder: its versions by name, and the aliases that its file gives."""

    name: str
    versions: dict[str, VersionFolder] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    problem: str = ""  # why the folder or its aliases could not be read, so that what was known must stand


def scan(root: Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, ModelFolder]:
    """All models of a repository by name. Raises ServerError where the folder itself cannot be read."""
    return {path.name: scan_model(path, limits) for path in model_folders(root)}


def find_model(root: Path, name: str, limits: Limits = DEFAULT_LIMITS) -> ModelFolder | None:
    """One model of a repository, None where it has no folder. `name` may be any text. Raises as scan()."""
    return next((scan_model(path, limits) for path in model_folders(root) if path.name == name), None)


def model_folders(root: Path) -> list[Path]:
    """The folders that stand for models, whatever they hold. Raises ServerError as scan() does."""
    try:
        return _folders(root)
    except OSError as error:
        raise ServerError(
            f"the repository {root} cannot be read: {error.strerror}. Name a folder with --repository."
        ) from error


def scan_model(path: Path, limits: Limits = DEFAULT_LIMITS) -> ModelFolder:
    """One model's folder. What cannot be read is told in `problem`, never raised."""
    versions: dict[str, VersionFolder] = {}
    try:
        for folder in _folders(path):
            found = _scan_version(path.name, folder, limits)
            if found is not None:
                versions[found.version] = found
    except OSError as error:
        return ModelFolder(path.name, problem=f"{path} cannot be read: {error.strerror}")
    try:
        return ModelFolder(path.name, versions, aliases.read(path))
    except ValueError as error:
        return ModelFolder(path.name, versions, problem=str(error))


def _folders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return [
            path / name for name in sorted(e.name for e in entries if not _ignored(e.name) and _is_folder(e))
        ]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, or to where this process may not look
        return False


def _ignored(name: str) -> bool:
    # What is not printable, a name that is not UTF-8 among it, no caller could send.
    return name.startswith(".") or name.endswith(_TEMPORARY) or not name.isprintable()


def _scan_version(model: str, path: Path, limits: Limits) -> VersionFolder | None:
    """The folder, or None for one without a manifest: that is the file a builder writes last.

    A manifest that is not fit to be read (a FIFO, a link, too large) makes a folder that is complete, for the
    loader to refuse with its reason.
    """
    manifest = path / FILE
    try:
        with opened_regular(manifest) as source:
            stamps = [_stamp(FILE, os.fstat(source))]
            data = read_at_most(source, limits.manifest_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IrregularFileError:
        return VersionFolder(model, path.name, path, "", _irregular_stamp(manifest))
    except OSError as error:
        return VersionFolder(model, path.name, path, "", (), f"{FILE} cannot be read: {error.strerror}")
    if len(data) > limits.manifest_bytes:
        return VersionFolder(model, path.name, path, "", tuple(stamps))
    incomplete = ""
    for name, size in _listed_files(data, limits.files):
        try:
            info = (path / name).lstat()
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            why = f"{name} is missing" if gone else f"{name} cannot be read: {error.strerror}"
            incomplete = incomplete or why
            continue
        stamps.append(_stamp(name, info))
        # What is no regular file has no size to compare: the loader refuses it.
        if stat.S_ISREG(info.st_mode) and size is not None and info.st_size != size:
            incomplete = incomplete or f"{name} has {info.st_size} bytes, {FILE} says {size}"
    return VersionFolder(model, path.name, path, hashlib.sha256(data).hexdigest(), tuple(stamps), incomplete)


def _stamp(name: str, info: os.stat_result) -> tuple[str, int, int, int]:
    return name, info.st_size, info.st_mtime_ns, info.st_ino


def _irregular_stamp(manifest: Path) -> Stamp:
    try:
        return (_stamp(FILE, manifest.lstat()),)
    except OSError:  # gone again
        return ()


def _listed_files(manifest: bytes, most: int) -> list[tuple[str, int | None]]:
    """Names and sizes of the files that a manifest lists. None where loading refuses it for what it lists."""
    try:
        listed = json.loads(manifest)["files"]
        files = [(name, entry["bytes"]) for name, entry in listed.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    # Other names could lead out of the folder, and too many would hold up the scan.
    return files if len(files) <= most and all(NAME.fullmatch(name) for name, _ in files) else []
