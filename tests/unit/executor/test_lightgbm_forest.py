"""Compiled LightGBM models against Booster.predict: predictions to 1e-12 relative."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import executor_probe
import lightgbm
import lightgbm_models
import numpy as np
import pytest
from executor_probe import FAILED_PRECONDITION, INVALID_ARGUMENT, Failure, Probe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_lightgbm_text import resized

UNIMPLEMENTED = 12
RTOL = 1e-12
FIXTURES = [HealthCheck.function_scoped_fixture]
ZERO = float(np.float32(1e-35))  # what LightGBM takes for 0, up to this
ODD = (
    np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    1e-36,
    -1e-36,
    ZERO,
    -ZERO,
    2 * ZERO,
    5e-324,
    -0.5,
    -1.0,
    -1.5,
    2.7,
)
ODD_CATEGORIES = (39.0, 40.0, 39.999, 1e9, 2.0**31 - 1, 2.0**31, 2.0**32, 1e300, -1e300)
Matrix = np.ndarray[Any, Any]

MISSING: dict[str, dict[str, Any]] = {
    "nan": {},
    "zero": {"zero_as_missing": True},
    "none": {"use_missing": False},
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "regression": {},
    "regression sqrt": {"objective": "regression", "reg_sqrt": True},
    "regression_l1": {},
    "regression_l1 sqrt": {"objective": "regression_l1", "reg_sqrt": True},
    "huber": {},
    "fair": {},
    "quantile": {"alpha": 0.7},
    "mape": {},
    "poisson": {},
    "gamma": {},
    "tweedie": {"tweedie_variance_power": 1.3},
    "binary": {"sigmoid": 0.7},
    "multiclass": {"num_class": 3},
    "multiclassova": {"num_class": 3, "sigmoid": 1.7},
    "cross_entropy": {},
    "cross_entropy_lambda": {},
    "lambdarank": {},
    "rank_xendcg": {},
}


def odd_rows() -> Matrix:
    """Each odd number in the numeric columns beside each odd category."""
    return np.array([[v] * 5 + [c] for v in ODD for c in (*ODD, *ODD_CATEGORIES)])


def labels(objective: str, x: Matrix) -> Matrix:
    y = lightgbm_models.target(x)
    if objective == "binary":
        return (y > 0).astype(float)
    if objective.startswith(("multiclass", "lambdarank", "rank")):
        return np.digitize(y, [-1.0, 1.0]).astype(float)
    if objective.startswith("cross_entropy"):
        return 1 / (1 + np.exp(-y))
    return np.abs(y) + 0.1 if objective in ("poisson", "gamma", "tweedie") else y


def trained(objective: str, rounds: int = 8, **more: Any) -> lightgbm.Booster:
    """With a categorical column, as it comes back from its file."""
    x = lightgbm_models.features(400)
    name = objective.split()[0]
    parameters = {**lightgbm_models.QUIET, "objective": name, "num_leaves": 12, "min_data_per_group": 5}
    parameters |= {"cat_smooth": 1, "max_cat_to_onehot": 2} | OBJECTIVES[objective] | more
    group = [100] * 4 if name in ("lambdarank", "rank_xendcg") else None
    data = lightgbm.Dataset(x, labels(name, x), group=group, categorical_feature=[5])
    booster = lightgbm.train(parameters, data, rounds)
    return lightgbm.Booster(model_str=booster.model_to_string())


def written(booster: lightgbm.Booster | str, path: Path) -> Path:
    path.write_text(booster if isinstance(booster, str) else booster.model_to_string())
    return path


def predicted(
    probe: Probe, path: Path, x: Matrix, dtypes: tuple[str, ...] = ("FP64",), **options: Any
) -> Matrix:
    model = probe.lightgbm(path, engine="forest", **options)
    session = model.session()
    (out,) = session.run(x, dtypes=dtypes)
    session.close()
    model.free()
    return out


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_and_missing_mode_equals_boosters(
    probe: Probe, tmp_path: Path, objective: str, missing: str
) -> None:
    booster = trained(objective, **MISSING[missing])
    path = written(booster, tmp_path / "model.txt")
    x = np.vstack([lightgbm_models.features(200, seed=3), odd_rows()])
    for raw_score in (False, True):
        expected = booster.predict(x, raw_score=raw_score)
        ours = predicted(probe, path, x, raw_score=raw_score)
        np.testing.assert_allclose(ours, expected, rtol=RTOL)
    for rows in (1, 3):
        assert predicted(probe, path, x[:rows]).tobytes() == predicted(probe, path, x)[:rows].tobytes()


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("objective", ["regression", "binary", "multiclass"])
def test_a_random_forest_is_averaged_over_the_iterations_that_count(
    probe: Probe, tmp_path: Path, objective: str, missing: str
) -> None:
    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6} | MISSING[missing]
    booster = trained(objective, **forest)
    path = written(booster, tmp_path / "model.txt")
    x = odd_rows()
    for start, count in ((0, -1), (0, 3), (2, 4), (5, 100)):
        expected = booster.predict(x, start_iteration=start, num_iteration=count)
        ours = predicted(probe, path, x, start_iteration=start, num_iterations=count)
        np.testing.assert_allclose(ours, expected, rtol=RTOL)
        expected = booster.predict(x, start_iteration=start, num_iteration=count, raw_score=True)
        ours = predicted(probe, path, x, start_iteration=start, num_iterations=count, raw_score=True)
        np.testing.assert_allclose(ours, expected, rtol=RTOL)


@pytest.mark.parametrize("boosting", ["gbdt", "dart", "goss"])
@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_a_range_of_iterations_equals_boosters(
    probe: Probe, tmp_path: Path, kind: str, boosting: str
) -> None:
    more = (
        {"boosting": "gbdt", "data_sample_strategy": "goss"} if boosting == "goss" else {"boosting": boosting}
    )
    booster = trained(kind, **more)
    path = written(booster, tmp_path / "model.txt")
    x = lightgbm_models.features(50, seed=2)
    for start, count in ((0, 5), (0, 0), (3, 4), (0, 1000), (7, -1)):
        expected = booster.predict(x, start_iteration=start, num_iteration=count)
        ours = predicted(probe, path, x, start_iteration=start, num_iterations=count)
        np.testing.assert_allclose(ours, expected, rtol=RTOL)


def test_a_start_outside_the_model_is_refused(probe: Probe, tmp_path: Path) -> None:
    path = written(trained("binary"), tmp_path / "model.txt")
    with pytest.raises(Failure, match="start_iteration is 8, but the model has iterations 0 to 7") as refused:
        predicted(probe, path, odd_rows(), start_iteration=8)
    assert refused.value.code == INVALID_ARGUMENT


@pytest.mark.parametrize("kind", ["binary", "multiclass", "categories"])
def test_fp32_rows_equal_boosters_on_the_same_fp32_array(probe: Probe, tmp_path: Path, kind: str) -> None:
    booster = lightgbm_models.train(kind)
    path = written(booster, tmp_path / "model.txt")
    with np.errstate(over="ignore"):
        x = np.vstack([lightgbm_models.features(200, seed=4), odd_rows()]).astype(np.float32)
    ours = predicted(probe, path, x, ("FP32",))
    np.testing.assert_allclose(ours, lightgbm.Booster(model_file=path).predict(x), rtol=RTOL)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    seed=st.integers(0, 2**31),
    leaves=st.integers(2, 60),
    rounds=st.integers(1, 12),
    kind=st.sampled_from(["regression", "binary", "multiclass", "categories", "zero as missing"]),
    rows=st.lists(
        st.lists(st.one_of(st.sampled_from(ODD + ODD_CATEGORIES), st.floats()), min_size=6, max_size=6),
        min_size=1,
        max_size=9,
    ),
)
def test_any_row_of_any_model_equals_boosters(
    probe: Probe, tmp_path: Path, seed: int, leaves: int, rounds: int, kind: str, rows: list[list[float]]
) -> None:
    booster = lightgbm_models.train(kind, rounds, leaves)
    path = written(booster, tmp_path / "model.txt")
    booster = lightgbm.Booster(model_file=path)
    x = np.vstack([np.array(rows), lightgbm_models.features(20, seed % 1000)])
    np.testing.assert_allclose(predicted(probe, path, x), booster.predict(x), rtol=RTOL)


@pytest.mark.parametrize(
    "threshold", ["0", "1e-36", "-1e-36", "-0", "1e-35", "-1e-35", "-inf", "inf", "5e-324"]
)
def test_thresholds_near_zero_equal_boosters_which_takes_small_numbers_for_zero(
    probe: Probe, tmp_path: Path, threshold: str
) -> None:
    """No training makes such thresholds; other tools write LightGBM's format too."""
    text = lightgbm_models.train("regression", 3, 4).model_to_string()
    text = resized(re.sub(r"\nthreshold=.*", f"\nthreshold={threshold} {threshold} {threshold}", text))
    path = written(text, tmp_path / "model.txt")
    x = odd_rows()
    np.testing.assert_array_equal(predicted(probe, path, x), lightgbm.Booster(model_str=text).predict(x))


