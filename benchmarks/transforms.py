"""Feature transforms against ONNX Runtime and scikit-learn: the same fitted pipeline, one thread, input
decoded.

20 numeric columns (impute the mean, standardize), 10 columns of text with 30 categories each (one-hot),
logistic regression. skl2onnx and ONNX Runtime compute it in FP32, and Penstock's transforms make the same
FP32 matrix; its regression takes FP64 (FP32 columns in, as all have). ONNX Runtime gets two inputs or one a
column, and the faster of these counts. What is required stands in budgets.toml: shares of its time through
its Python API, which is how its users run it and how the requirement's figures were measured. Exit 1 when
they are missed. Beside it is told, and not required, the ratio to its C API, run by Penstock's executor
without Python.

    python benchmarks/transforms.py [--rounds 15] [--no-pin] [--save | --short]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd
import pyarrow as pa
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import penstock
import results
import verdicts
from penstock import transforms as t
from penstock._core import Executor, Version
from penstock.arrow_text import ArrowText
from penstock.bundle.loading import open_bundle
from penstock.models.libraries import onnxruntime_library

NUMBERS = [f"number_{index}" for index in range(20)]
TEXTS = [f"text_{index}" for index in range(10)]
CATEGORIES = 30
TRAINING_ROWS = 20_000
BATCHES = (1, 256)

Array = np.ndarray[Any, Any]
Frame = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """`run(n)` runs n times and gives what each run took, INT64 [n], in nanoseconds."""

    name: str
    run: Callable[[int], Array]


def columns(rng: np.random.Generator, rows: int) -> Frame:
    """FP32 numbers, one in twenty missing, and text."""
    made: Frame = {}
    for name in NUMBERS:
        values = rng.normal(3.0, 20.0, rows).astype(np.float32)
        made[name] = np.where(rng.random(rows) < 0.05, np.float32(np.nan), values)
    for name in TEXTS:
        made[name] = [f"category_{number}" for number in rng.integers(0, CATEGORIES, rows)]
    return made


def decoded(frame: Frame, *shape: int) -> Frame:
    """As a decoded request has it: numbers, and the bytes of a column's texts one behind the other."""
    made = dict(frame)
    for name in TEXTS:
        made[name] = ArrowText(pa.chunked_array([frame[name]]), (len(frame[name]), *shape))
    return made | {name: frame[name].reshape(-1, *shape) for name in NUMBERS}


def pipeline(numbers: Any, texts: Any) -> Pipeline:
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
            ]
        ),
        LogisticRegression(max_iter=200),
    )


def blocks(frame: Frame) -> dict[str, Array]:
    """The two matrices: FP32 [rows, 20] and text [rows, 10]."""
    return {
        "numbers": np.column_stack([frame[name] for name in NUMBERS]),
        "texts": np.column_stack([np.array(frame[name], object) for name in TEXTS]),
    }


def single_columns(frame: Frame) -> dict[str, Array]:
    """A tensor [rows, 1] for each column."""
    numbers = {name: frame[name][:, None] for name in NUMBERS}
    return numbers | {name: np.array(frame[name], object)[:, None] for name in TEXTS}


def converted(fitted: Pipeline, inputs: list[tuple[str, Any]], file: Path) -> Path:
    model = convert_sklearn(fitted, initial_types=inputs, options={id(fitted[-1]): {"zipmap": False}})
    file.write_bytes(model.SerializeToString())
    return file


def timed(run: Callable[[], object], count: int) -> Array:
    taken = np.empty(count, np.int64)
    for index in range(count):
        started = time.perf_counter_ns()
        run()
        taken[index] = time.perf_counter_ns() - started
    return taken


def python_api(file: Path, tensors: dict[str, Array]) -> tuple[Callable[[int], Array], Array]:
    """ONNX Runtime's own package, on values that it owns; and the probabilities."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    probabilities = session.get_outputs()[1].name

    def run() -> Any:
        return session.run([probabilities], tensors)

    return lambda count: timed(run, count), run()[0]


def c_api(file: Path, tensors: dict[str, Array]) -> Callable[[int], Array]:
    """ONNX Runtime through Penstock's executor: its C API, without Python."""
    executor = Executor.onnx(str(file), library=onnxruntime_library())
    version = Version(model="pipeline", version="1", digest="", executor=executor)
    return lambda count: version.durations(tensors, count)


