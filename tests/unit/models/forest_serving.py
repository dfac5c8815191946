"""A model's forest, loaded and asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from forest_walk import describe

from penstock import models
from penstock._core import Executor, Version

Matrix = np.ndarray[Any, Any]


def loaded(model: object, folder: Path, **options: Any) -> Executor:
    prepared = models.prepare(model, options)
    path = folder / prepared.file
    path.write_bytes(prepared.content)
    return models.load_executor(prepared.kind, str(path), prepared.options)


def run(executor: Executor, x: Matrix) -> Matrix:
    version = Version(model="m", version="1", digest="", executor=executor)
    return version.run({"features": x})["prediction"]


def edges(content: bytes, x: Matrix, seed: int = 0) -> Matrix:
    """The rows `x` with values on the model's thresholds and right beside them, in both precisions, where
    columns have any.
    """
    arrays, random = safetensors.numpy.load(content), np.random.default_rng(seed)
    numeric = arrays["category_counts"] < 0
    x = x.copy()
    for column in range(len(describe(content)["feature_names"])):
        found = arrays["thresholds"][numeric & (arrays["features"] == column)]
        found = found[np.isfinite(found)]
        if len(found) == 0:
            continue
        single = found.astype(np.float32)
        up, down = np.float32(np.inf), np.float32(-np.inf)
        near = [single, np.nextafter(single, up), np.nextafter(single, down)]
        middle = [(near[0].astype(float) + near[1]) / 2, (near[0].astype(float) + near[2]) / 2]
        doubles = [found, np.nextafter(found, np.inf), np.nextafter(found, -np.inf)]
        pool = np.concatenate([*near, *middle, *doubles, x[:5, column]])
        x[:, column] = random.choice(pool, len(x))
    return x
