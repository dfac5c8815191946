from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_program import PROGRAM, Run

import penstock

COMMANDS = [
    ("serve",),
    ("bundle",),
    ("bundle", "build"),
    ("bundle", "inspect"),
    ("bundle", "verify"),
    ("bundle", "pack"),
    ("bundle", "unpack"),
    ("predict",),
    ("models",),
    ("models", "alias"),
    ("load",),
    ("unload",),
]


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version") == (0, f"penstock {penstock.__version__}\n", "")


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_every_command_explains_itself_with_an_example(run: Run, command: tuple[str, ...]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"Example: penstock {' '.join(command)}".rstrip() in " ".join(out.split())


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != ("bundle",)], ids=" ".join)
def test_every_command_speaks_json(run: Run, command: tuple[str, ...]) -> None:
    assert "--json" in run(*command, "--help")[1]


@pytest.mark.parametrize("arguments", [("predict",), ("no-such-command",), ("load", "m", "--no-such-option")])
def test_wrong_use_exits_2(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: penstock" in err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['penstock', '--help']\n"
        "from penstock.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'grpc', 'pydantic', 'rich', 'narwhals', 'google', 'lightgbm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_reader_that_stops_reading_is_no_crash() -> None:
    process = subprocess.Popen([*PROGRAM, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    assert b"Exception" not in err


def test_a_setting_that_cannot_be_is_refused_before_anything_starts(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text("[server]\nport = 'many'\nhots = 'x'\n")
    code, out, err = run("serve", "--config", config)
    assert (code, out) == (1, "")
    assert "server.port" in err
    assert "did you mean host" in err


def test_the_package_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, f"penstock {penstock.__version__}\n")


def test_kubernetes_variables_are_told_of_and_passed_over(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SERVER_PORT", "tcp://10.0.0.1:8001")
    code, _, err = run("serve", "--repository", tmp_path / "nowhere")
    assert code == 1
    warning, refusal = err.splitlines()
    assert "WARNING penstock.config ignored PENSTOCK_SERVER_PORT=tcp://10.0.0.1:8001: Kubernetes" in warning
    assert "nowhere cannot be read" in refusal