class Contest:
    """All contenders on one batch, and the check that they answer alike."""

    def __init__(self, rows: int, training: Frame, labels: Array, frame: Frame, folder: Path) -> None:
        self.rows = rows
        as_frame = pipeline(NUMBERS, TEXTS).fit(pd.DataFrame(training), labels)
        matrices = blocks(training)
        joined = np.hstack([matrices["numbers"].astype(object), matrices["texts"]])
        as_matrix = pipeline(slice(0, 20), slice(20, 30)).fit(joined, labels)
        expected = as_frame.predict_proba(pd.DataFrame(frame))

        features = t.Features([t.Impute(NUMBERS), t.Standardize(NUMBERS), t.OneHot(TEXTS)]).fit(training)
        bundle = penstock.build(
            folder / f"repository-{rows}",
            name="pipeline",
            version="1",
            model=as_frame[-1],
            features=features,
        )
        core = open_bundle(bundle.path).core
        single, double = features.program(dtype="FP32"), features.program()
        self._close("Penstock", core.run(frame)["prediction"], expected[:, 1], 1e-6)
        given = decoded(frame)
        self.transforms = Contender("Penstock, transforms", lambda count: single.durations(given, count))
        self.wide = Contender("Penstock, transforms in FP64", lambda count: double.durations(given, count))
        self.whole = Contender("Penstock, with the regression", lambda count: core.durations(given, count))

        two = converted(
            as_matrix,
            [("numbers", FloatTensorType([None, 20])), ("texts", StringTensorType([None, 10]))],
            folder / f"two-{rows}.onnx",
        )
        many = converted(
            as_frame,
            [(name, FloatTensorType([None, 1])) for name in NUMBERS]
            + [(name, StringTensorType([None, 1])) for name in TEXTS],
            folder / f"many-{rows}.onnx",
        )
        self.peers = []
        for inputs, file, tensors in (
            ("2 inputs", two, blocks(frame)),
            ("30 inputs", many, single_columns(frame)),
        ):
            run, answer = python_api(file, tensors)
            self._close(f"ONNX Runtime, {inputs}", answer, expected, 1e-4)
            self.peers.append(Contender(f"ONNX Runtime, {inputs}, Python API", run))
            given_too = decoded(frame, 1) if tensors.keys() == frame.keys() else tensors
            self.peers.append(Contender(f"ONNX Runtime, {inputs}, C API", c_api(file, given_too)))
        table = pd.DataFrame(frame)
        self.library = Contender(
            "scikit-learn", lambda count: timed(lambda: as_frame.predict_proba(table), max(3, count // 50))
        )

    @property
    def contenders(self) -> list[Contender]:
        return [self.transforms, self.wide, self.whole, *self.peers, self.library]

    def _close(self, who: str, answer: Array, expected: Array, tolerance: float) -> None:
        worst = float(np.abs(answer - expected).max())
        if not worst <= tolerance:
            sys.exit(f"transforms: {who} is {worst:g} off scikit-learn at {self.rows} rows")


def ratios_of(contest: Contest, medians: dict[str, list[float]]) -> list[dict[str, Any]]:
    """By round, to the faster way of each of ONNX Runtime's interfaces; `figure` is its name in budgets.toml,
    and none for the C API.
    """
    found = []
    for api in ("Python API", "C API"):
        peers = [peer for peer in contest.peers if peer.name.endswith(api)]
        best = min(peers, key=lambda peer: statistics.median(medians[peer.name]))
        for kind, ours in (("transforms", contest.transforms), ("whole", contest.whole)):
            pairs = zip(medians[ours.name], medians[best.name], strict=True)
            ratios = [mine / theirs for mine, theirs in pairs]
            found.append(
                {
                    "rows": contest.rows,
                    "what": ours.name,
                    "against": best.name,
                    "ratios": ratios,
                    "ratio": statistics.median(ratios),
                    "figure": f"{kind}-{contest.rows}" if api == "Python API" else None,
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the core")
    options = results.parsed(
        parser,
        least={"rounds": 15},
        short={"rounds": 9},
        judges="a budget is missed when the whole interval lies beyond it",
    )
    core = None if options.no_pin else max(os.sched_getaffinity(0))
    if core is not None:
        os.sched_setaffinity(0, {core})
    threadpool_limits(1)
    rng = np.random.default_rng(2013)
    training = columns(rng, TRAINING_ROWS)
    labels = (np.nan_to_num(training["number_0"]) + rng.normal(0, 10, TRAINING_ROWS) > 3).astype(int)
    checks: list[dict[str, Any]] = []
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="penstock-transforms-") as folder:
        for rows in BATCHES:
            print(f"{rows} row{'s' * (rows > 1)}: training and converting ...", flush=True)
            contest = Contest(rows, training, labels, columns(rng, rows), Path(folder))
            count = 2000 if rows == 1 else 200
            medians: dict[str, list[float]] = {contender.name: [] for contender in contest.contenders}
            for contender in contest.contenders:
                contender.run(count // 10)  # warm
            for _ in range(options.rounds):
                for contender in contest.contenders:
                    medians[contender.name].append(float(np.median(contender.run(count))) / 1e3)
            figures[str(rows)] = {name: statistics.median(values) for name, values in medians.items()}
            for name, microseconds in figures[str(rows)].items():
                print(f"  {name:36}{microseconds:12,.2f} us")
            checks += ratios_of(contest, medians)
    for check in checks:
        line = f"{check['rows']:4} rows: {check['what']} / {check['against']}: 1/{1 / check['ratio']:.1f}"
        print(line)
    ratios = {check["figure"]: check["ratios"] for check in checks if check["figure"]}
    found = verdicts.judged("transforms", ratios, options)
    by_figure = {verdict.budget.figure: verdict for verdict in found}
    for check in checks:
        verdict = by_figure.get(check["figure"])
        check["required"] = None if verdict is None else verdict.budget.limit
        check["met"] = None if verdict is None else verdict.met
    record = {"core": core, "rounds": options.rounds, "p50_us": figures, "checks": checks, "ratios": ratios}
    print(f"Figures in {results.keep('transforms', record, options)}")
    verdicts.end("transforms", found)


if __name__ == "__main__":
    main()
