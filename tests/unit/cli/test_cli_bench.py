"""`penstock bench` against a server of the protocol that is not Penstock's."""

from __future__ import annotations

import json
import platform
import re
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_program import PROGRAM, Run
from inference_peer import PeerServer

import penstock
from penstock import _proto

QUICK = ("--seconds", 0.2, "--warmup", 0, "--connections", 2)
CALM = ("--max-lag", 10_000)  # whoever shares the machine with the tests


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,word,more\n" + "".join(f"{n},{n / 2},w{n},0\n" for n in range(7)))
    return path


@pytest.fixture
def numbers(peer: PeerServer) -> PeerServer:
    """Serves a model that takes whatever is made up for it."""
    peer.inputs = [("a", "INT64", [-1]), ("b", "INT64", [-1])]
    return peer


def raw(request: Any, place: int) -> bytes:
    return bytes(request.raw_input_contents[place])


def test_a_closed_loop_is_told_as_a_table(run: Run, address: str, numbers: PeerServer) -> None:
    status, out, err = run("bench", "delay", "--server", address, *QUICK, "--streams", 2)
    assert (status, err) == (0, "")
    header, line = out.splitlines()
    assert header.split()[:4] == ["RATE", "ANSWERS/S", "REQUESTS", "FAILED"]
    cells = line.split()
    assert cells[0] == "closed"
    assert cells[3] == "0"
    assert cells[-1] == "-"
    assert int(cells[2].replace(",", "")) > 20


def test_an_open_loop_is_told_in_json(run: Run, address: str, numbers: PeerServer) -> None:
    status, out, _ = run(
        "bench", "delay", "--server", address, *QUICK, *CALM, "--rate", 200, "--schedule", "even", "--json"
    )
    found = json.loads(out)
    assert status == 0
    assert found["server"] == {"address": address, "name": "peer 9"}
    assert found["requests"]["from"] == "metadata"
    assert found["requests"]["different"] == 64
    assert found["load"]["loop"] == "open"
    assert (found["load"]["cores"], found["load"]["max_lag_ms"]) == ([], 10_000)
    assert found["generator"] == {"host": platform.node(), "penstock": penstock.__version__}
    assert abs(datetime.now(UTC) - datetime.fromisoformat(found["time"])) < timedelta(minutes=1)
    (measured,) = found["runs"]
    assert (measured["requests"], measured["good"], measured["failed"]) == (40, 40, {})
    assert 0 < measured["latency_us"]["p50"] <= measured["latency_us"]["max"]
    assert measured["generator"]["late_us"]["p50"] > 0


def test_made_up_requests_have_the_rows_and_the_seed_that_are_asked_for(
    run: Run, address: str, numbers: PeerServer
) -> None:
    sent = []
    for seed in (1, 1, 2):
        numbers.requests.clear()
        options = ("--rows", 3, "--bodies", 4, "--seed", seed, "--rate", 100)
        assert run("bench", "delay:1", "--server", address, *QUICK, *CALM, *options)[0] == 0
        assert {tuple(r.inputs[0].shape) for r in numbers.requests} == {(3,)}
        assert {r.model_version for r in numbers.requests} == {"1"}
        sent.append({raw(r, 0) for r in numbers.requests})
    assert len(sent[0]) == 4
    assert sent[0] == sent[1] != sent[2]


def test_rows_of_a_file_are_sent_in_turns(run: Run, address: str, peer: PeerServer, rows: Path) -> None:
    status, out, _ = run(
        "bench", "delay", "--server", address, *QUICK, *CALM, "--data", rows, "--rows", 2, "--rate", 200,
        "--parameter", "tenant=blue", "--parameter", "deep=true", "--metadata", "X-Id=7",
        "--check-answers", "--json",
    )  # fmt: skip
    assert status == 0
    assert json.loads(out)["requests"]["different"] == 3  # the seventh row makes no request of two
    asked = peer.requests[3:]  # the first three are asked before the load
    assert {raw(r, 0) for r in asked} == {raw(r, 0) for r in peer.requests[:3]}
    assert len({raw(r, 2) for r in asked}) == 3
    for request in asked:
        assert request.parameters["tenant"].string_param == "blue"
        assert request.parameters["deep"].bool_param
    assert ("x-id", "7") in peer.metadata


