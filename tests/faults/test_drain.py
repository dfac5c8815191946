"""SIGTERM: what was accepted is finished, nothing new is taken, and the exit status is 0."""

from __future__ import annotations

import fcntl
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from infer_requests import loop_request, network_request, raw_output

import penstock
from penstock import _proto
from sample_bundles import Samples, loop
from server_process import SERVE, ServerProcess, StartServer, environment
from wire_peer import LIVE, STREAM_INFER, WirePeer, prefixed, request_headers

SERVICE = "/inference.GRPCInferenceService"
SECOND_OF_ROUNDS = 600_000  # of the model `loop`: about a second, or some
SOON_S = 10.0  # for what takes an instant, on a slow machine too; open requests have 30 s by default
OK = 0


def infer(channel: grpc.Channel, request: Any, **options: Any) -> Any:
    call = channel.unary_unary(
        f"{SERVICE}/ModelInfer",
        request_serializer=_proto.ModelInferRequest.SerializeToString,
        response_deserializer=_proto.ModelInferResponse.FromString,
    )
    return call.future(request, **options)


def refuses(server: ServerProcess) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def wait_until(met: Callable[[], bool], timeout: float = 30) -> None:
    end = time.monotonic() + timeout
    while not met():
        assert time.monotonic() < end, f"not in {timeout} s"
        time.sleep(0.005)


def wait_until_it_computes(server: ServerProcess) -> None:
    """Until it has used a tenth of a second of processor time, which only a model takes that runs."""
    before = processor_seconds(server)
    wait_until(lambda: processor_seconds(server) - before > 0.1)


def processor_seconds(server: ServerProcess) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_leaves_at_once_with_0(start_server: StartServer, number: signal.Signals) -> None:
    server = start_server()
    assert server.unix_socket.exists()
    began = time.monotonic()
    server.signal(number)

    assert server.wait() == 0
    assert not server.unix_socket.exists()
    assert time.monotonic() - began < SOON_S
    server.wait_for("finishing open requests")
    server.wait_for("stopped")


def test_idle_connections_do_not_hold_it_up(start_server: StartServer) -> None:
    server = start_server()
    with WirePeer(server.port) as peer, socket.create_connection(("127.0.0.1", server.port)):
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - began < SOON_S
        assert peer.read_to_end()
        # A notice first, so that a call on its way is not lost, then the last word.
        assert [frame.last_stream_id for frame in peer.goaways] == [(1 << 31) - 1, 0]
        assert {frame.error_code for frame in peer.goaways} == {0}


def test_a_running_inference_is_answered_and_new_connections_are_refused(start_server: StartServer) -> None:
    server = start_server()
    with grpc.insecure_channel(server.address) as channel:
        grpc.channel_ready_future(channel).result(10)
        call = infer(channel, loop_request(_proto, SECOND_OF_ROUNDS))
        wait_until_it_computes(server)
        server.signal(signal.SIGTERM)

        response = call.result(timeout=60)

        assert raw_output(response, "done")[0] == SECOND_OF_ROUNDS**2
        assert server.wait() == 0
        assert refuses(server)


def test_a_half_sent_request_is_completed_and_answered(start_server: StartServer) -> None:
    server = start_server()
    body = prefixed(network_request(_proto)[0].SerializeToString())
    with WirePeer(server.port) as peer:
        peer.open(1)
        peer.data(1, body[:20])
        peer.ping()
        server.signal(signal.SIGTERM)
        peer.read_until(lambda: len(peer.goaways) == 2)
        assert peer.goaways[-1].last_stream_id == 1
        wait_until(lambda: refuses(server))
        peer.data(1, body[20:], end=True)
        assert peer.answer(1).status == OK
        assert server.wait() == 0


