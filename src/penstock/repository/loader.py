"""From a version's folder to something that serves: the bundle's own checks, under the server's settings."""

from __future__ import annotations

from collections.abc import Callable

from penstock.bundle.loading import Serving, open_bundle
from penstock.bundle.verify import Limits
from penstock.config import ModelSection, PoolSection
from penstock.repository.layout import VersionFolder
from penstock.repository.states import Loaded


class BundleLoader:
    """Loads bundles. Called from several threads at once."""

    def __init__(
        self,
        limits: Limits,
        settings: Callable[[str], ModelSection],
        *,
        allow_custom: bool = False,
        pool: PoolSection | None = None,
    ) -> None:
        """`allow_custom`: whether the bundles' custom transforms, which are code, may run. `pool`: what the
        server has for requests that would hold up its loops.
        """
        self._limits = limits
        self._pool = pool or PoolSection()
        self._settings = settings
        self._allow_custom = allow_custom

    def __call__(self, folder: VersionFolder) -> Loaded:
        """Verified, compared, warm. Raises what open_bundle raises."""
        settings = self._settings(folder.model)
        return open_bundle(
            folder.path,
            limits=self._limits,
            overrides=settings.options,
            # Else a caller would be told that another model answered than the one that was asked for.
            expected=(folder.model, folder.version),
            allow_custom=self._allow_custom,
            serving=Serving(self._pool, settings.scheduling),
        )