def test_linear_trees_run_on_the_library_which_says_so(probe: Probe, tmp_path: Path) -> None:
    booster = lightgbm_models.train("linear leaves")
    path = written(booster, tmp_path / "model.txt")
    model = probe.lightgbm(path)
    assert model.description == "LightGBM C library, cpu: linear trees are not compiled"
    assert [output.name for output in model.outputs] == ["prediction"]
    x = lightgbm_models.features(20, seed=1)
    assert model.run(x)[0].tobytes() == lightgbm.Booster(model_file=path).predict(x).tobytes()
    model.free()
    with pytest.raises(Failure, match=r"not compiled, .* 'auto' leaves such a model to") as refused:
        probe.lightgbm(path, engine="forest")
    assert refused.value.code == UNIMPLEMENTED


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        ("binary", "has no sigmoid above 0"),
        ("multiclass", "has no num_class"),
        ("no_such_thing", "the objective 'no_such_thing' is not known"),
    ],
)
def test_objectives_that_are_not_covered_are_the_librarys_to_refuse(
    probe: Probe, tmp_path: Path, objective: str, reason: str
) -> None:
    text = lightgbm_models.train("regression", 2).model_to_string()
    path = written(text.replace("objective=regression", f"objective={objective}"), tmp_path / "model.txt")
    with pytest.raises(Failure, match=reason):
        probe.lightgbm(path, engine="forest")
    with pytest.raises(Failure, match="LightGBM refuses the model"):
        probe.lightgbm(path)


