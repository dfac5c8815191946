from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cli_program import PROGRAM, Run
from inference_peer import PeerServer

SCHEDULE = {
    "fixed_ns": 2000, "row_ns": 500, "inline_rows": 496, "merges": True, "min_batch_rows": 32,
    "max_batch_rows": 256, "max_wait_ns": 0, "queue_limit": 256,
    "reason": "on the loops up to 496 rows; runs are shared by 32 to 256 rows",
}  # fmt: skip
FOREST = {
    "origin": "LightGBM", "objective": "binary sigmoid:1", "link": "of the objective", "trees": 500,
    "leaves": 31, "features": 30, "outputs": 1,
}  # fmt: skip


@pytest.fixture
def penstock(peer: PeerServer) -> PeerServer:
    """A peer that says of its model what Penstock says."""
    peer.parameters = {
        "penstock_executor": "compiled forest of LightGBM, cpu, avx2 from 25 rows on",
        "penstock_forest": json.dumps(FOREST),
        "penstock_schedule": json.dumps(SCHEDULE),
        "penstock_contributions": '["a", "b"]',
    }
    return peer


@pytest.mark.usefixtures("penstock")
def test_models_lists_every_version_with_its_state(run: Run, address: str) -> None:
    code, out, _ = run("models", "--server", address)
    assert code == 0
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "MODEL VERSION STATE DEFAULT ALIASES PLATFORM REQUESTS REASON",
        "delay 1 READY yes champion, good one test inline up to 496 rows",
        "delay 0 UNAVAILABLE digest of model.txt differs",
    ]


@pytest.mark.usefixtures("penstock")
def test_models_as_json(run: Run, address: str) -> None:
    code, out, _ = run("models", "--server", address, "--json")
    assert code == 0
    ready, failed = json.loads(out)
    assert ready == {
        "model": "delay",
        "version": "1",
        "state": "READY",
        "default": True,
        "aliases": ["champion", "good one"],
        "platform": "test",
        "executor": "compiled forest of LightGBM, cpu, avx2 from 25 rows on",
        "forest": FOREST,
        "contributions": True,
        "schedule": SCHEDULE,
        "reason": "",
    }
    assert (failed["default"], failed["reason"]) == (False, "digest of model.txt differs")
    assert failed["aliases"] == []
    assert (failed["executor"], failed["forest"], failed["schedule"]) == ("", None, None)


@pytest.mark.usefixtures("penstock")
def test_the_details_say_what_runs_a_version_and_where_its_requests_run_and_why(
    run: Run, address: str
) -> None:
    code, out, _ = run("models", "--details", "--server", address)
    assert code == 0
    table, details = out.split("\n\n")
    assert table == run("models", "--server", address)[1].rstrip()
    assert details.splitlines() == [
        "delay:1",
        "  runs on        compiled forest of LightGBM, cpu, avx2 from 25 rows on",
        "  forest         LightGBM, binary sigmoid:1: 500 trees of at most 31 leaves, 30 features, 1 output",
        "  contributions  on request",
        "  requests       on the loops up to 496 rows; runs are shared by 32 to 256 rows",
        "  cost           2 us a run and 0.5 us a row",
    ]


def test_a_server_that_says_nothing_of_schedules_is_listed_too(run: Run, address: str) -> None:
    code, out, _ = run("models", "--details", "--server", address)
    assert code == 0
    assert out.splitlines()[1].split() == ["delay", "1", "READY", "yes", "champion,", "good", "one", "test"]
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize(
    ("rows", "expected"), [(None, "inline"), (1, "inline up to 1 row"), (0, "pool"), (1234, "1,234 rows")]
)
def test_the_list_says_where_requests_run(
    run: Run, address: str, penstock: PeerServer, rows: int | None, expected: str
) -> None:
    penstock.parameters["penstock_schedule"] = json.dumps(SCHEDULE | {"inline_rows": rows})
    line = run("models", "--server", address)[1].splitlines()[1]
    assert line.endswith(f" {expected}")


def test_counters_show_what_waits_and_what_was_dropped(run: Run, address: str) -> None:
    code, out, _ = run("models", "counters", "--server", address)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == [
        "MODEL", "VERSION", "REQUESTS", "ROWS", "EXECUTIONS", "FAILURES", "WAITING", "REFUSED", "EXPIRED",
        "CANCELLED",
    ]  # fmt: skip
    assert lines[1].split() == ["delay", "1", *(f"1,{number:03}" for number in range(8))]
    assert lines[3] == "now: 3 waiting for the pool, 1 running in it; open connections 2, open calls 1,200"
    assert run("models", "counters", "other", "--server", address)[1].splitlines()[1] == ""


