"""What the command line's tests share: how a run is asked for, and the program as a command of its own."""

from __future__ import annotations

import sys
from typing import Protocol

PROGRAM = [sys.executable, "-m", "penstock"]


class Run(Protocol):
    """Runs the command line in this process; exit status, stdout, stderr."""

    def __call__(self, *arguments: object) -> tuple[int, str, str]: ...
