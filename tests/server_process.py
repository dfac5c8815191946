"""A real `penstock serve` in a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

# Words put before the command of every server that the tests start, as in
#   PENSTOCK_SERVER_WRAPPER="env LD_PRELOAD=libasan.so PYTHONPATH=build/address-undefined/lib"
# so that a sanitizer's runtime is in the server alone, and not in pytest and the clients.
WRAPPER = "PENSTOCK_SERVER_WRAPPER"
SERVE = ("-c", "from penstock.cli import main; main()", "serve")

_LISTENING = re.compile(r"^listening on [^\s:]+:(\d+)")
# What a sanitizer or a crashed thread leaves behind, and no healthy run does.
_ALARMS = ("ERROR: AddressSanitizer", "WARNING: ThreadSanitizer", "runtime error:", "Traceback (most recent")


def environment() -> dict[str, str]:
    """This process's, without the developer's own settings: the tests say all of them. The cache stays."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PENSTOCK_") or key == "PENSTOCK_CACHE_DIR"
    }


def wrapped() -> bool:
    """Whether servers run under another program: times and memory then mean little."""
    return bool(os.environ.get(WRAPPER))


class ServerProcess:
    """Starts at once and waits until the server says that it is ready. A context manager: ends it, and checks
    that it ended well.
    """

    def __init__(
        self,
        repository: Path,
        *options: str,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        folder: Path,
        command: Sequence[str] = SERVE,
        ready: bool = True,
    ) -> None:
        self.unix_socket = folder / "penstock.sock"
        config = folder / "penstock.toml"
        config.write_text(_toml(settings or {}))
        self.process = subprocess.Popen(
            [
                *shlex.split(os.environ.get(WRAPPER, "")),
                *(sys.executable, *command),
                *("--repository", str(repository), "--config", str(config), "--port", "0"),
                *("--unix-socket", str(self.unix_socket), *options),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment(),
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.port = int(self.wait_for(_LISTENING)[1])
            if ready:
                self.wait_for("ready after ")
        except BaseException:
            self.process.kill()
            raise

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        with self._changed:
            return "\n".join(self.lines)

    def wait_for(self, text: str | re.Pattern[str], timeout: float = 60.0) -> re.Match[str]:
        """The first line of the output that has it, past or to come."""
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        end = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if found := pattern.search(line):
                        return found
                seen = len(self.lines)
                left = end - time.monotonic()
                if self._closed or left <= 0:
                    why = "the server ended" if self._closed else f"{timeout} s passed"
                    raise AssertionError(
                        f"{why} before it wrote {pattern.pattern!r}:\n" + "\n".join(self.lines)
                    )
                self._changed.wait(left)

    def tell(self, line: str) -> None:
        """Writes a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit status."""
        return self.process.wait(timeout)

    def memory_bytes(self) -> int:
        """Resident set size."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Processor time so far, in user and kernel mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """SIGTERM; it must leave with 0 and without a word about a defect."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server did not end:\n{self.output}") from None
        assert status == 0, f"exit status {status}:\n{self.output}"
        self.check_output()

    def check_output(self) -> None:
        output = self.output
        assert not any(alarm in output for alarm in _ALARMS), output

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        elif self.process.poll() is None:
            self.process.kill()
            self.process.wait()


StartServer = Callable[..., ServerProcess]  # what the fixture `start_server` gives


def _toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for section, values in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return str(value) if isinstance(value, int | float) else f'"{value}"'
