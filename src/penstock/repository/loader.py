"""From a version's folder to something that serves: the bundle's own checks, under the server's settings."""

from __future__ import annotations

from collections.abc import Callable

from penstock.bundle.loading import open_bundle
from penstock.bundle.verify import Limits
from penstock.config import ModelSection
from penstock.errors import BundleError
from penstock.repository.layout import VersionFolder
from penstock.repository.states import Loaded


class BundleLoader:
    """Loads bundles. Called from several threads at once."""

    def __init__(self, limits: Limits, settings: Callable[[str], ModelSection]) -> None:
        self._limits = limits
        self._settings = settings

    def __call__(self, folder: VersionFolder) -> Loaded:
        """Verified, compared, warm. Raises what open_bundle raises; BundleError for a bundle out of place."""
        loaded = open_bundle(folder.path, limits=self._limits, overrides=self._settings(folder.model).options)
        stated = (loaded.manifest.name, loaded.manifest.version)
        if stated != (folder.model, folder.version):
            # A caller would be told that another model answered than the one that was asked for.
            raise BundleError(
                f"{folder.path} holds the bundle {stated[0]}/{stated[1]}; expected one that was built as "
                f"{folder.model}/{folder.version}. Move it to its own place, or build it anew."
            )
        return loaded
