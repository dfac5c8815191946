"""Builds the demo's repository: two versions of `delay` (LightGBM) and one of `delay_minutes` (ONNX)."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, mean_absolute_error, roc_auc_score

import penstock
from penstock import transforms as t
from penstock.bundle.features import read_features
from penstock.bundle.verify import verify_bundle
from penstock.demo import flights
from penstock.demo.flights import Departures
from penstock.errors import PenstockError

REPOSITORY = Path(".demo/repository")
HOLDOUT = (9, 12)  # September to December: later than what any version was trained on
MINUTES_OUTPUT = "delay_minutes"
EXAMPLES = 32
NUMBERS = ["dep_delay", *(name for name in flights.WEATHER if name != "precip"), *flights.PLANE]
CLOCK = "America/New_York"
SOMEWHERE = [39.83, -98.58]  # the middle of the United States, for an airport that nobody knows


@dataclass(frozen=True)
class Period:
    """The months that a version was trained on."""

    first: int
    last: int
    name: str


VERSIONS = {"1": Period(1, 3, "January-March"), "2": Period(1, 8, "January-August")}
MINUTES_VERSIONS = {"1": VERSIONS["2"]}

PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.8,
    # OpenMP waits busily for its threads: where others use the cores too, two are slower than one.
    "num_threads": 1,
    "seed": 2013,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
ROUNDS = 150
NETWORK: dict[str, Any] = {
    "hidden_layer_sizes": (32,),
    "max_iter": 8,
    "batch_size": 512,
    "learning_rate_init": 3e-3,
    "random_state": 2013,
}
NETWORK_ROWS = 60_000


def prepare(repository: Path = REPOSITORY) -> Path:
    """Builds what the repository lacks, with a line for each step; returns it as an absolute path."""
    repository = repository.resolve()
    wanted = [("delay", version, period, build_delay) for version, period in VERSIONS.items()]
    wanted += [
        ("delay_minutes", version, period, build_minutes) for version, period in MINUTES_VERSIONS.items()
    ]
    missing = [item for item in wanted if not _is_there(repository / item[0] / item[1])]
    if not missing:
        return repository
    print("Reading flights, weather and aircraft of 2013 ...", flush=True)
    departures = flights.load()
    holdout = departures.months(*HOLDOUT)
    for name, version, period, build in missing:
        training = departures.months(period.first, period.last)
        began = time.perf_counter()
        print(
            f"Training {name} {version} on {len(training):,} flights of {period.name} ...", end="", flush=True
        )
        build(repository, version, period, training, holdout)
        print(f"{time.perf_counter() - began:.1f} s", flush=True)
    return repository


def _is_there(folder: Path) -> bool:
    """Whether a bundle is there that this Penstock can read; an earlier one's is built anew."""
    try:
        with verify_bundle(folder, keep=True) as bundle:
            read_features(bundle)
    except PenstockError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def wind_on_route(
    wind_dir: float, wind_speed: float, lat: float, lon: float, to_lat: float, to_lon: float
) -> tuple[float, float]:
    """Headwind, and crosswind from the right, of an aircraft that sets out on the great circle; in mph.

    `wind_dir` is where the wind comes from, in degrees from north; NaN where there is no observation.
    """
    here, there = math.radians(lat), math.radians(to_lat)
    east = math.radians(to_lon - lon)
    course = math.atan2(
        math.sin(east) * math.cos(there),
        math.cos(here) * math.sin(there) - math.sin(here) * math.cos(there) * math.cos(east),
    )
    angle = math.radians(wind_dir) - course
    return wind_speed * math.cos(angle), wind_speed * math.sin(angle)


def route_features() -> list[t.Transform]:
    """From the airports' codes: how far it is, and the wind on the way. Callers send none of that."""
    ends = ["from_0", "from_1", "to_0", "to_1"]  # latitude and longitude of both
    return [
        t.Copy(["origin", "dest"], ["from", "to"]),
        t.EmbeddingLookup(["from", "to"], flights.airports(), unknown=SOMEWHERE),
        t.Custom(["wind_dir", "wind_speed", *ends], wind_on_route, ["headwind", "crosswind"], keep=True),
        t.Haversine(ends, "mi", name="distance"),
    ]


