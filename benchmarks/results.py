"""Keeps a benchmark's figures with what they were measured on.

Every run writes build/bench/<name>.json. With --save it writes benchmarks/results/<name>.json instead, which
is committed and which docs/benchmarks.md is made of; only runs of full length may.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "benchmarks" / "results"
LATEST = ROOT / "build" / "bench"
PACKAGES = (
    "grpcio",
    "lightgbm",
    "numpy",
    "onnxruntime",
    "penstock",
    "protobuf",
    "scikit-learn",
    "skl2onnx",
)


def parsed(
    parser: argparse.ArgumentParser, *, least: Mapping[str, float], short: Mapping[str, float], judges: str
) -> argparse.Namespace:
    """The command line's options, with --save and --short.

    A run below one of its `least` may not be saved, nor may a short one. `short` has the defaults of the
    short form, and `judges` says what it judges otherwise.
    """
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--save",
        action="store_true",
        help="keep the figures in benchmarks/results, for docs/benchmarks.md; full length only",
    )
    defaults = "".join(f" --{name} {value:g}" for name, value in short.items())
    form.add_argument(
        "--short",
        action="store_true",
        help=f"for machines that do other things too: {judges}." + (f" Implies{defaults}" * bool(short)),
    )
    if parser.parse_known_args()[0].short:
        parser.set_defaults(**short)
    options = parser.parse_args()
    below = [f"--{name} {value:g}" for name, value in least.items() if vars(options)[name] < value]
    if options.save and below:
        parser.error(f"--save keeps figures of full length only; it takes at least {', '.join(below)}")
    return options


def keep(name: str, figures: Mapping[str, Any], options: argparse.Namespace) -> Path:
    """Replaces the file of that name; returns its path, as seen from the repository."""
    record = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "kernel": ".".join(platform.release().split(".")[:2]),
        },
        "revision": revision(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        **figures,
    }
    path = (COMMITTED if options.save else LATEST) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_json(record))
    return path.relative_to(ROOT)


def as_json(record: Mapping[str, Any]) -> str:
    """A line for each entry, and for each entry's entries: long lists do not make long files."""
    lines = []
    for key, value in record.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def cpu_name() -> str:
    """The processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def revision() -> str:
    """The commit that was measured; "" outside of a clone, and with a + where files differ from it."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def version(package: str) -> str:
    """The installed version; "source tree" when the package is only on the path."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "source tree"
