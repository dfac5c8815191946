from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from generated_stubs import Generated

from server_process import ServerProcess

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
