"""Lineage: where a version comes from, as far as it is known when it is built."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import struct
import subprocess
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
from pydantic import ValidationError

from penstock import __version__, frames
from penstock.bundle.manifest import Environment, Lineage, TrainingData
from penstock.errors import BundleError
from penstock.models.options import describe_validation

_FIELDS = ("training_data", "parameters", "metrics", "code_revision", "author")
# Of libraries that are installed under other names.
_PACKAGES = {"xgboost": ("xgboost", "xgboost-cpu"), "onnx": ("onnx", "onnxruntime")}
_GIT_TIMEOUT = 10.0  # seconds


def lineage_of(given: Mapping[str, Any] | None, *, reference: object | None, library: str) -> Lineage:
    """The lineage of a bundle that is built now, here, of a model of that library ("lightgbm", "xgboost",
    "scikit-learn", "onnx").

    `given` may hold `training_data` (a frame, or {"digest", "rows"}; else `reference` is taken),
    `parameters`, `metrics`, `code_revision` (else git's, of the working folder), `author` (else the
    user); whatever else it holds goes to `extra`. All must be JSON. BundleError names what is not.
    """
    fields = dict(given or {})
    known = {name: fields.pop(name) for name in _FIELDS if name in fields}
    data = known.pop("training_data", reference)
    if data is not None and not _is_digest(data):
        columns = frames.columns_of(data)
        data = TrainingData(digest=digest_frame(columns), rows=columns.rows)
    known.setdefault("code_revision", _git_revision())
    known.setdefault("author", _user())
    told = fields.pop("extra", {})
    if not isinstance(told, Mapping):
        raise BundleError(f"lineage: extra is {told!r}; expected a mapping, such as a dict.")
    extra = {**told, **fields}
    try:
        plain = json.loads(json.dumps({**known, "extra": extra}, allow_nan=False, default=_plain))
        if data is not None:
            plain["training_data"] = data.model_dump() if isinstance(data, TrainingData) else dict(data)
        plain["environment"] = _environment(library).model_dump()
        return Lineage.model_validate(plain)
    except ValidationError as error:
        raise BundleError(f"lineage: {describe_validation(error)}.") from error
    except (TypeError, ValueError) as error:
        raise BundleError(f"lineage must be JSON: {error}.") from error


def digest_frame(data: object) -> str:
    """SHA-256 of a table, the same for equal values whatever library, number width or layout holds them.

    Hashed are, as little-endian: the number of rows and of columns (INT64 each); then, for each column in the
    table's order, its name (its length in bytes as INT64, then UTF-8) and one letter with its values:

    - `n`, numbers and Booleans: each as FP64 (integers beyond 2**53 are rounded), a missing one as the NaN
      0x7FF8000000000000.
    - `t`, times: microseconds since 1970 as INT64, a missing one as -2**63.
    - `s`, all else as text: per row its length in bytes as INT64 (-1: missing), then all bytes in a row.
    """
    columns = frames.columns_of(data)
    digest = hashlib.sha256()
    digest.update(struct.pack("<qq", columns.rows, len(columns)))
    for name, values in columns.items():
        encoded = name.encode()
        digest.update(struct.pack("<q", len(encoded)) + encoded)
        kind = values.dtype.kind if isinstance(values, np.ndarray) else "O"
        if kind in "biuf":
            numbers = np.asarray(values).astype("<f8")
            numbers[np.isnan(numbers)] = np.nan  # one NaN, whatever its payload was
            digest.update(b"n" + numbers.tobytes())
        elif kind == "M":
            digest.update(b"t" + np.asarray(values).astype("<M8[us]").tobytes())
        else:
            texts = [None if value is None else _text(value) for value in values]
            lengths = [-1 if text is None else len(text) for text in texts]
            digest.update(b"s" + np.array(lengths, "<i8").tobytes())
            digest.update(b"".join(text for text in texts if text is not None))
    return digest.hexdigest()


def _text(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _is_digest(data: object) -> bool:
    return isinstance(data, TrainingData) or (isinstance(data, Mapping) and set(data) == {"digest", "rows"})


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} is not")


def _environment(library: str) -> Environment:
    packages = {"penstock": __version__}
    for package in ("numpy", *_PACKAGES.get(library, (library,))):
        try:
            packages[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Environment(python=platform.python_version(), packages=packages)


def _git_revision() -> str | None:
    """The commit of the working folder, with `-dirty` when tracked files differ from it; None outside
    of git.
    """
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return None
