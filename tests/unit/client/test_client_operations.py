"""Both clients, through one set of tests: they promise the same."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_peer import PeerServer, started

import penstock
from penstock.client import AsyncClient, Client
from penstock.client.answers import ModelState, TensorSpec
from penstock.client.status import UnreachableError, status_error
from penstock.errors import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    NOT_FOUND,
    PERMISSION_DENIED,
    UNAVAILABLE,
    ConfigError,
    InputError,
    NotFoundError,
    RefusedError,
    RowError,
    StatusError,
)

DATA = {"a": [1.5, 2.0], "b": [10.0, 20.0], "word": ["Ab", "c"]}


class Blocking:
    """A client of either kind, each of whose calls waits for its result."""

    def __init__(self, kind: str, address: str, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "async" else None
        self._client: Any = (Client if self._runner is None else AsyncClient)(address, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return method if self._runner is None else lambda *a, **k: self._runner.run(method(*a, **k))  # type: ignore[union-attr]

    def stream(self, *arguments: Any, **options: Any) -> list[Any]:
        replies = self._client.stream_infer(*arguments, **options)
        if self._runner is None:
            return list(replies)

        async def collect() -> list[Any]:
            return [reply async for reply in replies]

        return self._runner.run(collect())

    def end(self) -> None:
        self.close()
        if self._runner is not None:
            self._runner.close()


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Blocking]]:
    opened: list[Blocking] = []

    def make(address: str, **options: Any) -> Blocking:
        opened.append(Blocking(request.param, address, **options))
        return opened[-1]

    yield make
    for client in opened:
        client.end()


@pytest.fixture
def client(connect: Callable[..., Blocking], address: str) -> Blocking:
    return connect(address)


def test_outputs_come_by_name_with_what_the_server_said(client: Blocking) -> None:
    result = client.infer("delay", DATA, id="r1")
    assert result["total"].tolist() == [11.5, 22.0]
    assert result["label"].tolist() == [b"aB", b"C"]
    assert (result.model, result.version, result.id) == ("delay", "1", "r1")
    assert (result.arm, result.digest) == ("stable", "d1")


def test_only_the_outputs_asked_for_come(client: Blocking) -> None:
    assert list(client.infer("delay", DATA, outputs=["label"])) == ["label"]


def test_version_parameters_and_metadata_reach_the_server(
    connect: Callable[..., Blocking], address: str, peer: PeerServer
) -> None:
    connect(address, metadata={"x-tenant": "t1"}).infer(
        "delay", DATA, version="1", parameters={"priority": 2}
    )
    assert peer.requests[0].model_version == "1"
    assert peer.requests[0].parameters["priority"].int64_param == 2
    assert ("x-tenant", "t1") in peer.metadata


def test_metadata_is_asked_for_once(client: Blocking, peer: PeerServer) -> None:
    for _ in range(3):
        client.infer("delay", DATA)
    assert peer.metadata_requests == 1


def test_a_model_whose_inputs_changed_is_asked_about_once_more(client: Blocking, peer: PeerServer) -> None:
    client.infer("delay", DATA)
    peer.inputs = [("a", "INT64", [-1]), ("b", "FP64", [-1])]
    assert client.infer("delay", {"a": [1, 2], "b": [0.5, 0.5]})["total"].tolist() == [1.5, 2.5]
    assert peer.metadata_requests == 2
    assert [tensor.datatype for tensor in peer.requests[-1].inputs] == ["INT64", "FP64"]


def test_data_that_no_version_would_take_is_refused_after_one_look(
    client: Blocking, peer: PeerServer
) -> None:
    client.infer("delay", DATA)
    for bad in ({"a": [1.0]}, {**DATA, "a": [-100.0, 1.0]}):
        before = peer.metadata_requests
        with pytest.raises(InputError):
            client.infer("delay", bad)
        assert peer.metadata_requests == before + 1


def test_another_version_answering_makes_the_next_call_ask_again(client: Blocking, peer: PeerServer) -> None:
    client.infer("delay", DATA)
    peer.version = "2"
    for _ in range(3):
        client.infer("delay", DATA)
    assert peer.metadata_requests == 2
    for version in (
        "1",
        "2",
        "1",
        "2",
    ):  # both are known now: a canary beside a stable version costs nothing more
        peer.version = version
        client.infer("delay", DATA)
    assert peer.metadata_requests == 2


def test_many_rows_go_in_parts_and_come_back_as_one(client: Blocking, peer: PeerServer) -> None:
    data = {"a": np.arange(10.0), "b": np.ones(10), "word": [str(i) for i in range(10)]}
    result = client.infer("delay", data, max_rows=4)
    assert result["total"].tolist() == [i + 1.0 for i in range(10)]
    assert result["label"].tolist() == [str(i).encode() for i in range(10)]
    assert [request.inputs[0].shape[0] for request in peer.requests] == [4, 4, 2]
    assert [request.model_version for request in peer.requests] == ["", "1", "1"]


def test_what_is_said_of_a_part_counts_from_the_datas_first_row(client: Blocking) -> None:
    data = {"a": [1.0] * 9, "b": [1.0] * 9, "word": ["w"] * 9}
    with pytest.raises(InputError, match=r"^in rows 4 to 7 of the data: input 'a' is negative"):
        client.infer("delay", {**data, "a": [1.0] * 6 + [-9.0] * 3}, max_rows=4)
    with pytest.raises(RowError, match=r'^one_hot\(word\) refused row 6: "no"$') as caught:
        client.infer("delay", {**data, "word": ["w"] * 6 + ["no"] * 3}, max_rows=4)
    assert (caught.value.column, caught.value.row) == ("word", 6)
    assert isinstance(caught.value, StatusError)
    assert caught.value.status == INVALID_ARGUMENT


def test_failures_are_penstocks_errors_with_the_servers_words(client: Blocking) -> None:
    with pytest.raises(NotFoundError, match="unknown model 'other'; there is: delay") as missing:
        client.infer("other", DATA)
    with pytest.raises(InputError, match="input 'a' is negative") as refused:
        client.infer("delay", {**DATA, "a": [-100.0, 1.0]})
    with pytest.raises(RefusedError, match="allow_load_unload") as forbidden:
        client.unload("delay")
    statuses = [caught.value.status for caught in (missing, refused, forbidden)]  # type: ignore[attr-defined]
    assert statuses == [NOT_FOUND, INVALID_ARGUMENT, PERMISSION_DENIED]
    assert all(isinstance(caught.value, StatusError) for caught in (missing, refused, forbidden))


def test_an_operation_ends_with_its_timeout(client: Blocking, peer: PeerServer, address: str) -> None:
    client.infer("delay", DATA)
    peer.wait = threading.Event()
    try:
        with pytest.raises(StatusError, match=f"{address} did not answer within the timeout") as caught:
            client.infer("delay", DATA, timeout=0.1)
    finally:
        peer.wait.set()
    assert caught.value.status == DEADLINE_EXCEEDED


def test_without_a_server_the_error_names_the_address(connect: Callable[..., Blocking]) -> None:
    client = connect("127.0.0.1:1", timeout=5)
    with pytest.raises(StatusError, match=r"no server answers at 127\.0\.0\.1:1 ") as caught:
        client.server_metadata()
    assert isinstance(caught.value, UnreachableError)
    assert str(caught.value).endswith("(Connection refused); `penstock serve` starts one")
    assert caught.value.status == UNAVAILABLE
    assert client.is_live() is False
    assert client.is_ready() is False


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:8001: Failed to connect "
            "to remote host: connect: No route to host (113)",
            "no server answers at a:1 (No route to host (113)); `penstock serve` starts one",
        ),
        (
            "errors resolving a:1: [field:hostname lookup error:address lookup failed for a:1: Domain name "
            "not found]",
            "no server answers at a:1 (Domain name not found); `penstock serve` starts one",
        ),
        (
            "DNS resolution failed for a:1: C-ares status is not ARES_SUCCESS: Timeout",
            "no server answers at a:1 (Timeout); `penstock serve` starts one",
        ),
        (
            "Stream removed (sendmsg: Broken pipe)",
            "the connection to a:1 broke before the answer came (Broken pipe): the server may have stopped",
        ),
        (
            "Socket closed",
            "the connection to a:1 broke before the answer came (Socket closed): the server may have stopped",
        ),
        ("model 'm' has no version ready: it loads", "model 'm' has no version ready: it loads"),
    ],
)
def test_what_grpcio_says_of_a_lost_server_is_told_in_plain_words(words: str, told: str) -> None:
    error = status_error(UNAVAILABLE, words, "a:1")
    assert (error.status, str(error)) == (UNAVAILABLE, told)
    assert isinstance(error, UnreachableError) == told.startswith("no server")


def test_what_the_server_and_its_models_are_is_told_in_plain_values(client: Blocking) -> None:
    assert client.is_live() is True
    assert client.is_ready() is True
    assert client.is_ready("delay") is True
    assert client.is_ready("delay", "7") is False
    with pytest.raises(NotFoundError):
        client.is_ready("other")
    server = client.server_metadata()
    assert (server.name, server.version, server.extensions) == ("peer", "9", ("statistics",))
    metadata = client.model_metadata("delay")
    assert metadata.inputs[0] == TensorSpec("a", "FP32", (-1,))
    assert (metadata.versions, metadata.platform) == (("1",), "test")
    assert client.model_config("delay") == {
        "name": "delay",
        "max_batch_size": 4,
        "input": [{"name": "a", "data_type": "TYPE_FP32", "dims": [-1]}],
        "parameters": {
            "penstock_version": {"string_value": "1"},
            "penstock_aliases": {"string_value": '{"good one": "1", "champion": "1"}'},
        },
    }
    assert client.statistics("delay") == [
        {
            "name": "delay",
            "version": "1",
            "inference_count": 2**40,
            "inference_stats": {"success": {"count": 3}},
        }
    ]


def test_what_is_counted_is_of_the_server_and_of_each_version(client: Blocking) -> None:
    found = client.counters()
    assert found["server"]["pool_waiting"] == 3
    (version,) = found["versions"]
    assert (version["model"], version["version"], version["counters"]["refused"]) == ("delay", "1", 1005)
    assert client.counters("other", "1")["versions"] == []


def test_the_index_tells_why_a_version_does_not_serve(client: Blocking) -> None:
    ready = ModelState("delay", "1", "READY", "")
    assert client.index(ready=True) == [ready]
    assert client.index() == [ready, ModelState("delay", "0", "UNAVAILABLE", "digest of model.txt differs")]


def test_load_names_the_version_and_forgets_what_was_known(client: Blocking, peer: PeerServer) -> None:
    client.infer("delay", DATA)
    client.load("delay", "3")
    client.load("delay")
    assert peer.requests[-2].parameters["version"].string_param == "3"
    assert not peer.requests[-1].parameters
    client.infer("delay", DATA)
    assert peer.metadata_requests == 2


def test_a_stream_answers_in_order(client: Blocking) -> None:
    batches = [{**DATA, "a": [float(i), 0.0]} for i in range(20)]
    assert [r["total"][0] for r in client.stream("delay", batches)] == [10.0 + i for i in range(20)]


def test_a_stream_survives_a_refused_batch_where_errors_are_wanted_as_results(client: Blocking) -> None:
    bad = {**DATA, "a": [-100.0, 0.0]}
    first, refused, last = client.stream("delay", [DATA, bad, DATA], return_errors=True)
    assert isinstance(refused, StatusError)
    assert "negative" in str(refused)
    assert first["total"].tolist() == last["total"].tolist() == [11.5, 22.0]
    with pytest.raises(StatusError, match="negative"):
        client.stream("delay", [DATA, bad, DATA])


def test_a_batch_that_cannot_be_sent_ends_the_stream_with_its_own_error(client: Blocking) -> None:
    with pytest.raises(InputError, match="The data has no 'b', 'word'"):
        client.stream("delay", [DATA, {"a": [1.0]}])


def test_a_streams_timeout_covers_the_question_for_the_models_inputs(
    client: Blocking, peer: PeerServer
) -> None:
    peer.metadata_takes_s = 30.0
    began = time.monotonic()
    with pytest.raises(StatusError) as refused:
        client.stream("delay", [DATA], timeout=0.3)
    assert refused.value.status == DEADLINE_EXCEEDED
    assert time.monotonic() - began < 20
    peer.metadata_takes_s = 1.0
    assert len(client.stream("delay", [DATA], timeout=20.0)) == 1
    assert peer.stream_time_left_s is not None
    assert peer.stream_time_left_s < 19.5
    client.stream("delay", [DATA])
    assert peer.stream_time_left_s is None


def test_a_unix_socket_serves_as_well(
    connect: Callable[..., Blocking], peer: PeerServer, tmp_path: Path
) -> None:
    server, _ = started(peer, f"unix:{tmp_path}/s")
    try:
        assert connect(f"unix:{tmp_path}/s").infer("delay", DATA)["total"].tolist() == [11.5, 22.0]
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize(
    "address", ["http://localhost:8001", "localhost", "", "localhost:http", "/tmp/socket"]
)
def test_an_address_that_grpc_would_misread_is_refused(
    connect: Callable[..., Blocking], address: str
) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT or unix:"):
        connect(address)


def test_a_proxy_in_the_environment_is_not_used(
    connect: Callable[..., Blocking], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect(address).is_live() is True


def test_a_closed_client_does_not_wait_for_its_calls(address: str, peer: PeerServer) -> None:
    peer.wait = threading.Event()
    client = Client(address)
    ended: list[BaseException] = []

    def call() -> None:
        try:
            client.infer("delay", DATA)
        except StatusError as error:
            ended.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not peer.requests:
        thread.join(0.01)
    client.close()
    thread.join(5)
    peer.wait.set()
    assert [error.status for error in ended] == [CANCELLED]  # type: ignore[attr-defined]


def test_threads_may_share_a_client(address: str) -> None:
    failures: list[BaseException] = []
    with Client(address) as client:

        def work(number: int) -> None:
            try:
                for i in range(20):
                    value = float(number * 100 + i)
                    assert client.infer("delay", {**DATA, "a": [value, 0.0]})["total"][0] == value + 10
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_the_clients_are_penstocks_own_names() -> None:
    assert penstock.Client is Client
    assert penstock.AsyncClient is AsyncClient


def test_the_twins_have_the_same_operations() -> None:
    import inspect

    def signatures(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in vars(kind).items()
            if not name.startswith("_") and callable(method)
        }

    assert signatures(Client) == signatures(AsyncClient)
