"""LightGBM models that the library runs, against Booster.predict, bit for bit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import executor_probe
import lightgbm
import lightgbm_models
import numpy as np
import pytest
from executor_probe import FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, Failure, Probe


def saved(booster: lightgbm.Booster, path: Path) -> Path:
    booster.save_model(path)
    return path


def run(
    probe: Probe, path: Path, x: np.ndarray[Any, Any], dtype: str = "FP64", **options: Any
) -> np.ndarray[Any, Any]:
    model = probe.lightgbm(path, **{"engine": "library"} | options)
    session = model.session()
    (out,) = session.run(x, dtypes=(dtype,))
    session.close()
    model.free()
    return out


@pytest.mark.parametrize("kind", lightgbm_models.KINDS)
@pytest.mark.parametrize("raw_score", [False, True])
def test_predictions_equal_boosters_to_the_last_bit(
    probe: Probe, tmp_path: Path, kind: str, raw_score: bool
) -> None:
    booster = lightgbm_models.train(kind)
    path = saved(booster, tmp_path / "model.txt")
    x = lightgbm_models.features(300, seed=9)
    for rows in (1, 2, 300):
        expected = lightgbm.Booster(model_file=path).predict(x[:rows], raw_score=raw_score)
        ours = run(probe, path, x[:rows], raw_score=raw_score)
        assert ours.shape == expected.shape
        assert ours.tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "categories"])
def test_fp32_rows_equal_boosters_on_the_same_fp32_array(probe: Probe, tmp_path: Path, kind: str) -> None:
    booster = lightgbm_models.train(kind)
    path = saved(booster, tmp_path / "model.txt")
    x = lightgbm_models.features(200, seed=4).astype(np.float32)
    for rows in (1, 200):
        expected = booster.predict(x[:rows])
        assert run(probe, path, x[:rows], dtype="FP32").tobytes() == expected.tobytes()


def test_odd_values_equal_boosters(probe: Probe, tmp_path: Path) -> None:
    booster = lightgbm_models.train("categories")
    path = saved(booster, tmp_path / "model.txt")
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1.5, 39.0, 40.0, 1e9, 1e300, -1e300, 5e-324]
    x = np.array([[v] * 5 + [c] for v in odd for c in odd])
    assert run(probe, path, x).tobytes() == booster.predict(x).tobytes()


def test_the_model_says_its_columns_and_classes(probe: Probe, tmp_path: Path) -> None:
    binary = probe.lightgbm(saved(lightgbm_models.train("binary", 2), tmp_path / "b.txt"), engine="library")
    assert binary.inputs == [("features", "FP64", (-1, 6))]
    assert binary.outputs == [("prediction", "FP64", (-1,))]
    assert binary.description == "LightGBM C library, cpu"
    three = probe.lightgbm(
        saved(lightgbm_models.train("multiclass", 2), tmp_path / "m.txt"), engine="library"
    )
    assert three.outputs == [("prediction", "FP64", (-1, 3))]


@pytest.mark.parametrize(("start", "count"), [(0, 5), (0, 0), (3, 4), (0, 1000), (15, -1)])
def test_a_range_of_iterations_equals_boosters(probe: Probe, tmp_path: Path, start: int, count: int) -> None:
    booster = lightgbm_models.train("multiclass")
    path = saved(booster, tmp_path / "model.txt")
    x = lightgbm_models.features(50, seed=2)
    expected = booster.predict(x, start_iteration=start, num_iteration=count)
    assert run(probe, path, x, start_iteration=start, num_iterations=count).tobytes() == expected.tobytes()


@pytest.mark.parametrize("start", [-1, 20, 1000])
def test_a_start_outside_the_model_is_refused(probe: Probe, tmp_path: Path, start: int) -> None:
    path = saved(lightgbm_models.train("binary"), tmp_path / "model.txt")
    with pytest.raises(Failure, match="the model has iterations 0 to 19") as refused:
        probe.lightgbm(path, engine="library", start_iteration=start)
    assert refused.value.code == INVALID_ARGUMENT


def test_no_rows_give_no_predictions(probe: Probe, tmp_path: Path) -> None:
    for kind, shape in (("binary", (0,)), ("multiclass", (0, 3))):
        path = saved(lightgbm_models.train(kind, 2), tmp_path / f"{kind}.txt")
        assert run(probe, path, np.empty((0, 6))).shape == shape


@pytest.mark.parametrize(
    ("x", "dtype", "words"),
    [
        (np.zeros((2, 5)), "FP64", r"\[2,5\], expected \[-1,6\]"),
        (np.zeros((2, 7)), "FP64", r"\[2,7\], expected \[-1,6\]"),
        (np.zeros(6), "FP64", r"\[6\], expected \[-1,6\]"),
        (np.zeros((1, 6)), "INT64", "is INT64, expected FP64 or FP32"),
    ],
)
def test_input_of_another_shape_or_type_is_refused(
    probe: Probe, tmp_path: Path, x: np.ndarray[Any, Any], dtype: str, words: str
) -> None:
    path = saved(lightgbm_models.train("binary", 2), tmp_path / "model.txt")
    with pytest.raises(Failure, match=words) as refused:
        run(probe, path, x, dtype=dtype)
    assert refused.value.code == INVALID_ARGUMENT


def test_predictions_lie_in_the_arena_which_stops_growing(probe: Probe, tmp_path: Path) -> None:
    path = saved(lightgbm_models.train("multiclass", 2), tmp_path / "model.txt")
    session = probe.lightgbm(path, engine="library").session()
    x = lightgbm_models.features(100)
    session.run(x, repeats=2)
    held = session.arena_bytes
    session.run(x, repeats=50)
    assert session.arena_bytes == held
    assert not session.holds
    session.close()


def test_threads_share_a_model_while_contexts_come_and_go(probe: Probe, tmp_path: Path) -> None:
    booster = lightgbm_models.train("multiclass")
    model = probe.lightgbm(
        saved(booster, tmp_path / "model.txt"), engine="library", start_iteration=2, num_iterations=7
    )
    x = lightgbm_models.features(64, seed=5)
    expected = booster.predict(x, start_iteration=2, num_iteration=7)

    def work(offset: int) -> int:
        right = 0
        for turn in range(20):
            session = model.session()
            for step in range(20):
                row = (offset + turn + step) % 60
                rows = 1 + step % 4
                (out,) = session.run(x[row : row + rows])
                right += out.tobytes() == expected[row : row + rows].tobytes()
            session.close()
        return right

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(0, 42, 7))) == [400] * 6


ALONE = """
import ctypes, executor_probe, native_probe, os, pathlib, threading, numpy as np
count = lambda: len(os.listdir("/proc/self/task"))
np.ones((4, 4)) @ np.ones((4, 4))
probe = executor_probe.Probe(native_probe.built("executor"))
before = count()
model = probe.lightgbm(pathlib.Path({path!r}), engine="library")
session = model.session()
session.run(np.zeros((2000, 6)))
print(count() - before)
gomp = ctypes.CDLL("libgomp.so.1")
gomp.omp_set_num_threads(5)
model = probe.lightgbm(pathlib.Path({path!r}), engine="library")
model.session().run(np.zeros((10, 6)))
print(gomp.omp_get_max_threads())
"""


def test_loading_and_predicting_start_no_thread_and_leave_the_callers_setting(tmp_path: Path) -> None:
    path = saved(lightgbm_models.train("binary", 50), tmp_path / "model.txt")
    done = executor_probe.child(ALONE.format(path=str(path)), OMP_NUM_THREADS="4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "5"]


def test_training_in_this_process_keeps_its_threads(probe: Probe, tmp_path: Path) -> None:
    path = saved(lightgbm_models.train("binary", 5), tmp_path / "model.txt")
    x = lightgbm_models.features(500)
    data = lightgbm.Dataset(x, lightgbm_models.target(x))
    parameters = {
        "objective": "regression",
        "verbose": -1,
        "num_threads": 3,
        "seed": 1,
        "deterministic": True,
    }
    alone = lightgbm.train(parameters, data, 10).predict(x)
    stop = threading.Event()

    def serve() -> set[bytes]:
        model = probe.lightgbm(path, engine="library")
        given = {model.run(x)[0].tobytes()}
        while not stop.is_set():
            given.add(model.run(x)[0].tobytes())
        return given

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve)
        beside = lightgbm.train(parameters, lightgbm.Dataset(x, lightgbm_models.target(x)), 10).predict(x)
        stop.set()
        assert served.result() == {lightgbm.Booster(model_file=path).predict(x).tobytes()}
    assert beside.tobytes() == alone.tobytes()


def test_a_missing_file_is_not_found(probe: Probe, tmp_path: Path) -> None:
    for path in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(Failure, match="cannot read the model") as refused:
            probe.lightgbm(path)
        assert refused.value.code == NOT_FOUND


def test_a_missing_or_foreign_library_is_a_failed_precondition(probe: Probe, tmp_path: Path) -> None:
    path = saved(lightgbm_models.train("binary", 2), tmp_path / "model.txt")
    for library, words in (
        (tmp_path / "lib_lightgbm.so", "cannot load the model library"),
        (executor_probe.onnxruntime_library(), "has no function LGBM_GetLastError"),
    ):
        with pytest.raises(Failure, match=words) as refused:
            probe.lightgbm(path, engine="library", library=library)
        assert refused.value.code == FAILED_PRECONDITION
