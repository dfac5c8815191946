"""`penstock serve` as a process of its own, for tests that want the program and not its parts."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, Queue

PROGRAM = [sys.executable, "-m", "penstock"]


class Program:
    """A running server. `lines` is what it has announced so far."""

    def __init__(self, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", "0", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._queue.put(self.lines[-1])

    def wait_for(self, text: str, timeout: float = 30.0) -> str:
        """The first line not yet waited for that holds `text`."""
        try:
            while text not in (line := self._queue.get(timeout=timeout)):
                pass
        except Empty:
            raise AssertionError(f"no line with {text!r} came; there are: {self.lines}") from None
        return line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal and returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit status of a server that ends by itself."""
        try:
            return self._process.wait(20)
        finally:
            self._process.kill()
            self._reader.join(5)


def started(repository: Path, *arguments: object) -> tuple[Program, str]:
    """A server of the repository that has loaded all it could, and its address."""
    program = Program("--repository", repository, *arguments)
    try:
        listening = program.wait_for("listening on")
        program.wait_for("ready after")
    except BaseException:
        program.stop()
        raise
    return program, listening.partition("listening on ")[2].split(" and ")[0]
