from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from penstock.bundle.manifest import Manifest

FILES = {"model.txt": b"tree\nnot a real one\n", "golden.safetensors": b"\x00" * 100}


def manifest_fields(contents: dict[str, bytes] | None = None, **changed: Any) -> dict[str, Any]:
    content = FILES if contents is None else contents
    fields: dict[str, Any] = {
        "format": 1,
        "name": "delay",
        "version": "3",
        "created": "2026-01-31T12:00:00Z",
        "model": {"kind": "lightgbm", "file": "model.txt", "options": {}},
        "inputs": [{"name": "distance", "datatype": "FP64", "shape": [-1]}],
        "outputs": [{"name": "prediction", "datatype": "FP64", "shape": [-1]}],
        "transforms": None,
        "max_rows": 0,
        "golden": {
            "file": "golden.safetensors",
            "rows": 2,
            "tolerance": {"absolute": 1e-9, "relative": 1e-9},
        },
        "lineage": {"environment": {"python": "3.11.2", "packages": {}}},
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in content.items()
        },
    }
    return {**fields, **changed}


def write_folder(path: Path, files: dict[str, bytes] | None = None, **changed: Any) -> Path:
    """A bundle folder whose files are only bytes: enough for what never loads the model."""
    path.mkdir(parents=True)
    for name, data in (FILES if files is None else files).items():
        (path / name).write_bytes(data)
    manifest = Manifest.model_validate_json(json.dumps(manifest_fields(files, **changed)))
    (path / "bundle.json").write_bytes(manifest.to_bytes())
    return path