def test_an_engine_that_there_is_not_is_refused(probe: Probe, tmp_path: Path) -> None:
    path = written(lightgbm_models.train("regression", 2), tmp_path / "model.txt")
    with pytest.raises(Failure, match="no engine 'fast'; expected one of auto, forest, library") as refused:
        probe.lightgbm(path, engine="fast")
    assert refused.value.code == INVALID_ARGUMENT


NO_LIBRARY = """
import executor_probe, native_probe, pathlib, numpy as np
probe = executor_probe.Probe(native_probe.built("executor"))
model = probe.lightgbm(pathlib.Path({path!r}), library=pathlib.Path("/nonexistent/lib_lightgbm.so"))
model.run(np.zeros((4, 6)))
print(model.description)
print("lib_lightgbm" in pathlib.Path("/proc/self/maps").read_text())
"""


def test_a_compiled_model_needs_no_library_and_loads_none(tmp_path: Path) -> None:
    path = written(lightgbm_models.train("categories", 5), tmp_path / "model.txt")
    done = executor_probe.child(NO_LIBRARY.format(path=str(path)))
    assert done.returncode == 0, done.stderr
    description, loaded = done.stdout.splitlines()
    assert description.startswith("compiled forest of LightGBM, cpu")
    assert loaded == "False"


def test_a_model_that_needs_the_library_says_so_where_there_is_none(probe: Probe, tmp_path: Path) -> None:
    path = written(lightgbm_models.train("linear leaves", 2), tmp_path / "model.txt")
    with pytest.raises(Failure, match=r"are not compiled, and .*: pip install lightgbm") as refused:
        probe.lightgbm(path, library="")
    assert refused.value.code == FAILED_PRECONDITION
