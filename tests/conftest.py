"""What tests of the whole server share: a repository of real bundles, and real servers on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sample_bundles import MODEL_SETTINGS, Samples
from server_process import ServerProcess, StartServer


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' cache of compiled code, so that they neither use nor fill the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Not to be changed: tests that do, work on a copy."""
    return Samples(tmp_path_factory.mktemp("samples") / "repository")


@pytest.fixture(scope="session")
def server(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests that only ask."""
    folder = tmp_path_factory.mktemp("server")
    with ServerProcess(samples.path, settings=MODEL_SETTINGS, folder=folder) as process:
        yield process


@pytest.fixture
def start_server(samples: Samples, tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers of a test's own; they are ended, and must end well, behind the test."""
    with ExitStack() as stack:

        def start(repository: Path = samples.path, *options: str, **more: Any) -> ServerProcess:
            more.setdefault("settings", MODEL_SETTINGS)
            more.setdefault("folder", tmp_path)
            return stack.enter_context(ServerProcess(repository, *options, **more))

        yield start
