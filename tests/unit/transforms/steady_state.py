"""Run under malloc_counter: what runs of every transform's program, and of a whole version, allocate."""

from __future__ import annotations

import ctypes
import json
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from parity_cases import frame_of
from test_transforms_parity import PARITY, features_for

from penstock import transforms as t
from penstock._core import Executor, Version
from penstock.errors import PenstockError
from penstock.frames import as_datatype, columns_of

warnings.simplefilter("ignore")  # drawing an example outside of a test
allocations = ctypes.CDLL(None).penstock_allocations
allocations.restype = ctypes.c_uint64


def allocated(run: Callable[[int], object]) -> int:
    """What 1,000 runs more allocate: the least of three, since Python may collect its own garbage between."""
    run(100)
    found = []
    for _ in range(3):
        before = allocations()
        run(1000)
        between = allocations()
        run(2000)
        found.append((allocations() - between) - (between - before))
    return min(found, key=abs)


def of_transforms() -> dict[str, int]:
    found = {}
    for kind, cases in sorted(PARITY.items()):
        for case in cases:
            for _ in range(5):
                features, frame = features_for(case), frame_of(case.rows.example())[0]
                try:
                    features.fit(*frame_of(case.train.example())).transform(frame)
                except PenstockError:
                    continue  # what cannot be learned from, or is refused
                columns = columns_of(frame)
                given = {name: as_datatype(columns[name], kept, name) for name, kept in features.inputs}
                run = partial(features.program().durations, given)
                found[f"{kind}: {case}"] = allocated(run)
                break
    return found


def of_a_version() -> int:
    rng = np.random.default_rng(1)
    frame: dict[str, Any] = {"number": rng.normal(size=300), "text": [f"k{i % 40}" for i in range(300)]}
    features = t.Features([t.Impute("number"), t.Standardize("number"), t.OneHot("text")]).fit(frame)
    width = len(features.output_names)
    executor = Executor.linear(rng.normal(size=(1, width)), np.zeros(1), link="logistic")
    version = Version(model="m", version="1", digest="", executor=executor, program=features.program())
    return allocated(partial(version.durations, frame))


if __name__ == "__main__":
    print(json.dumps({**of_transforms(), "a version with a linear model": of_a_version()}))
