"""Figures that are committed are those of full runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

import results


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "COMMITTED", tmp_path / "results")
    monkeypatch.setattr(results, "LATEST", tmp_path / "build" / "bench")
    return tmp_path


def options(monkeypatch: pytest.MonkeyPatch, *words: str) -> argparse.Namespace:
    monkeypatch.setattr("sys.argv", ["bench", *words])
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    return results.parsed(parser, least={"rounds": 4}, short={"rounds": 2}, judges="less is judged")


@pytest.mark.parametrize(
    ("words", "place"),
    [([], "build/bench"), (["--rounds", "1"], "build/bench"), (["--save"], "results")],
)
def test_only_what_is_saved_comes_to_the_committed_figures(
    folders: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], place: str
) -> None:
    path = results.keep("speed", {"values": [1, 2]}, options(monkeypatch, *words))
    assert path == Path(place) / "speed.json"
    assert [file.name for file in folders.rglob("*.json")] == ["speed.json"]
    record = json.loads((folders / path).read_text())
    assert record["values"] == [1, 2]
    assert {"when", "machine", "revision", "python", "packages"} < record.keys()


def test_a_short_run_cannot_be_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options(monkeypatch, "--rounds", "3", "--save")
    assert ended.value.code == 2
    assert "at least --rounds 4" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "rounds"), [([], 4), (["--short"], 2), (["--short", "--rounds", "3"], 3)])
def test_the_short_form_has_defaults_of_its_own(
    monkeypatch: pytest.MonkeyPatch, words: list[str], rounds: int
) -> None:
    found = options(monkeypatch, *words)
    assert (found.rounds, found.short) == (rounds, "--short" in words)


@pytest.mark.parametrize("more", [[], ["--rounds", "4"]])
def test_the_short_form_cannot_be_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options(monkeypatch, "--short", "--save", *more)
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
