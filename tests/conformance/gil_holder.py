"""A server whose Python can be stopped from outside: `hold SECONDS` on its input keeps the GIL for so long.

Not a test: test_busy_python.py runs it in a process of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from pathlib import Path

from penstock.config import load_settings
from penstock.server import Server


def say(line: str) -> None:
    """In one piece: the lines of several threads must not run into one another."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--repository", "--config", "--port", "--unix-socket"):
        parser.add_argument(option, required=True)
    given = parser.parse_args()
    settings = load_settings(
        Path(given.config), overrides={"repository.path": given.repository, "server.port": int(given.port)}
    )
    server = Server(settings, announce=say)
    server.start()
    server.wait_ready()
    say(f"listening on {server.address}")
    say("ready after all was loaded")
    # PyDLL keeps the GIL during the call, where CDLL lets it go.
    holding = ctypes.PyDLL(None)
    for line in sys.stdin:
        word, _, seconds = line.strip().partition(" ")
        if word == "stop":
            break
        say("holding")
        holding.usleep(int(float(seconds) * 1e6))
        say("released")
    server.stop()


main()
