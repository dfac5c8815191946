from __future__ import annotations

from collections.abc import Iterator

import pytest
from inference_peer import PeerServer, started


@pytest.fixture
def peer() -> PeerServer:
    """What a client's tests talk to, at `address`."""
    return PeerServer()


@pytest.fixture
def address(peer: PeerServer) -> Iterator[str]:
    server, port = started(peer, "127.0.0.1:0")
    yield f"127.0.0.1:{port}"
    peer.ended.set()
    server.stop(None).wait()
