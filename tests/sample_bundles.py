"""Small real bundles, one of each kind that clients meet, and what their models give outside of Penstock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import xgboost
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

import penstock
from penstock import transforms as t

Array = np.ndarray[Any, Any]

ELEMENT = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}
TYPED = tuple(name for name in ELEMENT if name not in ("FP16", "BF16"))  # those that `contents` can carry
HALVES = ("FP16", "BF16")
NUMPY = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
MATRIX_COLUMNS = tuple(f"f{index}" for index in range(6))
MAX_ROWS = 64
MODEL_SETTINGS = {
    "models.delay": {"policy": "all", "aliases": {"champion": "2", "stable": "1"}},
}

AIRPORTS = {"ATL": (0.5, -1.25), "ZRH": (2.0, 0.125), "東京": (-0.75, 3.5)}
TRIPS_SETTINGS = {
    "repository": {"allow_custom_transforms": True}
}  # of a server that is to load write_trips()

Value = tuple[str, str, Sequence[int | str]]  # name, datatype, shape: numbers, or names of open dimensions


def onnx_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    constants: dict[str, Array] | None = None,
) -> onnx.ModelProto:
    def infos(values: Sequence[Value]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, ELEMENT[kind], list(shape)) for name, kind, shape in values
        ]

    made = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "graph", infos(inputs), infos(outputs), made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def echo(*datatypes: str) -> onnx.ModelProto:
    """Each input `in_<datatype>` [rows, 2] comes back as `out_<datatype>`."""
    return onnx_model(
        [helper.make_node("Identity", [f"in_{kind}"], [f"out_{kind}"]) for kind in datatypes],
        [(f"in_{kind}", kind, ("rows", 2)) for kind in datatypes],
        [(f"out_{kind}", kind, ("rows", 2)) for kind in datatypes],
    )


def arithmetic() -> onnx.ModelProto:
    """a and b, FP32 [rows, 3], to their sum and their product."""
    return onnx_model(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])],
        [(name, "FP32", ("rows", 3)) for name in ("a", "b")],
        [(name, "FP32", ("rows", 3)) for name in ("sum", "product")],
    )


def network() -> onnx.ModelProto:
    """Two dense layers: x FP32 [rows, 16] to y [rows, 4]."""
    random = np.random.default_rng(5)
    constants: dict[str, Array] = {
        "w0": random.normal(size=(16, 32)).astype(np.float32),
        "b0": random.normal(size=32).astype(np.float32),
        "w1": random.normal(size=(32, 4)).astype(np.float32),
        "b1": random.normal(size=4).astype(np.float32),
    }
    return onnx_model(
        [
            helper.make_node("Gemm", ["x", "w0", "b0"], ["z"]),
            helper.make_node("Relu", ["z"], ["a"]),
            helper.make_node("Gemm", ["a", "w1", "b1"], ["y"]),
        ],
        [("x", "FP32", ("rows", 16))],
        [("y", "FP32", ("rows", 4))],
        constants,
    )


def wide() -> onnx.ModelProto:
    """x FP32 [rows, columns] comes back negated: as much out as in, of any size."""
    shape = ("rows", "columns")
    return onnx_model([helper.make_node("Neg", ["x"], ["y"])], [("x", "FP32", shape)], [("y", "FP32", shape)])


def loop() -> onnx.ModelProto:
    """Adds as often as it is told: `rounds` INT64 [rows] to `done` [rows], rounds * max(rounds)."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Add", ["before", "rounds"], ["after"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.INT64, ["rows"]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.INT64, ["rows"]),
        ],
    )
    return onnx_model(
        [
            helper.make_node("ReduceMax", ["rounds"], ["turns"], keepdims=0),
            helper.make_node("Sub", ["rounds", "rounds"], ["zeros"]),
            helper.make_node("Loop", ["turns", "", "zeros"], ["done"], body=body),
        ],
        [("rounds", "INT64", ("rows",))],
        [("done", "INT64", ("rows",))],
    )


