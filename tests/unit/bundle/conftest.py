from __future__ import annotations

from pathlib import Path

import pytest
from bundle_folders import write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "repository" / "delay" / "3")
