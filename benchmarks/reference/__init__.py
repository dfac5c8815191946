"""The reference programs of this folder, built when they are asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program(name: str) -> Path:
    """The program's path; made anew where a source changed. Ends with the compiler's words where that
    fails.
    """
    built = ROOT / "build" / "release" / "reference" / name
    done = subprocess.run(
        ["make", "--no-print-directory", "-s", "-C", str(Path(__file__).parent), str(built)],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "MAKEFLAGS"},
    )
    if done.returncode:
        sys.exit(f"the reference program {name} could not be built:\n{done.stdout}{done.stderr}")
    return built
