"""The cache of compiled custom transforms: whom it trusts, what damage costs, and many processes at once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.transforms import code_cache

KEY = "0" * 64
PROGRAM = """
import sys
import numpy as np
from penstock import transforms as t
SCALE = {scale}
def f(x, y):
    if x < 0:
        raise ValueError
    return np.exp(x) * SCALE + y
made = t.Features([t.Custom(["x", "y"], f)]).fit_transform({{"x": np.arange(300.0), "y": np.ones(300)}})
print(made.tobytes().hex()[:64], "compiled" if "numba" in sys.modules else "loaded")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, which is not there yet."""
    monkeypatch.setenv("PENSTOCK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(code_cache, "_warn", code_cache._warn.__wrapped__)  # each time, not once a process
    return tmp_path / "cache" / "custom-transforms"


def program(tmp_path: Path, scale: float = 2.0) -> subprocess.Popen[str]:
    source = tmp_path / f"program{scale}.py"
    if not source.exists():  # written anew, it would be empty to a process that just starts
        source.write_text(PROGRAM.format(scale=scale))
    return subprocess.Popen(
        [sys.executable, str(source)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The first of its numbers, and where its code came from."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    numbers, origin = out.split()
    return numbers, origin


def test_what_was_written_is_read_by_anybody_of_the_same_user_until_it_is_damaged(folder: Path) -> None:
    assert code_cache.read(KEY) is None
    code_cache.write(KEY, b"code" * 1000)
    assert code_cache.read(KEY) == b"code" * 1000
    assert code_cache.read("1" * 64) is None
    assert (folder.stat().st_mode & 0o777, (folder / KEY).stat().st_mode & 0o777) == (0o700, 0o600)
    whole = (folder / KEY).read_bytes()
    for damaged in (whole[:-1], whole + b"x", whole[:60] + b"X" + whole[61:], b"", whole[:20], b"x" + whole):
        (folder / KEY).write_bytes(damaged)
        assert code_cache.read(KEY) is None
    (folder / ("1" * 64)).write_bytes(whole)
    assert code_cache.read("1" * 64) is None, "another's content under this name"
    code_cache.write(KEY, b"anew")
    assert code_cache.read(KEY) == b"anew"
    assert sorted(path.name for path in folder.iterdir()) == [KEY, "1" * 64]


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707, 0o777])
def test_a_folder_that_others_can_use_is_not_used(
    folder: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    code_cache.write(KEY, b"code")
    folder.chmod(mode)
    with caplog.at_level(logging.WARNING):
        assert code_cache.read(KEY) is None
        code_cache.write("1" * 64, b"code")
    assert [path.name for path in folder.iterdir()] == [KEY]
    assert f"mode {mode:04o}; expected user {os.geteuid()} and nobody else" in caplog.text
    assert "PENSTOCK_CACHE_DIR names another folder" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_or_a_file_of_another_user_is_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code_cache.write(KEY, b"code")
    os.chown(folder / KEY, 12345, 12345)
    assert code_cache.read(KEY) is None
    os.chown(folder / KEY, 0, 0)
    assert code_cache.read(KEY) == b"code"
    os.chown(folder, 12345, 12345)
    assert code_cache.read(KEY) is None
    assert "is of user 12345" in caplog.text


def test_links_and_files_that_others_can_write_are_not_followed(folder: Path, tmp_path: Path) -> None:
    code_cache.write(KEY, b"code")
    (folder / KEY).chmod(0o620)
    assert code_cache.read(KEY) is None
    (folder / KEY).chmod(0o600)
    (folder / KEY).rename(tmp_path / "elsewhere")
    (folder / KEY).symlink_to(tmp_path / "elsewhere")
    assert code_cache.read(KEY) is None
    (folder / KEY).unlink()
    os.mkfifo(folder / KEY, 0o600)
    assert code_cache.read(KEY) is None
    (folder / KEY).unlink()
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    code_cache.write(KEY, b"code")
    assert code_cache.read(KEY) is None
    assert list((tmp_path / "moved").iterdir()) == []


def test_a_folder_that_cannot_be_made_costs_a_warning(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    code_cache.write(KEY, b"code")
    assert code_cache.read(KEY) is None
    assert "custom transforms are compiled anew in each process" in caplog.text


def test_without_a_folder_of_its_own_it_is_where_caches_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert code_cache.folder() == Path("/var/cache/me/penstock/custom-transforms")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert code_cache.folder() == Path("/home/me/.cache/penstock/custom-transforms")


def test_the_next_process_does_not_compile_unless_something_changed(folder: Path, tmp_path: Path) -> None:
    first, origin = said(program(tmp_path))
    assert origin == "compiled"
    assert said(program(tmp_path)) == (first, "loaded")
    assert said(program(tmp_path, 2.5))[1] == "compiled"
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert said(program(tmp_path)) == (first, "compiled")
    assert said(program(tmp_path)) == (first, "loaded")
    assert len(list(folder.iterdir())) == 2


def test_processes_that_compile_the_same_at_once_do_not_disturb_each_other(
    folder: Path, tmp_path: Path
) -> None:
    answers = {said(process) for process in [program(tmp_path) for _ in range(3)]}
    assert len({numbers for numbers, _ in answers}) == 1
    assert len(list(folder.iterdir())) == 1
