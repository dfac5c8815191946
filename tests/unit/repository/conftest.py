from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_world import DiskRepository, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "repository")
    yield made
    for gate in made.loader.gates.values():
        gate.set()
    made.lifecycle.close()


@pytest.fixture
def disk(tmp_path: Path) -> DiskRepository:
    return DiskRepository(tmp_path / "repository")