def test_an_open_stream_goes_on_until_its_caller_ends_it(start_server: StartServer) -> None:
    server = start_server()
    body = prefixed(network_request(_proto)[0].SerializeToString())
    with WirePeer(server.port) as peer:
        peer.open(1, request_headers(STREAM_INFER))
        peer.data(1, body)
        peer.read_until(lambda: 1 in peer.answers and len(peer.answers[1].messages) == 1)
        server.signal(signal.SIGTERM)
        peer.read_until(lambda: len(peer.goaways) == 2)
        for count in (2, 3, 4):
            time.sleep(0.1)
            peer.data(1, body)
            peer.read_until(lambda: len(peer.answers[1].messages) == count)  # noqa: B023
        assert server.process.poll() is None
        peer.data(1, b"", end=True)
        assert peer.answer(1).status == OK
        assert server.wait() == 0


def test_a_load_that_python_is_busy_with_is_answered(
    start_server: StartServer, samples: Samples, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(samples.path / "network", repository / "network")
    server = start_server(repository, "--allow-load-unload", settings={})
    # Its golden example takes its time at every load.
    rounds = {"rounds": np.array([SECOND_OF_ROUNDS], np.int64)}
    penstock.build(repository, name="slow", version="1", model=loop(), examples=rounds)
    with grpc.insecure_channel(server.address) as channel:
        load = channel.unary_unary(
            f"{SERVICE}/RepositoryModelLoad",
            request_serializer=_proto.RepositoryModelLoadRequest.SerializeToString,
            response_deserializer=_proto.RepositoryModelLoadResponse.FromString,
        ).future(_proto.RepositoryModelLoadRequest(model_name="slow"), timeout=60)
        wait_until_it_computes(server)
        assert not load.done()
        server.signal(signal.SIGTERM)

        assert load.result() is not None
        assert server.wait() == 0
    server.wait_for("slow:1 ready")


def test_every_accepted_request_of_a_steady_load_is_answered(start_server: StartServer) -> None:
    server = start_server()
    headers = request_headers()
    body = prefixed(network_request(_proto)[0].SerializeToString())

    def steady(index: int) -> tuple[int, int]:
        """Sends as long as it may; the answers, and the requests behind the last one that was accepted."""
        opened: list[int] = []
        with WirePeer(server.port) as peer:
            try:
                while not peer.goaways or peer.goaway.last_stream_id == (1 << 31) - 1:  # type: ignore[union-attr]
                    stream = 1 + 2 * len(opened)
                    peer.open(stream, headers)
                    peer.data(stream, body, end=True)
                    opened.append(stream)
                    if len(opened) % 8 == 0:
                        peer.read(0.01)
                        answered[index] = sum(answer.done for answer in peer.answers.values())
            except ConnectionError:
                pass  # it has closed behind its last answer
            peer.read_to_end()
            assert peer.goaway is not None
            accepted = [stream for stream in opened if stream <= peer.goaway.last_stream_id]
            for stream in accepted:
                assert peer.answers[stream].status == OK, (stream, peer.goaway.last_stream_id)
            return len(accepted), len(opened) - len(accepted)

    answered = [0] * 4
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(steady, index) for index in range(4)]
        wait_until(lambda: min(answered) > 20 or any(load.done() for load in loads))
        server.signal(signal.SIGTERM)
        counts = [load.result(timeout=60) for load in loads]

    assert all(accepted > 20 for accepted, _ in counts), counts
    assert server.wait() == 0


