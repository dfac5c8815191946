from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from generated_stubs import Generated
from good_call import assert_good, good_body

from server_process import ServerProcess
from wire_peer import WirePeer

LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return Generated(tmp_path_factory.mktemp("generated"))


@pytest.fixture
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address, options=LARGE) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel, generated: Generated) -> Any:
    return generated.services.GRPCInferenceServiceStub(channel)


@pytest.fixture
def peer(server: ServerProcess) -> Iterator[WirePeer]:
    with WirePeer(server.port) as peer:
        yield peer


@pytest.fixture(scope="session")
def good(generated: Generated) -> bytes:
    return good_body(generated)


@pytest.fixture
def check_good(server: ServerProcess, good: bytes, generated: Generated) -> Iterator[None]:
    """Behind the test, the server still answers a good request."""
    yield
    with WirePeer(server.port) as peer:
        assert_good(peer.call(1, good), generated)
