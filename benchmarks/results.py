"""Keeps a benchmark's figures, with what they were measured on, as benchmarks/results/<name>.json."""

from __future__ import annotations

import datetime
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("grpcio", "lightgbm", "numpy", "onnxruntime", "penstock", "protobuf")


def save(name: str, figures: dict[str, Any]) -> Path:
    """Replaces the file of that name; returns its path."""
    record = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_name(), "cores": len(os.sched_getaffinity(0)), "kernel": platform.release()},
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        **figures,
    }
    path = Path(__file__).resolve().parent / "results" / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def cpu_name() -> str:
    """The processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def version(package: str) -> str:
    """The installed version; "source tree" when the package is only on the path."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "source tree"