def test_a_grpc_client_under_load_sees_only_answers_and_then_unavailable(start_server: StartServer) -> None:
    server = start_server()
    request, _ = network_request(_proto)
    outcomes: queue.SimpleQueue[tuple[grpc.StatusCode, str]] = queue.SimpleQueue()

    def caller(_: int) -> None:
        with grpc.insecure_channel(
            server.address, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            grpc.channel_ready_future(channel).result(10)
            code = grpc.StatusCode.OK
            while code is grpc.StatusCode.OK:
                call = infer(channel, request, timeout=30)
                code = call.code()
                outcomes.put((code, call.details()))

    with ThreadPoolExecutor(6) as pool:
        callers = [pool.submit(caller, index) for index in range(6)]
        wait_until(lambda: outcomes.qsize() > 60 or any(each.done() for each in callers))
        server.signal(signal.SIGTERM)
        for done in callers:
            done.result(timeout=60)

    assert server.wait() == 0
    seen = [outcomes.get() for _ in range(outcomes.qsize())]
    refused = [(code, details) for code, details in seen if code is not grpc.StatusCode.OK]
    assert len(seen) > 60
    # Each caller's last call found nobody to connect to; none was taken and then lost.
    assert {code for code, _ in refused} == {grpc.StatusCode.UNAVAILABLE}
    assert all("failed to connect" in details.lower() for _, details in refused), refused


def test_a_second_signal_ends_it_at_once(start_server: StartServer) -> None:
    server = start_server()
    with WirePeer(server.port) as peer:
        peer.open(1, request_headers(STREAM_INFER))
        peer.ping()
        server.signal(signal.SIGTERM)
        server.wait_for("finishing open requests")
        time.sleep(0.2)
        assert server.process.poll() is None
        began = time.monotonic()
        server.signal(signal.SIGTERM)

        status = server.wait()

        assert status == 128 + signal.SIGTERM
        assert time.monotonic() - began < SOON_S
    server.wait_for("again")
    server.check_output()
    server.process.returncode = 0  # as was expected: the fixture looks for 0


def test_what_takes_longer_than_the_drain_timeout_is_cut_off(
    start_server: StartServer, samples: Samples
) -> None:
    server = start_server(samples.path, "--drain-timeout", "0.5")
    with WirePeer(server.port) as peer:
        peer.open(1, request_headers(STREAM_INFER))
        peer.ping()
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert 0.4 < time.monotonic() - began < 0.5 + SOON_S
        assert peer.read_to_end()
    server.wait_for("cut off")


@pytest.mark.parametrize("execution", ["inline", "pool"])
def test_a_model_that_runs_on_and_on_is_cut_off_too(
    start_server: StartServer, samples: Samples, execution: str
) -> None:
    settings = {"models.loop.scheduling": {"execution": execution}}
    server = start_server(samples.path, "--drain-timeout", "0.3", settings=settings)
    with grpc.insecure_channel(server.address) as channel:
        grpc.channel_ready_future(channel).result(10)
        call = infer(channel, loop_request(_proto, 100 * SECOND_OF_ROUNDS))
        wait_until_it_computes(server)
        server.signal(signal.SIGTERM)
        began = time.monotonic()
        assert server.wait() == 0
        assert time.monotonic() - began < SOON_S
        assert call.exception(10).code() == grpc.StatusCode.UNAVAILABLE
    server.wait_for("stopped; what still ran was cut off")


def test_readiness_ends_before_the_connection_does(start_server: StartServer) -> None:
    server = start_server()
    with WirePeer(server.port) as peer:
        peer.open(1, request_headers(STREAM_INFER))
        peer.ping()
        server.signal(signal.SIGTERM)
        peer.read_until(lambda: len(peer.goaways) == 1)  # the notice: calls are still taken
        ready = peer.call(3, prefixed(b""), request_headers(f"{SERVICE}/ServerReady"))
        live = peer.call(5, prefixed(b""), request_headers(LIVE))
        assert _proto.ServerReadyResponse.FromString(ready.messages[0]).ready is False
        assert _proto.ServerLiveResponse.FromString(live.messages[0]).live is True
        peer.data(1, b"", end=True)
        assert server.wait() == 0


def test_a_signal_while_it_loads_ends_it_with_0(samples: Samples, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    rounds = {"rounds": np.array([SECOND_OF_ROUNDS * 2], np.int64)}
    penstock.build(repository, name="slow", version="1", model=loop(), examples=rounds)
    server = ServerProcess(repository, folder=tmp_path, ready=False)
    try:
        wait_until_it_computes(server)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - began < SOON_S
        server.check_output()
    finally:
        server.process.kill()


def test_a_port_that_is_taken_is_one_line_and_status_1(server: ServerProcess, samples: Samples) -> None:
    command = [sys.executable, *SERVE, "--repository", str(samples.path), "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())

    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}" in done.stdout + done.stderr
    assert "in use" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


class BlockedServer:
    """A server whose output goes into a pipe that is full and that nobody reads, as behind a log collector
    that hangs.
    """

    def __init__(self, repository: Path, folder: Path, *options: str, both: bool) -> None:
        self.address = f"unix:{folder / 'blocked.sock'}"
        self.reading, self.writing = os.pipe()
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 4096)
        self.filled = self._fill()
        self.errors = folder / "errors.txt"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, *SERVE, "--repository", str(repository), "--host", ""),
                    *("--unix-socket", self.address.removeprefix("unix:"), *options),
                ],
                stdout=self.writing,
                stderr=self.writing if both else errors,
                env=environment(),
            )

    def _fill(self) -> int:
        os.set_blocking(self.writing, False)
        count = 0
        try:
            while True:
                count += os.write(self.writing, b"x" * 512)
        except BlockingIOError:
            os.set_blocking(self.writing, True)
        return count

    def read_what_was_written(self) -> str:
        """All of the output, once the server is gone."""
        os.close(self.writing)
        with os.fdopen(os.dup(self.reading), "rb") as pipe:
            return pipe.read()[self.filled :].decode()


