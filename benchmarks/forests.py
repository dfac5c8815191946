"""The forests of the forest benchmark: LightGBM's text, the same as ONNX, and rows like those of the
training.

Training the larger ones takes minutes, so that what was trained is kept in build/bench/forests under a name
that says of what, and with which LightGBM.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

import tree_ensemble

KEPT = Path(__file__).resolve().parents[1] / "build" / "bench" / "forests"

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """What a forest is trained with."""

    name: str
    trees: int
    leaves: int
    training_rows: int
    categorical: tuple[int, ...] = ()  # columns
    seed: int = 11


@dataclass(frozen=True)
class Forest:
    """A trained forest as files, and rows that it has not seen, FP32 [n, columns]."""

    name: str
    text: Path
    onnx: Path
    rows: Rows


def numbers(count: int, random: np.random.Generator) -> tuple[Rows, NDArray[np.int32]]:
    """30 columns of independent numbers, eight of which matter, and labels."""
    features = random.standard_normal((count, 30), dtype=np.float32)
    signal = features[:, 0] * features[:, 1] + np.sin(features[:, 2]) + features[:, 3:8].sum(axis=1) / 3
    return features, (signal + random.standard_normal(count) > 0).astype(np.int32)


CATEGORIES = (3, 4, 5, 7, 8, 12, 12, 20, 24, 31, 50, 60, 100, 150, 200, 300, 400, 500, 800, 1000)


def categories(count: int, random: np.random.Generator) -> tuple[Rows, NDArray[np.int32]]:
    """20 columns of categories, few of them common and most rare, and 10 of numbers, one in ten missing."""
    effects = np.random.default_rng(3)  # of each category, the same for all rows that are ever made
    features = np.empty((count, 30), np.float32)
    signal = np.zeros(count)
    for column, size in enumerate(CATEGORIES):
        weights = 1 / np.arange(1, size + 1)
        features[:, column] = random.choice(size, count, p=weights / weights.sum())
        signal += effects.normal(0, 0.5, size)[features[:, column].astype(int)]
    features[:, 20:] = random.standard_normal((count, 10))
    signal += features[:, 20] * features[:, 21] + features[:, 22]
    features[:, 20:][random.random((count, 10)) < 0.1] = np.nan
    return features, (signal + random.standard_normal(count) > 0).astype(np.int32)


GBM = Recipe("gbm", trees=500, leaves=31, training_rows=20_000)
LARGE = Recipe("large", trees=2000, leaves=255, training_rows=100_000)
CATEGORICAL = Recipe(
    "categorical", trees=500, leaves=31, training_rows=50_000, categorical=tuple(range(len(CATEGORIES)))
)
RECIPES = {recipe.name: recipe for recipe in (GBM, LARGE, CATEGORICAL)}


def forest(recipe: Recipe, *, rows: int) -> Forest:
    """Trained, or as it was kept; and so many rows of the same distribution."""
    made: Callable[[int, np.random.Generator], tuple[Rows, NDArray[np.int32]]]
    made = categories if recipe.categorical else numbers
    sources = [inspect.getsource(part) for part in (made, trained)]
    text = KEPT / f"{recipe.name}-{digest(asdict(recipe), lightgbm.__version__, sources)}.txt"
    graph = text.with_suffix(f".{digest(inspect.getsource(tree_ensemble))}.onnx")
    random = np.random.default_rng(recipe.seed)
    training, labels = made(recipe.training_rows, random)
    if not text.exists():
        keep(text, trained(recipe, training, labels).model_to_string().encode())
    if not graph.exists():
        converted = tree_ensemble.converted(lightgbm.Booster(model_file=str(text)))
        keep(graph, converted.SerializeToString())
    return Forest(recipe.name, text, graph, made(rows, random)[0])


def digest(*what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


def keep(path: Path, content: bytes) -> None:
    """Under its name only when it is whole."""
    KEPT.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_bytes(content)
    draft.rename(path)


def trained(recipe: Recipe, training: Rows, labels: NDArray[np.int32]) -> lightgbm.Booster:
    """A binary classifier, the same each time."""
    parameters = {
        "objective": "binary",
        "num_leaves": recipe.leaves,
        "deterministic": True,
        "force_row_wise": True,
        "seed": recipe.seed,
        "verbose": -1,
    }
    data = lightgbm.Dataset(training, labels, categorical_feature=list(recipe.categorical))
    return lightgbm.train(parameters, data, num_boost_round=recipe.trees)
