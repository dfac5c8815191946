"""`python -m penstock.demo` as a newcomer runs it: on a fresh repository, and again on the same."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import penstock
from penstock.demo import serving
from penstock.errors import StatusError

DEMO = [sys.executable, "-m", "penstock.demo", "--repository"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "repository"


@pytest.fixture(scope="module")
def first(repository):
    return run(repository)


def run(repository: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, str(repository)],
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_demo_ends_by_itself_with_zero(first):
    assert first.returncode == 0, first.stdout + first.stderr


def test_the_demo_shows_real_flights_with_what_happened(first):
    rows = re.findall(
        r"^\w{2}\d+ +(?:EWR|JFK|LGA)-\w{3} +2013-(?:09|10|11|12)-\d\d .*%.*$", first.stdout, re.M
    )
    assert len(rows) == 12


def test_served_answers_equal_lightgbm(first):
    found = re.findall(r"^delay version (\d): [\d,]+ rows, largest difference (\S+)$", first.stdout, re.M)
    assert [version for version, _ in found] == ["1", "2"]
    assert all(float(difference) <= 1e-12 for _, difference in found)


def test_answers_in_process_are_the_servers_to_the_bit(first):
    assert "In this process, by penstock.load: equal to the bit." in first.stdout


def test_the_demo_shows_many_transforms_one_of_them_custom(first, repository):
    document = json.loads((repository / "delay" / "2" / "transforms.json").read_text())
    kinds = {entry["kind"] for entry in document["transforms"]}
    assert len(kinds) >= 8
    assert "custom" in kinds


def test_the_later_version_is_better_on_the_months_after_both(first):
    rows = re.findall(r"^delay +(\d) .*AUC (\S+), log loss (\S+)$", first.stdout, re.M)
    (one, auc_one, loss_one), (two, auc_two, loss_two) = rows
    assert (one, two) == ("1", "2")
    assert float(auc_two) > float(auc_one)
    assert float(loss_two) < float(loss_one)


def test_the_alias_moved_while_requests_went_on(first):
    moved = re.search(
        r"requests, none failed: ([\d,]+) answered by version 1, then ([\d,]+) by", first.stdout
    )
    assert moved
    assert all(int(count.replace(",", "")) > 0 for count in moved.groups())


def test_a_second_run_uses_the_repository_that_is_there(first, repository):
    before = {path: path.stat().st_mtime_ns for path in repository.glob("*/*/bundle.json")}
    again = run(repository)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {path: path.stat().st_mtime_ns for path in repository.glob("*/*/bundle.json")} == before


def test_serve_keeps_serving_until_it_is_told_to_stop(first, repository):
    port = serving.free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "penstock.demo",
            "--repository",
            str(repository),
            "--serve",
            "--port",
            str(port),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with penstock.Client(f"127.0.0.1:{port}", timeout=2) as client:
            deadline = time.monotonic() + 60
            while not ready(client):
                assert time.monotonic() < deadline
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.05)
            assert {state.name for state in client.index(ready=True)} == {"delay", "delay_minutes"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ready(client):
    try:
        return client.is_ready()
    except StatusError:
        return False