def flights(rows: int = 400, seed: int = 1) -> pd.DataFrame:
    """Numbers with some missing, and carriers as text, some of them missing."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, 3)), columns=["distance", "hour", "wind"])
    frame["hour"] = random.integers(0, 24, rows)
    frame.loc[random.random(rows) < 0.1, "wind"] = np.nan
    frame["carrier"] = random.choice(np.array(["AA", "UA", "Zürich ✈", ""], dtype=object), rows)
    return frame


def flight_features() -> t.Features:
    return t.Features(
        [
            t.Select(["distance"]),
            t.Cyclic("hour", period=24),
            t.Impute("wind", "median"),
            t.OneHot("carrier"),
        ]
    )


def value_of(datatype: str, rows: int, seed: int = 3) -> Array:
    """Values across a datatype's range, [rows, 2]; floats with NaN and infinities; BF16 as its bits."""
    random = np.random.default_rng(seed)
    shape = (rows, 2)
    if datatype == "BYTES":
        words = np.array([b"", b"plain", "Zürich ✈".encode(), b"nul\0inside\0", b"x" * 300], dtype=object)
        return words[random.integers(0, len(words), shape)]
    if datatype == "BOOL":
        return random.integers(0, 2, shape).astype(np.bool_)
    if datatype == "BF16":
        return (random.normal(size=shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if datatype.startswith("FP"):
        numbers = random.normal(size=shape).astype(NUMPY[datatype])
        numbers.reshape(-1)[: min(3, numbers.size)] = [np.nan, np.inf, -np.inf][: numbers.size]
        return numbers
    limits = np.iinfo(NUMPY[datatype])
    return random.integers(limits.min, limits.max, shape, dtype=limits.dtype, endpoint=True)


@dataclass(frozen=True)
class Delay:
    """One version of the model with transforms, as its trainer has it."""

    booster: lightgbm.Booster
    features: t.Features

    def predict(self, frame: pd.DataFrame) -> Array:
        return np.asarray(self.booster.predict(self.features.transform(frame)))


def train_delay(seed: int, rounds: int) -> Delay:
    frame = flights(seed=seed)
    features = flight_features().fit(frame)
    late = (frame["distance"] + frame["wind"].fillna(0) + (frame["carrier"] == "UA") > 0).to_numpy(float)
    settings = {"objective": "binary", "verbose": -1, "num_leaves": 7, "num_threads": 1}
    return Delay(
        lightgbm.train(settings, lightgbm.Dataset(features.transform(frame), late), rounds), features
    )


def train_matrix(classes: int) -> lightgbm.Booster:
    random = np.random.default_rng(classes)
    frame = pd.DataFrame(random.normal(size=(400, len(MATRIX_COLUMNS))), columns=list(MATRIX_COLUMNS))
    if classes == 2:
        settings: dict[str, Any] = {"objective": "binary"}
    else:
        settings = {"objective": "multiclass", "num_class": classes}
    target = np.digitize(frame["f0"] + frame["f1"], np.linspace(-1, 1, classes - 1)).clip(0, classes - 1)
    settings |= {"verbose": -1, "num_leaves": 7, "num_threads": 1}
    return lightgbm.train(settings, lightgbm.Dataset(frame, target), 8)


def train_linear() -> tuple[LogisticRegression, t.Features]:
    frame = flights()
    features = flight_features().fit(frame)
    distances = np.digitize(frame["distance"], [-1, 1])
    return LogisticRegression(max_iter=1000).fit(features.transform(frame), distances), features


def train_forest() -> xgboost.Booster:
    random = np.random.default_rng(5)
    matrix = random.normal(size=(400, len(MATRIX_COLUMNS)))
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    data = xgboost.DMatrix(matrix, np.nan_to_num(matrix).sum(axis=1), feature_names=list(MATRIX_COLUMNS))
    return xgboost.train({"nthread": 1, "max_depth": 4}, data, 12)


def trips(rows: int = 400, seed: int = 1) -> pd.DataFrame:
    """Texts, instants as text and as seconds, categories, and numbers of several types; some are missing."""
    random = np.random.default_rng(seed)
    words = np.array(["late", "crew", "Nebel", "über", "de-icing", "✈", "gate", "42"], dtype=object)
    instants = random.integers(-(10**9), 4 * 10**9, rows)
    frame = pd.DataFrame(
        {
            "note": [" ".join(random.choice(words, random.integers(0, 9))) for _ in range(rows)],
            "departs": np.datetime_as_string(instants.astype("datetime64[s]")).astype(object) + "Z",
            "booked": instants - random.integers(0, 10**7, rows),
            "carrier": random.choice(np.array(["AA", "UA", "LX"], dtype=object), rows),
            "airport": random.choice(np.array([*AIRPORTS, "ÅÅÅ"], dtype=object), rows),
            "gate": random.integers(0, 9, rows).astype(np.int16),
            "distance": random.normal(900, 300, rows).astype(np.float32),
            "minutes": random.integers(20, 400, rows),
            "wind": random.normal(size=rows),
        }
    )
    for name in ("departs", "carrier", "airport", "distance", "wind"):
        frame.loc[random.random(rows) < 0.1, name] = np.nan if frame[name].dtype.kind == "f" else None
    return frame


def pace(distance: float, minutes: float, wind: float) -> tuple[float, float]:
    hours = minutes / 60
    return math.log1p(abs(distance)) / hours, math.sin(wind) if wind == wind else 0.0


def train_trips() -> tuple[LogisticRegression, t.Features]:
    frame = trips()
    late = (frame["minutes"] + 100 * (frame["carrier"] == "UA") > 220).to_numpy(float)
    features = t.Features(
        [
            t.Copy(["note", "carrier"], ["words", "line"]),
            t.TextHash("note", 16, ngram_range=(1, 2)),
            t.TfIdf("words", analyzer="char_wb", ngram_range=(2, 3), max_features=40),
            t.DateParts("departs", ("hour", "weekday", "is_weekend"), time_zone="America/New_York"),
            t.DateParts("booked", ("month", "day"), unit="s", time_zone="Asia/Kathmandu"),
            t.Impute(["departs_hour", "departs_weekday", "departs_is_weekend"], "constant", fill_value=-1),
            t.Cross(["carrier", "airport"], keep=True),
            t.OneHot("carrier|airport"),
            t.TargetEncode("carrier"),
            t.EmbeddingLookup("airport", AIRPORTS),
            t.OneHot(["line", "gate"]),
            t.Impute("distance", "median"),
            t.Custom(["distance", "minutes", "wind"], pace, ["pace", "gust"], keep=True),
            t.Bucketize("distance", bins=6),
            t.Impute("wind", "mean", indicator=True),
            t.Standardize("minutes"),
        ]
    )
    matrix = features.fit_transform(frame, late)
    return LogisticRegression(max_iter=5000).fit(matrix, late), features


def write_trips(path: Path) -> None:
    """Puts `trips` there: dates, text, categories and a custom transform before a linear model.

    It is none of the Samples: a server must be told to load what others wrote.
    """
    model, features = train_trips()
    penstock.build(path, name="trips", version="1", model=model, features=features, examples=trips(8, seed=9))


class Samples:
    """A repository of them all, written once, with the trained models at hand to compare with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.delay = {"1": train_delay(1, 4), "2": train_delay(2, 9)}
        self.matrix = train_matrix(2)
        self.classes = train_matrix(3)
        self.linear, self.linear_features = train_linear()
        self.forest = train_forest()
        self._onnx = {
            "typed": echo(*TYPED),
            "halves": echo(*HALVES),
            "arithmetic": arithmetic(),
            "network": network(),
            "wide": wide(),
            "loop": loop(),
        }
        for version, delay in self.delay.items():
            penstock.build(
                path,
                name="delay",
                version=version,
                model=delay.booster,
                features=delay.features,
                examples=flights(8, seed=9),
            )
        penstock.build(path, name="matrix", version="1", model=self.matrix, max_rows=MAX_ROWS)
        penstock.build(path, name="classes", version="1", model=self.classes)
        penstock.build(
            path,
            name="linear",
            version="1",
            model=self.linear,
            features=self.linear_features,
            examples=flights(8, seed=9),
        )
        penstock.build(path, name="forest", version="1", model=self.forest)
        for name, model in self._onnx.items():
            penstock.build(path, name=name, version="1", model=model)

    @cached_property
    def sessions(self) -> dict[str, onnxruntime.InferenceSession]:
        """The ONNX models in onnxruntime itself."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return {
            name: onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
            for name, model in self._onnx.items()
        }
