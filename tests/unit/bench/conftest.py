from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))

from inference_peer import PeerServer, started


@pytest.fixture
def peer() -> PeerServer:
    return PeerServer()


@pytest.fixture
def address(peer: PeerServer) -> Iterator[str]:
    server, port = started(peer, "127.0.0.1:0")
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()
