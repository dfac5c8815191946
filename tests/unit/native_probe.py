"""The libraries of tests/native/<room>/probe, through which tests drive a room of ext/ with ctypes."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def built(room: str) -> Path:
    """Makes the room's library of the tree as it is, or nothing where it is up to date."""
    library = ROOT / "build" / "release" / "native" / f"lib{room}_probe.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    with (library.parent / f"{room}_probe.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-s", "-C", str(ROOT / "tests" / "native"), f"ROOMS={room}", str(library)]
        made = subprocess.run(command, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
    return library