def test_counters_as_json_are_all_that_the_server_counts(run: Run, address: str) -> None:
    code, out, _ = run("models", "counters", "delay:1", "--server", address, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["server"]["open_streams"] == 1200
    assert found["versions"][0]["counters"]["waiting"] == 1004


def test_load_names_the_version_to_the_server(run: Run, address: str, peer: PeerServer) -> None:
    assert run("load", "delay:3", "--server", address) == (0, "delay:3 loaded\n", "")
    assert peer.requests[-1].parameters["version"].string_param == "3"
    code, out, _ = run("load", "delay", "--server", address, "--json")
    assert (code, json.loads(out)) == (0, {"model": "delay", "version": "", "action": "load"})


def test_a_refusal_is_shown_in_the_servers_words(run: Run, address: str) -> None:
    code, out, err = run("unload", "delay:2", "--server", address)
    assert (code, out) == (1, "")
    assert err == "penstock: unloading is not allowed; set repository.allow_load_unload\n"


@pytest.mark.parametrize("command", [("models",), ("load", "delay"), ("unload", "delay:1")], ids=" ".join)
def test_without_a_server_the_error_says_what_to_do(run: Run, command: tuple[str, ...]) -> None:
    code, out, err = run(*command, "--server", "127.0.0.1:1", "--timeout", 5)
    assert (code, out) == (1, "")
    assert err == (
        "penstock: no server answers at 127.0.0.1:1 (Connection refused); `penstock serve` starts one, "
        "--server names another address\n"
    )


@pytest.mark.parametrize("target", [":3", "delay:", "", "delay:3:4"])
def test_a_target_that_is_none_is_wrong_use(run: Run, target: str) -> None:
    code, _, err = run("load", target)
    assert code == 2
    assert "MODEL:VERSION" in err


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for version in ("2", "3", "10"):
        (tmp_path / "delay" / version).mkdir(parents=True)
        (tmp_path / "delay" / version / "bundle.json").write_text("{}")
    return tmp_path


def aliases(repository: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((repository / "delay" / "aliases.json").read_text())
    return found


def test_an_alias_is_set_moved_and_taken_away(run: Run, repository: Path) -> None:
    assert run("models", "alias", "delay", "champion=2", "--repository", repository)[0] == 0
    assert run("models", "alias", "delay", "stable=2", "--repository", repository)[0] == 0
    code, out, _ = run("models", "alias", "delay", "champion=3", "--repository", repository)
    assert (code, out) == (0, "delay: champion is version 3\n")
    assert aliases(repository) == {"champion": "3", "stable": "2"}
    code, out, _ = run("models", "alias", "delay", "champion=", "--repository", repository, "--json")
    assert (code, json.loads(out)) == (0, {"model": "delay", "aliases": {"stable": "2"}})
    assert aliases(repository) == {"stable": "2"}


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("delay", "champion=9"), 1, "it has: 2, 3, 10"),
        (("other", "champion=2"), 1, "has no model 'other'"),
        (("delay", "champion="), 1, "has no alias 'champion'"),
        (("../delay", "champion=2"), 1, "'../delay' cannot be used"),
        (("delay", "champion=../2"), 1, "'../2' cannot be used"),
        (("delay", "champion"), 2, "is not NAME=VERSION"),
        (("delay", "=2"), 2, "is not NAME=VERSION"),
        (("delay", "10=2"), 1, "'10' is a version of model 'delay'"),
    ],
)
def test_an_alias_that_cannot_be_set_changes_nothing(
    run: Run, repository: Path, arguments: tuple[str, str], code: int, expected: str
) -> None:
    got, _, err = run("models", "alias", *arguments, "--repository", repository)
    assert got == code
    assert expected in err
    assert not (repository / "delay" / "aliases.json").exists()


def test_an_alias_that_is_taken_away_may_still_stand_in_a_configuration(run: Run, repository: Path) -> None:
    run("models", "alias", "delay", "champion=2", "--repository", repository)
    assert run("models", "alias", "delay", "champion=", "--repository", repository) == (
        0,
        "delay: champion is gone from aliases.json; a server's configuration may still name it\n",
        "",
    )


def test_the_aliases_on_disk_are_listed(run: Run, repository: Path) -> None:
    code, out, _ = run("models", "alias", "delay", "--repository", repository)
    assert (code, out) == (0, f"delay: no aliases in {repository / 'delay'}\n")
    run("models", "alias", "delay", "stable=3", "--repository", repository)
    run("models", "alias", "delay", "champion=10", "--repository", repository)
    code, out, _ = run("models", "alias", "delay", "--repository", repository)
    assert [line.split() for line in out.splitlines()] == [
        ["ALIAS", "VERSION"],
        ["champion", "10"],
        ["stable", "3"],
    ]
    code, out, _ = run("models", "alias", "delay", "--repository", repository, "--json")
    assert json.loads(out) == {"model": "delay", "aliases": {"champion": "10", "stable": "3"}}
    assert run("models", "alias", "other", "--repository", repository)[0] == 1


def test_aliases_that_are_set_at_once_are_all_kept(repository: Path) -> None:
    wanted = {f"name{number}": "2" for number in range(8)}
    running = [
        subprocess.Popen([*PROGRAM, "models", "alias", "delay", f"{name}=2", "--repository", str(repository)])
        for name in wanted
    ]
    assert [process.wait(60) for process in running] == [0] * 8
    assert aliases(repository) == wanted


def test_a_broken_alias_file_is_named_and_kept(run: Run, repository: Path) -> None:
    (repository / "delay" / "aliases.json").write_text("[")
    code, _, err = run("models", "alias", "delay", "champion=2", "--repository", repository)
    assert code == 1
    assert "aliases.json is not JSON" in err
    assert (repository / "delay" / "aliases.json").read_text() == "["
