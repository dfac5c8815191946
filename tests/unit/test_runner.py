from __future__ import annotations

import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

import penstock
from penstock import transforms as t
from penstock.errors import BundleError, InputError, NotFoundError
from penstock.runner import Runner

ROWS = 12


def frame(rows: int = ROWS, seed: int = 2) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    made = pd.DataFrame({name: random.normal(size=rows) for name in ("a", "b", "c")})
    made.loc[::5, "b"] = np.nan
    return made


@pytest.fixture(scope="module")
def booster() -> lgb.Booster:
    train = frame(300)
    target = (train["a"] + train["c"] > 0) + (train["a"] > 1)
    parameters = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    return lgb.train(parameters, lgb.Dataset(train, target.astype(int)), 4)


@pytest.fixture(scope="module")
def runner(booster: lgb.Booster, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    repository = tmp_path_factory.mktemp("repository")
    return penstock.load(penstock.build(repository, name="class", version="1", model=booster, max_rows=5))


@pytest.mark.parametrize(
    "make",
    [
        lambda made: made,
        pl.from_pandas,
        pa.Table.from_pandas,
        dict,
        lambda made: {name: made[name].tolist() for name in made},
        lambda made: {name: made[[name]].to_numpy() for name in made},
        lambda made: made.to_numpy(),
        lambda made: made[["c", "b", "a"]].assign(more="text"),
    ],
)
def test_every_kind_of_data_is_predicted_as_the_booster_does(
    runner: Runner, booster: lgb.Booster, make: Any
) -> None:
    answer = runner.predict(make(frame()))
    assert list(answer) == ["prediction"]
    assert answer["prediction"].shape == (ROWS, 3)
    assert np.array_equal(answer["prediction"], booster.predict(frame()))


def test_more_rows_than_a_request_may_have_run_in_batches(runner: Runner, booster: lgb.Booster) -> None:
    assert runner.manifest.max_rows == 5
    for rows in (1, 5, 6, 23):
        assert np.array_equal(runner.predict(frame(rows))["prediction"], booster.predict(frame(rows)))


def test_a_runner_says_what_it_is(runner: Runner) -> None:
    assert [tensor.name for tensor in runner.inputs] == ["a", "b", "c"]
    assert [tensor.name for tensor in runner.outputs] == ["prediction"]
    assert "class/1" in repr(runner)
    assert runner.description in repr(runner)
    assert len(runner.digest) == 64


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"a": [1.0], "c": [1.0]}, "The data has no 'b'. It has: a, c"),
        (np.zeros((2, 4)), r"shape \[2, 4\]; expected \[rows, 3\]"),
        ({"a": ["x"], "b": [1.0], "c": [1.0]}, "'a': expected FP64, got text"),
        (3, "int"),
    ],
)
def test_data_that_does_not_fit_is_refused(runner: Runner, data: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        runner.predict(data)


def test_outputs_are_chosen_by_name(runner: Runner) -> None:
    assert list(runner.predict(frame(), outputs=["prediction"])) == ["prediction"]
    with pytest.raises(InputError, match="output 'score' is not one of this model's"):
        runner.predict(frame(), outputs=["score"])


def test_threads_share_a_runner(runner: Runner, booster: lgb.Booster) -> None:
    expected = booster.predict(frame(40))
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            if not np.array_equal(runner.predict(frame(40))["prediction"], expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        penstock.load(tmp_path / "delay" / "1")


def test_importing_penstock_loads_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import penstock; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"__future__", "penstock"}


def test_every_public_name_is_there_and_no_other() -> None:
    assert set(penstock.__all__) <= set(dir(penstock))
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        penstock.bild  # noqa: B018


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert penstock.__version__ == project["version"]


def test_features_come_back_to_train_the_next_model_with(tmp_path: Path) -> None:
    rows = {"x": [1.0, None, 3.0, 5.0], "c": ["a", "b", "a", "b"]}
    features = t.Features([t.Impute("x"), t.OneHot("c")]).fit(rows)
    model = LinearRegression().fit(features.transform(rows), [1.0, 2.0, 3.0, 4.0])
    built = penstock.build(tmp_path, name="m", version="1", model=model, features=features)
    runner = penstock.load(built)
    again = runner.features()
    assert again is not None
    np.testing.assert_array_equal(again.transform(rows), features.transform(rows))
    penstock.build(
        tmp_path,
        name="m",
        version="1",
        model=model,
        features=features,
        overwrite=True,
        created="2020-01-01T00:00:00Z",
    )
    with pytest.raises(BundleError, match="another bundle than the one that was loaded"):
        runner.features()


def test_a_model_without_transforms_has_no_features(runner: Runner) -> None:
    assert runner.features() is None
