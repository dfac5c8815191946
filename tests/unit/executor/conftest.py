from __future__ import annotations

import executor_probe
import pytest


@pytest.fixture(scope="session")
def probe() -> executor_probe.Probe:
    return executor_probe.Probe(executor_probe.build())
