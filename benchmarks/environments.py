"""Environments of the peers: a venv each in build/peers, with the packages of peers/requirements."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "peers"
REQUIREMENTS = ROOT / "benchmarks" / "peers" / "requirements"


def folder(name: str) -> Path:
    """Where a peer's environment, logs and files are."""
    path = KEPT / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def environment(name: str) -> Path:
    """The `bin` of the peer's environment; made, or made anew, where it does not hold what the file says."""
    requirements = REQUIREMENTS / f"{name}.txt"
    place = folder(name) / "venv"
    stamp = place / "installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        log = folder(name) / "install.log"
        print(f"installing {name} into {place.relative_to(ROOT)} (some hundred MB, once)", flush=True)
        venv.create(place, with_pip=True, clear=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        with log.open("wb") as output:
            done = subprocess.run([*pip, "-r", str(requirements)], stdout=output, stderr=subprocess.STDOUT)
        if done.returncode:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            sys.exit(f"{name} could not be installed ({log.relative_to(ROOT)}):\n{last}")
        stamp.write_text(wanted)
    return place / "bin"
