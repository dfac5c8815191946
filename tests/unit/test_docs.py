"""The documentation is true: its snippets run, its generated parts are fresh, its links lead somewhere."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from penstock.config import load_settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
GUIDES = sorted((DOCS / "how-to").glob("*.md"))

PENSTOCK = [sys.executable, "-u", "-c", "from penstock.cli import main; main()"]
# What a clone is set up with is not for a test that runs inside of one.
NOT_RUN = ("make", "source", "git", "pip")
PORT = "8001"
# Commands that ask a server, by default the one on port 8001.
ASKING = ("predict", "bench", "models", "load", "unload")
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line that it begins at, its text."""

    language: str
    line: int
    text: str


def blocks(page: Path) -> list[Block]:
    found = []
    lines = page.read_text().splitlines()
    start = 0
    for number, line in enumerate(lines):
        if line.startswith("```"):
            if start:
                text = "\n".join(lines[start:number]) + "\n"
                found.append(Block(lines[start - 1].removeprefix("```"), start + 1, text))
            start = 0 if start else number + 1
    assert not start, f"{page}: the block of line {start} does not end"
    return found


def commands(console: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block with the output that stands below it."""
    found: list[tuple[str, list[str]]] = []
    for line in console.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ ").split("  # ")[0], []))
        else:
            found[-1][1].append(line)
    return found


def comparable(line: str) -> str:
    """The line without what differs from run to run: digests, times, sizes, digits behind a point, gaps; and
    without what the machine's processor has, and what was measured of a model on it.
    """
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "<time>", line)
    line = re.sub(r", (avx\w+|portable)( from \d+ rows on)?", "", line)
    line = re.sub(r"; (on the loops|in the pool)\b.* us a row\)$", ")", line)
    line = re.sub(r"inline up to [\d,]+ rows", "inline up to 0 rows", line)
    line = re.sub(r"[\d,]+ (ms|bytes)\b", r"0 \1", line)
    line = re.sub(r"\b\d+\.\d+(e-?\d+)?(?![.\d])", "0.0", line)
    line = re.sub(r"\b[0-9a-f]{8,}\b", "<digest>", line)
    return " ".join(line.split())


def agrees(expected: list[str], got: list[str]) -> bool:
    """Whether the lines are the same; `...` stands for any number of them."""
    if not expected:
        return not got
    if expected[0].strip() == "...":
        return any(agrees(expected[1:], got[skip:]) for skip in range(len(got) + 1))
    return bool(got) and comparable(expected[0]) == comparable(got[0]) and agrees(expected[1:], got[1:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serving:
    """`penstock serve` as the page starts it."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*PENSTOCK, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    def ready(self) -> bool:
        return any(line.startswith("ready after ") for line in self.lines)

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(PATIENCE_S) == 0, self.lines


@dataclass
class Reader:
    """Does what a page says, from top to bottom: one Python session, one folder, servers beside it."""

    page: Path
    names: dict[str, Any]
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._printed: list[str] = []
        self._environment = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith("PENSTOCK_") or key == "PENSTOCK_CACHE_DIR"
            },
            "PENSTOCK_SERVER_PORT": str(self.port),
            "PENSTOCK_REPOSITORY_WATCH_INTERVAL_S": "0.05",
            "COLUMNS": "200",
        }

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def follow(self) -> None:
        for block in blocks(self.page):
            text = block.text.replace(PORT, str(self.port))
            where = f"{self.page.relative_to(ROOT)}:{block.line}"
            if block.language == "python":
                self._python(text, block.line)
            elif block.language == "text":
                assert agrees(text.splitlines(), self._printed), f"{where}: printed {self._printed}"
            elif block.language == "console":
                for command, expected in commands(text):
                    self._console(command, expected, where)
            elif block.language == "toml" and "# penstock.toml" in text:
                Path("penstock.toml").write_text(text)

    def _python(self, text: str, line: int) -> None:
        output = io.StringIO()
        code = compile("\n" * line + text, str(self.page), "exec")
        with redirect_stdout(output):
            exec(code, self.names)
        self._printed = output.getvalue().splitlines()

    def _console(self, command: str, expected: list[str], where: str) -> None:
        program, *arguments = shlex.split(command)
        if program in NOT_RUN:
            return
        assert program == "penstock", f"{where}: {program} is not run here; use another language for it"
        if arguments[0] == "serve":
            self._serve(arguments, expected, where)
            return
        if (
            arguments[0] in ASKING
            and arguments[1:2] != ["alias"]
            and not {"--local", "--server"} & {*arguments}
        ):
            arguments += ["--server", f"localhost:{self.port}"]
        end = time.monotonic() + PATIENCE_S
        while True:  # a server that watches its repository takes a moment
            done = subprocess.run(
                [*PENSTOCK, *arguments], capture_output=True, text=True, env=self._environment
            )
            failed = any(line.startswith("penstock:") for line in expected)
            got = done.stderr if failed else done.stdout
            if (not expected or agrees(expected, got.splitlines())) and done.returncode == int(failed):
                return
            if time.monotonic() > end or not expected:
                raise AssertionError(f"{where}: {command}\n{done.stdout}{done.stderr}")

    def _serve(self, arguments: list[str], expected: list[str], where: str) -> None:
        serving = Serving(arguments, self._environment)
        self._stack.callback(serving.end)
        end = time.monotonic() + PATIENCE_S
        while not (agrees(expected, serving.lines) if expected else serving.ready()):
            assert time.monotonic() < end, f"{where}: the server said {serving.lines}"
            assert serving.process.poll() is None, f"{where}: the server ended: {serving.lines}"
            time.sleep(0.02)


