from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from disk_world import DiskRepository, World

from penstock.repository import layout


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path / "repository")
    really_scan, really_list = layout.scan_model, layout.model_folders

    def scan_model(path: Path, *limits: Any) -> layout.ModelFolder:
        made.looks.append(path)
        return really_scan(path, *limits)

    def model_folders(root: Path) -> list[Path]:
        made.looks.append(root)
        return really_list(root)

    monkeypatch.setattr(layout, "scan_model", scan_model)
    monkeypatch.setattr(layout, "model_folders", model_folders)
    yield made
    for gate in made.loader.gates.values():
        gate.set()
    made.unpublishable = False
    made.lifecycle.close()


@pytest.fixture
def disk(tmp_path: Path) -> DiskRepository:
    return DiskRepository(tmp_path / "repository")