@contextmanager
def blocked(repository: Path, folder: Path, *options: str, both: bool = False) -> Iterator[BlockedServer]:
    server = BlockedServer(repository, folder, *options, both=both)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        os.close(server.reading)


def all_versions(root: Path, count: int) -> Path:
    """A repository of `count` versions of one model, and a configuration that serves all of them."""
    for version in range(1, count + 1):
        penstock.build(
            root / "repository",
            name="slow",
            version=str(version),
            model=loop(),
            examples={"rounds": np.array([1], np.int64)},
        )
    (root / "all.toml").write_text('[models.slow]\npolicy = "all"\n')
    return root / "repository"


@pytest.mark.parametrize("both", [False, True], ids=["output", "output-and-log"])
def test_output_that_nobody_reads_holds_up_neither_loads_nor_the_stop(tmp_path: Path, both: bool) -> None:
    repository = all_versions(tmp_path, 5)  # more than there are threads that load
    options = ("--config", str(tmp_path / "all.toml"), "--watch", "--allow-load-unload")
    with (
        blocked(repository, tmp_path, *options, both=both) as server,
        penstock.Client(server.address, timeout=SOON_S) as client,
    ):
        wait_until(client.is_ready)
        assert [found.state for found in client.index()] == ["READY"] * 5
        client.unload("slow", "3")
        client.load("slow", "3")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SOON_S) == 0


def test_a_second_signal_ends_it_at_once_though_nobody_reads_its_output(
    samples: Samples, tmp_path: Path
) -> None:
    ended = threading.Event()

    def batches() -> Iterator[Any]:
        yield {"rounds": np.array([1], np.int64)}
        ended.wait()

    with blocked(samples.path, tmp_path) as server, penstock.Client(server.address) as client:
        wait_until(client.is_ready)
        results = client.stream_infer("loop", batches())
        next(results)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not client.is_ready())
        time.sleep(0.2)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SOON_S) == 128 + signal.SIGTERM
        ended.set()
        with pytest.raises(penstock.errors.StatusError):
            next(results)


def test_what_is_read_late_is_all_there(samples: Samples, tmp_path: Path) -> None:
    with blocked(samples.path, tmp_path) as server, penstock.Client(server.address) as client:
        wait_until(client.is_ready)
        assert os.read(server.reading, server.filled)
        server.filled = 0
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SOON_S) == 0
        lines = server.read_what_was_written().splitlines()
        assert lines[0].startswith("listening on unix:")
        assert sum(line.startswith("ready after ") for line in lines) == 1
        assert lines[-1] == "stopped"
        assert server.errors.read_text() == ""