def flights(rows: int = 600) -> dict[str, Any]:
    """What README's snippet takes for given: a frame of flights, what became of them, LightGBM."""
    import lightgbm
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "temp": np.where(random.random(rows) < 0.1, np.nan, random.normal(60, 15, rows)),
            "visib": random.uniform(0, 10, rows),
            "carrier": random.choice(["AA", "B6", "UA"], rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], rows),
            "dest": random.choice(["BOS", "LAX", "ORD", "SFO"], rows),
            "hour": random.integers(5, 24, rows),
        }
    )
    return {
        "lightgbm": lightgbm,
        "train": frame[:400],
        "label": random.random(400) < 0.3,
        "holdout": frame[400:],
        "params": {"objective": "binary", "num_threads": 1, "verbose": -1, "num_leaves": 7},
    }


@pytest.fixture(scope="session")
def deliveries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The tutorial's frame, features, model and bundle: what the guides begin with."""
    names: dict[str, Any] = {}
    folder = tmp_path_factory.mktemp("deliveries")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in blocks(TUTORIAL):
            if block.language == "python" and "Client(" in block.text:
                break
            if block.language == "python":
                with redirect_stdout(io.StringIO()):
                    exec(compile(block.text, str(TUTORIAL), "exec"), names)
    finally:
        os.chdir(before)
    return folder, names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_tutorial_does_what_it_says(folder: Path) -> None:
    with Reader(TUTORIAL, {}) as reader:
        reader.follow()


def test_the_readme_does_what_it_says(folder: Path) -> None:
    with Reader(ROOT / "README.md", flights()) as reader:
        reader.follow()
        served = reader.names["client"].infer("delay", reader.names["holdout"])["prediction"]
    runner = reader.names["penstock"].load("repository/delay/1")
    assert (served == runner.predict(reader.names["holdout"])["prediction"]).all()


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_does_what_it_says(page: Path, folder: Path, deliveries: tuple[Path, dict[str, Any]]) -> None:
    source, names = deliveries
    shutil.copytree(source, folder, dirs_exist_ok=True)
    with Reader(page, dict(names)) as reader:
        reader.follow()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_configuration_files_in_the_documentation_are_accepted(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language == "toml" and "# penstock.toml" in block.text:
            file = tmp_path / "penstock.toml"
            file.write_text(block.text)
            settings = load_settings(file, environment={})
            assert settings.model_dump(exclude_unset=True).keys() == tomllib.loads(block.text).keys()


def test_generated_parts_are_fresh() -> None:
    done = subprocess.run([sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_part_is_found(tmp_path: Path) -> None:
    copy = tmp_path / "docs"
    shutil.copytree(DOCS, copy)
    shutil.copytree(ROOT / "benchmarks" / "results", tmp_path / "benchmarks" / "results")
    shutil.copy(ROOT / "README.md", tmp_path)
    page = copy / "reference" / "configuration.md"
    page.write_text(page.read_text().replace("`max_message_bytes`", "`max_massage_bytes`", 1))
    startup = tmp_path / "benchmarks" / "results" / "startup.json"
    startup.write_text(
        startup.read_text().replace('"seconds": [', '"seconds": [99.0, 99.0, 99.0, 99.0, 99.0, 99.0, ')
    )
    done = subprocess.run([sys.executable, copy / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "configuration.md: stale" in done.stdout
    assert "benchmarks.md: stale" in done.stdout


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub gives a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page}: {link} leads nowhere"
        if fragment and target.suffix == ".md":
            assert fragment in anchors(target), f"{page}: {link}: no such heading"


def test_every_page_can_be_found_from_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS)
        if page != DOCS / "README.md" and name.parts[0] != "adr":
            assert f"({name})" in index, f"docs/README.md does not link {name}"
