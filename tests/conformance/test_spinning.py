"""How often a loop sleeps between requests, and what an idle server costs (server.spin_us)."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest
from generated_stubs import Generated
from infer_requests import network_request

from sample_bundles import Samples
from server_process import ServerProcess, wrapped

REQUESTS = 1000
LONGEST_US = 10_000  # what the setting takes; a client in Python needs far less between two requests


def loop_sleeps(server: ServerProcess) -> int:
    """How often the server's one loop has given up its core by itself."""
    for task in Path(f"/proc/{server.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "penstock-0":
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    return int(line.split()[1])
    raise AssertionError("the server has no thread penstock-0")


def sleeps_during_requests(server: ServerProcess, generated: Generated) -> int:
    request, _ = network_request(generated.messages)
    with grpc.insecure_channel(server.address) as channel:
        stub = generated.services.GRPCInferenceServiceStub(channel)
        for _ in range(100):  # long enough for the loop to try what looking brings
            stub.ModelInfer(request, timeout=10)
        before = loop_sleeps(server)
        for _ in range(REQUESTS):
            stub.ModelInfer(request, timeout=10)
        return loop_sleeps(server) - before


def test_a_loop_that_spins_sleeps_far_less_often_between_the_requests_of_one_caller(
    samples: Samples, tmp_path: Path, generated: Generated
) -> None:
    sleeps = {}
    for spin_us in (0, LONGEST_US):
        folder = tmp_path / str(spin_us)
        folder.mkdir()
        settings = {"server": {"loops": 1, "spin_us": spin_us}}
        with ServerProcess(samples.path, settings=settings, folder=folder) as server:
            sleeps[spin_us] = sleeps_during_requests(server, generated)
    assert sleeps[LONGEST_US] < sleeps[0] / 2, sleeps


@pytest.mark.skipif(wrapped(), reason="a sanitizer's runtime has threads of its own")
def test_a_server_that_is_asked_nothing_any_more_does_not_spin(
    samples: Samples, tmp_path: Path, generated: Generated
) -> None:
    settings = {"server": {"loops": 2, "spin_us": LONGEST_US}}
    with ServerProcess(samples.path, settings=settings, folder=tmp_path) as server:
        request, _ = network_request(generated.messages)
        with grpc.insecure_channel(server.address) as channel:
            stub = generated.services.GRPCInferenceServiceStub(channel)
            for _ in range(REQUESTS):
                stub.ModelInfer(request, timeout=10)
            before, began = server.cpu_seconds(), time.monotonic()
            time.sleep(1.0)
            share = (server.cpu_seconds() - before) / (time.monotonic() - began)
    assert share < 0.2
