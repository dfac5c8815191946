"""Run under malloc_counter: what runs of every transform's program, and of a whole version, allocate."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from parity_cases import Case, frame_of
from test_transforms_parity import PARITY, count, features_for

from penstock import transforms as t
from penstock._core import Executor, Version
from penstock.errors import PenstockError
from penstock.frames import as_datatype, columns_of

RUNS = 300
VERSION = "a version with a linear model"
CONTROL = "a transform that allocates"

MEASURED: dict[str, Case] = {  # the first and the last of each kind: of most kinds, text and numbers
    f"{kind}: {case}": case for kind, cases in sorted(PARITY.items()) for case in (cases[0], cases[-1])
}


def allocated(run: Callable[[int], object]) -> int:
    """What RUNS runs more allocate: the least of three, since Python may collect its own garbage between."""
    allocations = ctypes.CDLL(None).penstock_allocations
    allocations.restype = ctypes.c_uint64
    run(RUNS)
    found = []
    for _ in range(3):
        before = allocations()
        run(RUNS)
        between = allocations()
        run(2 * RUNS)
        found.append((allocations() - between) - (between - before))
    return min(found, key=abs)


def runs_of(features: t.Features, frame: Any) -> Callable[[int], object]:
    columns = columns_of(frame)
    inputs = {name: as_datatype(columns[name], datatype, name) for name, datatype in features.inputs}
    return partial(features.program().durations, inputs)


def of_a_case(name: str, case: Case) -> int:
    """Of the most rows, of a few draws that are always the same, that can be learned from and transformed."""
    found: list[tuple[int, Callable[[int], object]]] = []
    refusals: list[PenstockError] = []

    @given(train=case.train, rows=case.rows)
    @settings(
        max_examples=5,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def draw(train: Any, rows: Any) -> None:
        features, frame = features_for(case), frame_of(rows)[0]
        try:
            features.fit(*frame_of(train)).transform(frame)
        except PenstockError as error:
            refusals.append(error)
            return
        found.append((count(rows), runs_of(features, frame)))

    draw()
    if not found:
        raise AssertionError(f"{name}: none of its draws can be measured") from refusals[-1]
    return allocated(max(found, key=lambda pair: pair[0])[1])


def of_a_version() -> int:
    rng = np.random.default_rng(1)
    frame: dict[str, Any] = {"number": rng.normal(size=300), "text": [f"k{i % 40}" for i in range(300)]}
    features = t.Features([t.Impute("number"), t.Standardize("number"), t.OneHot("text")]).fit(frame)
    width = len(features.output_names)
    executor = Executor.linear(rng.normal(size=(1, width)), np.zeros(1), link="logistic")
    version = Version(model="m", version="1", digest="", executor=executor, program=features.program())
    return allocated(partial(version.durations, frame))


def of_a_transform_that_allocates() -> int:
    def of_an_array(x):  # type: ignore[no-untyped-def]
        return np.ones(4)[int(x)]

    frame = {"x": np.ones(1)}
    return allocated(runs_of(t.Features([t.Custom("x", of_an_array)]).fit(frame), frame))


def of_the_c_library() -> dict[str, int]:
    """Of one call a run of each of its functions that give memory."""
    library = ctypes.CDLL(None)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.free.argtypes = [pointer]
    library.munmap.argtypes = [pointer, size]
    place = pointer()
    private, nowhere = 0x02, 0x20  # MAP_PRIVATE, MAP_ANONYMOUS
    mapping = (
        [pointer, size, number, number, number, ctypes.c_long],
        (None, 64, 3, private | nowhere, -1, 0),
    )
    calls: dict[str, tuple[list[Any], tuple[Any, ...]]] = {
        "malloc": ([size], (64,)),
        "calloc": ([size, size], (2, 32)),
        "realloc": ([pointer, size], (None, 64)),
        "reallocarray": ([pointer, size, size], (None, 2, 32)),
        "aligned_alloc": ([size, size], (64, 64)),
        "memalign": ([size, size], (64, 64)),
        "posix_memalign": ([pointer, size, size], (ctypes.addressof(place), 64, 64)),
        "valloc": ([size], (64,)),
        "mmap": mapping,
        "mmap64": mapping,
    }
    found = {}
    for name, (types, arguments) in calls.items():
        function = library[name]
        function.argtypes, function.restype = types, number if name == "posix_memalign" else pointer

        def run(times: int, name: str = name, function: Any = function, given: Any = arguments) -> None:
            for _ in range(times):
                made = function(*given)
                if name.startswith("mmap"):
                    library.munmap(made, 64)
                else:
                    library.free(place if name == "posix_memalign" else made)

        found[name] = allocated(run)
    return found


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "nothing": {
                    **{name: of_a_case(name, case) for name, case in MEASURED.items()},
                    VERSION: of_a_version(),
                },
                "something": {CONTROL: of_a_transform_that_allocates(), **of_the_c_library()},
            }
        )
    )
