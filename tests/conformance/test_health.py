"""grpc.health.v1, with the client of grpcio-health-checking."""

from __future__ import annotations

import queue
import shutil
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sample_bundles import Samples
from server_process import StartServer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def request(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize(
    "service", ["", "inference.GRPCInferenceService", "grpc.health.v1.Health", "network"]
)
def test_check_answers_for_the_server_its_services_and_models(channel: grpc.Channel, service: str) -> None:
    assert health_pb2_grpc.HealthStub(channel).Check(request(service)).status == SERVING


def test_check_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError, match=r"no\.such\.Service") as refused:
        health_pb2_grpc.HealthStub(channel).Check(request("no.such.Service"))

    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


class Watch:
    """Statuses as they are pushed."""

    def __init__(self, channel: grpc.Channel, service: str) -> None:
        self.call = health_pb2_grpc.HealthStub(channel).Watch(request(service))
        self._pushed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.ended: grpc.StatusCode | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for answer in self.call:
                self._pushed.put(answer.status)
        except grpc.RpcError as error:
            self.ended = error.code()

    def next(self) -> int:
        return self._pushed.get(timeout=10)

    def quiet(self) -> bool:
        return self._pushed.empty()

    def join(self) -> None:
        self._thread.join(10)


def test_watch_pushes_every_change_and_nothing_else(
    start_server: StartServer, samples: Samples, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(samples.path / "network", repository / "network")
    server = start_server(repository, "--allow-load-unload", settings={})
    with (
        grpc.insecure_channel(server.address) as channel,
        triton.InferenceServerClient(server.address) as client,
    ):
        model, other, whole = Watch(channel, "network"), Watch(channel, "wide"), Watch(channel, "")
        assert (model.next(), other.next(), whole.next()) == (SERVING, SERVICE_UNKNOWN, SERVING)

        client.unload_model("network")
        assert model.next() == NOT_SERVING
        client.load_model("network")
        assert model.next() == SERVING
        assert model.quiet()
        shutil.copytree(samples.path / "wide", repository / "wide")
        client.load_model("wide")
        # Known from the moment that its load began, and serving at the end of it.
        pushed = [other.next()]
        while pushed[-1] != SERVING:
            pushed.append(other.next())
        assert pushed in ([SERVING], [NOT_SERVING, SERVING])

        assert model.quiet()
        assert whole.quiet()
        assert other.quiet()
        server.stop()
        for watch in (model, other, whole):
            assert watch.next() == NOT_SERVING
            watch.join()
            assert watch.ended == grpc.StatusCode.UNAVAILABLE


def test_a_watch_that_is_cancelled_is_forgotten(channel: grpc.Channel) -> None:
    watches = [Watch(channel, "network") for _ in range(50)]
    for watch in watches:
        assert watch.next() == SERVING
        watch.call.cancel()
        watch.join()

    assert {watch.ended for watch in watches} == {grpc.StatusCode.CANCELLED}
    assert health_pb2_grpc.HealthStub(channel).Check(request("")).status == SERVING