def delay_features() -> t.Features:
    """For trees: numbers as they are, a missing one left missing, since LightGBM learns where to send it."""
    return t.Features(
        [
            t.DateParts("scheduled", ["minute_of_day", "weekday"], time_zone=CLOCK),
            t.Cyclic("scheduled_minute_of_day", period=24 * 60),
            *route_features(),
            t.Select(NUMBERS),
            t.Log1p("precip"),
            t.Cross(["carrier", "origin"], name="operation", keep=True),
            t.TargetEncode(["operation", "dest"]),
            t.OneHot(["carrier", "origin"]),
            t.Ordinal("engine", unknown="value", unknown_value=-1.0),
        ]
    )


def minutes_features() -> t.Features:
    """For a network: nothing missing, all of one scale."""
    numbers = [*NUMBERS, "precip", "headwind", "crosswind", "distance"]
    return t.Features(
        [
            t.DateParts("scheduled", ["minute_of_day", "weekday"], time_zone=CLOCK),
            t.Cyclic("scheduled_minute_of_day", period=24 * 60),
            t.Cyclic("scheduled_weekday", period=7),
            *route_features(),
            t.Log1p("precip"),
            t.Impute(numbers, "median"),
            t.Standardize(numbers),
            t.Clip(numbers, -6.0, 6.0),
            t.FrequencyEncode("dest"),
            t.OneHot(["carrier", "origin", "engine"]),
        ]
    )


def build_delay(
    repository: Path, version: str, period: Period, training: Departures, holdout: Departures
) -> None:
    """LightGBM: the probability of an arrival more than LATE_MINUTES late."""
    features = delay_features()
    matrix = features.fit_transform(training.frame, training.late)
    data = lightgbm.Dataset(matrix, training.late.to_numpy(), feature_name=features.output_names)
    booster = lightgbm.train(PARAMETERS, data, num_boost_round=ROUNDS)
    probability = booster.predict(features.transform(holdout.frame), num_threads=1)
    penstock.build(
        repository,
        name="delay",
        version=version,
        model=booster,
        features=features,
        reference=training.frame,
        examples=examples(holdout),
        lineage={
            "training_data": training.frame.assign(late=training.late),
            "parameters": {**PARAMETERS, "rounds": ROUNDS},
            "metrics": {
                "AUC": float(roc_auc_score(holdout.late, probability)),
                "log loss": float(log_loss(holdout.late, probability)),
            },
            "months": period.name,
        },
    )


def build_minutes(
    repository: Path, version: str, period: Period, training: Departures, holdout: Departures
) -> None:
    """A small network in ONNX: the arrival delay in minutes."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    features = minutes_features().fit(training.frame, training.outcome)
    chosen = np.random.default_rng(NETWORK["random_state"]).permutation(len(training))[:NETWORK_ROWS]
    matrix = features.transform(training.frame.iloc[chosen], "FP32")
    network = MLPRegressor(**NETWORK, early_stopping=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few passes are enough to show the way
        network.fit(matrix, training.outcome.to_numpy()[chosen])
    model = convert_sklearn(
        network,
        initial_types=[("features", FloatTensorType([None, matrix.shape[1]]))],
        final_types=[(MINUTES_OUTPUT, FloatTensorType([None, 1]))],
    )
    minutes = network.predict(features.transform(holdout.frame, "FP32"))
    penstock.build(
        repository,
        name="delay_minutes",
        version=version,
        model=model,
        features=features,
        reference=training.frame,
        examples=examples(holdout),
        lineage={
            "training_data": training.frame.iloc[chosen].assign(delay_minutes=training.outcome.iloc[chosen]),
            "parameters": {**NETWORK, "model": "MLPRegressor"},
            "metrics": {
                "mean error": float(mean_absolute_error(holdout.outcome, minutes)),
                "of the departure delay": float(
                    mean_absolute_error(holdout.outcome, holdout.frame["dep_delay"])
                ),
            },
            "months": period.name,
        },
    )


def examples(holdout: Departures) -> Any:
    """Rows spread over the hold-out, to be recorded as golden examples."""
    return holdout.frame.iloc[:: len(holdout) // EXAMPLES].head(EXAMPLES)


def predict(folder: Path, frame: Any) -> NDArray[np.float64]:
    """What LightGBM's own Python package answers for a bundle of this demo: the server has no part in it."""
    with verify_bundle(folder, keep=True) as bundle:
        features = read_features(bundle, allow_custom=True)
        booster = lightgbm.Booster(model_file=str(folder / bundle.manifest.model.file))
    assert features is not None
    return np.asarray(booster.predict(features.transform(frame), num_threads=1))


def digest_of(manifest: Path) -> str:
    """A version's identity: the SHA-256 of its bundle.json."""
    return hashlib.sha256(manifest.read_bytes()).hexdigest()
