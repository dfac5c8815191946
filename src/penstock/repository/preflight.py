"""What an operator should hear at the start: a folder that is no repository, settings that do not fit it.

The server would start all the same, serve nothing of what was meant, and call that ready.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

from penstock.bundle.manifest import FILE, Manifest, parse_manifest
from penstock.bundle.regular_file import IrregularFileError, opened_regular, read_at_most
from penstock.bundle.verify import DEFAULT_LIMITS
from penstock.config import ModelSection
from penstock.errors import BundleError, ServerError
from penstock.log import Event
from penstock.repository.layout import ModelFolder, model_folders
from penstock.repository.policy import version_order


def refuse_bundle(root: Path) -> None:
    """ServerError where the folder is itself a bundle; says which one to give instead."""
    if not (root / FILE).exists():
        return
    place = root.absolute()
    manifest = _manifest_in(root)
    if manifest is None or (manifest.name, manifest.version) == (place.parent.name, place.name):
        advice = f"Give the folder that holds <model>/<version>: --repository {place.parent.parent}"
    else:
        advice = f"Move it to REPOSITORY/{manifest.name}/{manifest.version} and give --repository REPOSITORY"
    raise ServerError(f"{root} is a bundle, not a repository of bundles. {advice}")


def mismatches(
    root: Path, folders: Mapping[str, ModelFolder], models: Mapping[str, ModelSection]
) -> Iterator[Event]:
    """One warning for each thing that does not fit. `folders` are those of a scan, `models` the settings'."""
    if not folders:
        yield _nothing_there(root)
    for name, section in models.items():
        folder = folders.get(name)
        if folder is None:
            close = difflib.get_close_matches(name, folders, n=1)
            there = (
                f"did you mean {close[0]}?" if close else f"it has: {', '.join(sorted(folders)) or 'none'}"
            )
            line = f"the configuration has [models.{name}], and the repository has no such model; {there}"
            yield Event("warning", line, model=name, reason="the repository has no such model")
        elif not isinstance(section.policy, str) and not folder.problem:
            absent = [version for version in section.policy if version not in folder.versions]
            if absent:
                there = ", ".join(sorted(folder.versions, key=version_order)) or "none"
                line = (
                    f"{name}: the configuration's policy names version{'s' if len(absent) > 1 else ''} "
                    f"{', '.join(absent)}, and the repository has: {there}"
                )
                yield Event(
                    "warning", line, model=name, reason="the policy names absent versions", absent=absent
                )


def _nothing_there(root: Path) -> Event:
    if any((folder / FILE).exists() for folder in model_folders(root)):
        hint = (
            f"It looks like one model's folder: give the one above it, --repository {root.absolute().parent}"
        )
    else:
        hint = "Bundles are REPOSITORY/<model>/<version>, as `penstock bundle build` writes them"
    line = f"the repository {root} holds no bundles, so nothing is served. {hint}"
    return Event("warning", line, reason="the repository holds no bundles")


def _manifest_in(folder: Path) -> Manifest | None:
    try:
        with opened_regular(folder / FILE) as source:
            return parse_manifest(read_at_most(source, DEFAULT_LIMITS.manifest_bytes))
    except (OSError, IrregularFileError, BundleError):
        return None
