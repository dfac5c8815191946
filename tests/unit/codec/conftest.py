from __future__ import annotations

import pytest
from codec_probe import Probe
from native_probe import built


@pytest.fixture(scope="session")
def codec() -> Probe:
    """The compiled codec, built from the tree as it is."""
    return Probe(built("codec"))
