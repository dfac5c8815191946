from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from codec_probe import Probe

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def codec() -> Probe:
    """The compiled codec, built from the tree as it is."""
    library = ROOT / "build" / "release" / "native" / "libcodec_probe.so"
    command = ["make", "-C", str(ROOT / "tests" / "native"), "ROOMS=codec", str(library)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return Probe(library)