def test_whole_requests_are_sent_as_they_are(
    run: Run, address: str, numbers: PeerServer, tmp_path: Path
) -> None:
    request = _proto.ModelInferRequest(model_name="delay", id="mine")
    for name in "ab":
        request.inputs.add(name=name, datatype="INT64", shape=[1])
        request.raw_input_contents.append(bytes(8))
    (tmp_path / "one.bin").write_bytes(request.SerializeToString())
    tensors = [{"name": name, "shape": [1], "datatype": "INT64", "data": [5]} for name in "ab"]
    (tmp_path / "two.json").write_text(json.dumps({"id": "other", "inputs": tensors}))
    files = ("--request", tmp_path / "one.bin", "--request", tmp_path / "two.json")
    assert run("bench", "delay", "--server", address, *QUICK, *files)[0] == 0
    assert {r.id for r in numbers.requests} == {"mine", "other"}
    assert numbers.metadata_requests == 0


def test_a_server_that_refuses_the_request_is_put_under_no_load(
    run: Run, address: str, peer: PeerServer, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,word\n-5,1,x\n")
    status, out, err = run("bench", "delay", "--server", address, *QUICK, "--data", path)
    assert (status, out) == (1, "")
    assert "input 'a' is negative" in err
    assert len(peer.requests) == 1


def test_failures_are_counted_by_their_status_and_told_with_an_example(
    run: Run, address: str, numbers: PeerServer
) -> None:
    original, asked = numbers.answer, 0

    def answer(request: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked > 1 and asked % 2:
            raise ValueError("not today: 50 %")
        return original(request)

    numbers.answer = answer  # type: ignore[method-assign]
    options = (*QUICK, *CALM, "--bodies", 1, "--rate", 100, "--schedule", "even")
    status, out, _ = run("bench", "delay", "--server", address, *options)
    assert status == 0
    assert out.splitlines()[-2:] == [
        "failed: 10 INVALID_ARGUMENT: not today: 50 %",
        "mean, percentiles and maximum are of good answers: what failed is left out",
    ]
    status, _, err = run("bench", "delay", "--server", address, *options, "--p99", 5000)
    assert status == 1
    assert "the objective is missed: 50.00% of the requests took longer than 5000 ms or failed" in err


def test_a_sweep_has_a_run_for_each_rate_and_plots(
    run: Run, address: str, numbers: PeerServer, tmp_path: Path
) -> None:
    saved, plots = tmp_path / "saved.json", tmp_path / "plots"
    status, out, _ = run(
        "bench", "delay", "--server", address, *QUICK, *CALM, "--rates", "500,300,400", "--save", saved,
        "--plots", plots,
    )  # fmt: skip
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["RATE", "300", "400", "500"]
    found = json.loads(saved.read_text())
    assert [measured["rate"] for measured in found["runs"]] == [500, 300, 400]
    assert found["load"]["loop"] == "open"
    assert found["load"]["schedule"] == "poisson"
    for measured in found["runs"]:
        assert sum(count for _, count in measured["latency_histogram_ns"]) == measured["good"]
    assert sorted(path.name for path in plots.iterdir()) == ["latency-against-load.svg", "percentiles.svg"]


def test_a_late_generator_voids_the_run(run: Run, address: str, numbers: PeerServer) -> None:
    status, out, err = run(
        "bench", "delay", "--server", address, *QUICK, "--rate", 300, "--max-lag", 0.001, "--json"
    )
    assert status == 1
    assert len(re.findall("^void: the generator was late itself", err, re.M)) == 5
    assert "5 runs at 300 requests/s were void" in err
    found = json.loads(out)
    assert found["runs"] == []
    assert len(found["void"]) == 5
    assert found["error"].startswith("5 runs")


def test_the_highest_rate_is_found_with_its_interval(
    run: Run, address: str, numbers: PeerServer, tmp_path: Path
) -> None:
    """The server takes 800 requests a second, and 60 more at a time."""
    original, left, last = numbers.answer, 60.0, time.monotonic()
    lock = threading.Lock()

    def answer(request: Any) -> Any:
        nonlocal left, last
        with lock:
            now = time.monotonic()
            left, last = min(left + (now - last) * 800, 60.0), now
            if left < 1:
                raise ValueError("too fast")
            left -= 1
        return original(request)

    numbers.answer = answer  # type: ignore[method-assign]
    status, out, err = run(
        "bench", "delay", "--server", address, "--connections", 2, "--warmup", 0.2, "--seconds", 0.5,
        "--schedule", "even", "--find-rate", "--p99", 1000, "--rate", 400, "--confidence", 0.5,
        "--precision", 0.5, "--bodies", 1, "--plots", tmp_path, "--png", "--json",
    )  # fmt: skip
    assert status == 0, err
    found = json.loads(out)["found"]
    low, high = found["interval"]
    assert found["rate"] == low
    assert 200 < low < 1000
    assert 800 < high < 3000
    assert found["limited_by_generator"] is False
    for trial in found["trials"]:
        assert trial["kept"] == (trial["share_over"] <= 0.01)
    assert {trial["kept"] for trial in found["trials"] if trial["rate"] == low} == {True}
    assert {trial["kept"] for trial in found["trials"] if trial["rate"] == high} == {False}
    assert {path.name for path in tmp_path.iterdir()} == {"latency-against-load.png", "percentiles.png"}


def test_a_server_that_fails_every_request_ends_the_search_at_once(
    run: Run, address: str, numbers: PeerServer
) -> None:
    original, asked = numbers.answer, 0

    def answer(request: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked > 1:  # the first is asked before the load
            raise ValueError("broken")
        return original(request)

    numbers.answer = answer  # type: ignore[method-assign]
    for rate in ((), ("--rate", 100)):
        asked = 0
        began = time.monotonic()
        status, _, err = run(
            "bench",
            "delay",
            "--server",
            address,
            *QUICK,
            *CALM,
            "--find-rate",
            "--p99",
            100,
            "--bodies",
            1,
            *rate,
        )
        assert status == 1
        assert "no request got a good answer" in err
        assert "INVALID_ARGUMENT: broken" in err
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--find-rate",), "it needs the objective"),
        (("--rates", "1,2", "--rate", "3"), "a sweep goes with neither"),
        (("--rates", "1,x"), "is no list of numbers"),
        (("--rates", "0"), "rates are above 0"),
        (("--metadata", "x-bin=1"), "names binary metadata"),
        (("--rate", "0"), "a number above 0"),
        (("--request", "a", "--data", "b"), "give either whole requests or --data"),
        (("--request", "a", "--rows", "3"), "are sent as they are"),
        (("--parameter", "x"), "'x' is not NAME=VALUE"),
        (("--threads", "9"), "8 connections for 9 threads"),
        (("--rate", "9", "--streams", "4"), "it is of a closed loop"),
        (("--rates", "9", "--streams", "4"), "it is of a closed loop"),
        (("--schedule", "poisson"), "it is of an open loop"),
        (("--seed", "0", "--data", "x.csv"), "nothing is drawn"),
        (("--confidence", "0.95"), "it is of --find-rate"),
        (("--precision", "0.1", "--rate", "3"), "it is of --find-rate"),
        (("--format", "csv"), "it says how to read --data"),
        (("--png",), "it is of --plots"),
    ],
)
def test_wrong_use_is_told_before_anything_is_sent(run: Run, arguments: tuple[str, ...], said: str) -> None:
    status, out, err = run("bench", "delay", "--server", "127.0.0.1:1", *arguments)
    assert (status, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_a_server_that_is_not_there_and_one_behind_tls_are_told(run: Run) -> None:
    status, _, err = run("bench", "delay", "--server", "127.0.0.1:1", *QUICK)
    assert status == 1
    assert "no server answers at 127.0.0.1:1" in err
    status, _, err = run("bench", "delay", "--server", "https://models.example:443")
    assert status == 1
    assert "asks for TLS" in err


def test_ctrl_c_tells_what_was_measured_until_then(address: str, numbers: PeerServer) -> None:
    command = [*PROGRAM, "bench", "delay", "--server", address, "--rate", "100", "--seconds", "60", "--json"]
    command += ["--warmup", "0", "--max-lag", "10000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 30
        while len(numbers.requests) < 100 and time.monotonic() < end:  # 64 of them before the load
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    found = json.loads(out)
    assert found["interrupted"]
    (measured,) = found["runs"]
    assert 10 < measured["good"] == measured["requests"] < 1000
    assert "interrupted; the figures are of what was measured until then" in err
