from __future__ import annotations

import executor_probe
import pytest
from native_probe import built


@pytest.fixture(scope="session")
def probe() -> executor_probe.Probe:
    return executor_probe.Probe(built("executor"))
