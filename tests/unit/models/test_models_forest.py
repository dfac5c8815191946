"""The file of a forest: what it holds, and what is refused of it. Any forest that it can hold is answered as
by a plain walk.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from forest_models import fitted
from forest_serving import run
from forest_walk import walk
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import models
from penstock._core import Executor
from penstock.errors import ModelError
from penstock.models import forest

WIDTH = 3


def described(**fields: Any) -> str:
    return json.dumps(
        {
            "kind": "forest",
            "format": 1,
            "origin": "scikit-learn",
            "estimator": "HistGradientBoostingRegressor",
            "link": "identity",
            "single_precision": False,
            "feature_names": [f"x{i}" for i in range(WIDTH)],
            **fields,
        }
    )


def forged(tensors: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """A tree of x0 <= 1 and x1 in {2, 5}, and one of a leaf, but for what is given."""
    good = {
        "splits": np.array([2, 0], np.int32),
        "outputs": np.array([0, 0], np.int32),
        "features": np.array([0, 1], np.int32),
        "thresholds": np.array([1.0, 0.0]),
        "missing_left": np.array([True, False]),
        "left": np.array([1, ~1], np.int32),
        "right": np.array([~0, ~2], np.int32),
        "covers": np.array([9.0, 5.0]),
        "category_counts": np.array([-1, 2], np.int32),
        "categories": np.array([2, 5], np.int32),
        "leaves": np.array([[1.0], [2.0], [3.0], [10.0]]),
        "leaf_covers": np.array([4.0, 3.0, 2.0, 9.0]),
        "base": np.array([100.0]),
        **(tensors or {}),
    }
    arrays = {name: array for name, array in good.items() if array is not None}
    return safetensors.numpy.save(arrays, {"penstock": described(**fields)})


def load(content: bytes, folder: Path, **options: Any) -> Executor:
    (folder / forest.FILE).write_bytes(content)
    return forest.load(str(folder / forest.FILE), forest.Options(**options))


def test_a_file_is_served_as_it_says(tmp_path: Path) -> None:
    x = np.array([[1, 5, 0], [1, 4, 0], [np.nextafter(1, 2), 2, 0], [np.nan, np.nan, 0]])
    assert run(load(forged(), tmp_path), x).tolist() == [112, 113, 111, 113]
    assert "scikit-learn" in load(forged(), tmp_path).description


def grown(seed: int) -> bytes:
    """Trees of any shape, with any link."""
    random = np.random.default_rng(seed)
    link = random.choice(["identity", "sigmoid", "softmax", "exponential", "hinge"])
    outputs = int(random.integers(2, 5) if link == "softmax" else random.integers(1, 4))
    values = int(random.choice([1, outputs]))
    parts: dict[str, list[Any]] = {name: [] for name in ("splits", "outputs", *SPLIT, "categories", "leaves")}
    for _ in range(random.integers(1, 12)):
        splits = int(random.choice([0, 1, 2, 7, 15, 40, 300]))
        parts["splits"].append(splits)
        parts["outputs"].append(0 if values > 1 else int(random.integers(outputs)))
        left, right = shape(random, splits)
        parts["left"] += left
        parts["right"] += right
        for _ in range(splits):
            count = int(random.integers(0, 5)) if random.random() < 0.3 else -1
            parts["categories"] += sorted(random.choice(40, max(count, 0), replace=False).tolist())
            parts["category_counts"].append(count)
            parts["features"].append(int(random.integers(WIDTH)))
            parts["thresholds"].append(random.choice([*np.round(random.normal(size=3), 1), np.inf, 0.0]))
            parts["missing_left"].append(bool(random.integers(2)))
        parts["leaves"] += random.normal(size=(splits + 1, values)).tolist()
    types = dict.fromkeys(parts, np.int32) | {"thresholds": np.float64, "missing_left": np.bool_}
    tensors = {name: np.array(part, types[name]) for name, part in parts.items() if name != "leaves"}
    tensors["leaves"] = np.array(parts["leaves"]).reshape(-1, values)
    tensors |= {"base": random.normal(size=outputs), "covers": np.empty(0), "leaf_covers": np.empty(0)}
    return forged(
        tensors,
        link=str(link),
        scale=float(random.choice([1.0, 2.0])) if link == "sigmoid" else 1.0,
        divisor=float(random.choice([1.0, 3.0])),
        single_precision=bool(random.integers(2)),
    )


SPLIT = ("features", "thresholds", "missing_left", "left", "right", "category_counts")


def shape(random: np.random.Generator, splits: int) -> tuple[list[int], list[int]]:
    """The children of splits that were made one after the other, each of any leaf."""
    left, right = [0] * splits, [0] * splits
    open_: list[tuple[list[int], int]] = []
    for split in range(splits):
        if open_:
            side, parent = open_.pop(int(random.integers(len(open_))) if random.random() < 0.7 else -1)
            side[parent] = split
        open_ += [(left, split), (right, split)]
    for leaf, (side, parent) in enumerate(open_):
        side[parent] = ~leaf
    return left, right


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40), data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_forest_is_answered_as_by_a_plain_walk(
    tmp_path_factory: Any, seed: int, count: int, data: st.DataObject
) -> None:
    content, random = grown(seed), np.random.default_rng(seed + 1)
    x = np.round(random.normal(size=(count, WIDTH)) * random.choice([1, 20], WIDTH), 1)
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 3.0, 39.0, 40.0, 2.0**31, 2.0**40, 1e300, 1e-320]
    x[random.random(x.shape) < 0.3] = data.draw(st.sampled_from(odd))
    datatype = data.draw(st.sampled_from(["FP64", "FP32"]))
    with np.errstate(over="ignore"):
        x = x.astype(np.float32 if datatype == "FP32" else np.float64)
    ours = run(load(content, tmp_path_factory.getbasetemp(), datatype=datatype), x)
    np.testing.assert_allclose(ours, walk(content, x.astype(np.float64)), rtol=1e-13, atol=1e-300)


def test_the_same_model_is_the_same_bytes_in_every_process() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import hashlib;"
        "from forest_models import fitted; from penstock import models;"
        "print([hashlib.sha256(models.prepare(fitted(*one)).content).hexdigest() for one in "
        "(('scikit-learn', 'histogram, categories'), ('xgboost', 'sets of categories'))])"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout != "", runs[0].stderr


def test_a_file_serves_without_the_library_that_it_came_from(tmp_path: Path) -> None:
    prepared = models.prepare(fitted("scikit-learn", "histogram, categories"))
    (tmp_path / "ours").write_bytes(prepared.content)
    fitted("xgboost", "dart").save_model(tmp_path / "m.ubj")
    code = (
        "import sys; from penstock import models\n"
        "for path in sys.argv[1:]:\n"
        "    prepared = models.prepare(path); open(path, 'wb').write(prepared.content)\n"
        "    models.load_executor(prepared.kind, path, prepared.options)\n"
        "print({'sklearn', 'xgboost', 'scipy'} & set(sys.modules))"
    )
    paths = [tmp_path / "ours", tmp_path / "m.ubj"]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_a_file_of_an_earlier_bundle_is_taken_as_it_is_also_where_it_begins_like_an_onnx_model() -> None:
    # The first byte is the header's length modulo 256, and the header's a multiple of 8 bytes.
    files = [forged(estimator="x" * length) for length in range(0, 256, 8)]
    assert any(content.startswith(b"\x08") for content in files)
    for content in files:
        prepared = models.prepare(content)
        assert (prepared.kind, prepared.content, prepared.feature_names) == (
            "forest",
            content,
            ("x0", "x1", "x2"),
        )
        assert prepared.estimator is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"datatype": "FP16"}, "datatype: Input should be 'FP64' or 'FP32'"),
        ({"num_iterations": 3}, "num_iterations: no such"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=f"model_options of the forest model: {words}"):
        models.prepare(forged(), options)


FORGERIES = {
    "another kind": (forged(kind="linear"), "kind: Input should be 'forest'"),
    "a later format": (forged(format=2), "format: Input should be less than or equal to 1"),
    "an unknown link": (forged(link="cube"), "link: Input should be"),
    "a field too many": (forged(depth=3), "depth: no such field"),
    "no names": (forged(feature_names=[]), "feature_names: Tuple should have at least 1 item"),
    "nothing to divide by": (forged(divisor=0.0), "divisor: Input should be greater than 0"),
    "an infinite scale": (forged(scale=float("inf")), "scale: Input should be a finite number"),
    "no tensor": (forged({"leaves": None}), "'leaves' is none; float64 of rank 2 is expected"),
    "a tensor too many": (forged({"more": np.zeros(1)}), "holds 'more', which is no part of a forest"),
    "single precision": (
        forged({"thresholds": np.ones(2, np.float32)}),
        "'thresholds' is float32",
    ),
    "leaves in one row": (forged({"leaves": np.ones(4)}), r"'leaves' is float64 \[4\]; float64 of rank 2"),
    "flags as numbers": (forged({"missing_left": np.ones(2, np.uint8)}), "'missing_left' is uint8"),
    "a negative number of splits": (
        forged({"splits": np.array([4, -2], np.int32)}),
        "the smallest of 'splits' is -2; 0 is expected",
    ),
    "splits that add up beyond 32 bits": (
        forged({"splits": np.array([2**31 - 1, 2**31 - 1], np.int32)}),
        "the size of 'leaves' is 4; 4294967296 is expected",
    ),
    "a feature short": (
        forged({"features": np.zeros(1, np.int32)}),
        "size of 'features' is 1; 2 is expected",
    ),
    "a threshold too many": (forged({"thresholds": np.zeros(3)}), "the size of 'thresholds' is 3; 2"),
    "a leaf short": (forged({"leaves": np.zeros((3, 1))}), "the size of 'leaves' is 3; 4 is expected"),
    "leaves of two values": (
        forged({"leaves": np.zeros((4, 2))}),
        "the values of a leaf is 2; 1 is expected",
    ),
    "leaves of no value": (forged({"leaves": np.zeros((4, 0))}), "the values of a leaf is 0; 1 is expected"),
    "an output too many": (forged({"outputs": np.zeros(3, np.int32)}), "the size of 'outputs' is 3; 2"),
    "a category short": (forged({"categories": np.zeros(1, np.int32)}), "size of 'categories' is 1; 2"),
    "counts that add up beyond 32 bits": (
        forged({"category_counts": np.full(2, 2**31 - 1, np.int32)}),
        "the size of 'categories' is 2; 4294967294 is expected",
    ),
    "fewer than no categories": (
        forged({"category_counts": np.array([-2, 2], np.int32)}),
        "the smallest of 'category_counts' is -2; -1 is expected",
    ),
    "covers of splits alone": (forged({"leaf_covers": np.empty(0)}), "the size of 'covers' is 2; 0 is"),
    "covers of leaves alone": (forged({"covers": np.empty(0)}), "the size of 'covers' is 0; 2 is expected"),
    "a leaf's cover short": (forged({"leaf_covers": np.ones(3)}), "size of 'leaf_covers' is 3; 0 or 4"),
    "no outputs": (forged({"base": np.empty(0), "leaves": np.empty((4, 0))}), "0 outputs"),
    "no trees": (
        forged(
            {
                **{n: np.empty(0, np.int32) for n in ("splits", "outputs", "features", "left", "right")},
                **{n: np.empty(0, np.int32) for n in ("category_counts", "categories")},
                **{n: np.empty(0) for n in ("thresholds", "covers", "leaf_covers")},
                "missing_left": np.empty(0, np.bool_),
                "leaves": np.empty((0, 1)),
            }
        ),
        "a forest has no trees",
    ),
    "another feature": (forged({"features": np.array([0, 3], np.int32)}), "feature 3 is none of 3"),
    "a threshold that is NaN": (forged({"thresholds": np.array([np.nan, 0])}), "the threshold is NaN"),
    "a circle": (forged({"left": np.array([0, ~1], np.int32)}), "its child 0 has another parent"),
    "a child beyond the tree": (forged({"right": np.array([~3, ~2], np.int32)}), "a child lies outside"),
    "a leaf of two": (forged({"right": np.array([~1, ~2], np.int32)}), "its child -2 has another parent"),
    "categories that do not ascend": (
        forged({"categories": np.array([5, 2], np.int32)}),
        "its categories do not ascend",
    ),
    "a negative category": (forged({"categories": np.array([-1, 2], np.int32)}), "a category is negative"),
    "another output": (forged({"outputs": np.array([0, 1], np.int32)}), "it adds to output 1"),
    "no metadata": (safetensors.numpy.save({"base": np.zeros(1)}), "has no entry 'penstock'"),
    "nothing": (b"", "has no entry 'penstock'"),
    "cut short": (forged()[:-1], "no whole safetensors file"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_file_is_refused_at_load(tmp_path: Path, name: str) -> None:
    content, words = FORGERIES[name]
    with pytest.raises(ModelError, match=words):
        load(content, tmp_path)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_damage_of_any_sort_is_a_model_or_a_refusal(tmp_path_factory: Any, data: st.DataObject) -> None:
    content = bytearray(forged())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content))) if data.draw(st.booleans()) else len(content)
    try:
        executor = load(bytes(content[:cut]), tmp_path_factory.getbasetemp())
    except ModelError:
        return
    assert run(executor, np.zeros((2, WIDTH))).shape == (2,)


def test_arrays_that_disagree_are_refused_by_the_core_too() -> None:
    good = safetensors.numpy.load(forged())
    for name in sorted(set(good) - {"base"}):
        for changed in (good[name][:-1], np.concatenate([good[name], good[name]])):
            with pytest.raises(Exception, match="forest") as error:
                Executor.forest({**good, name: changed}, features=WIDTH, link="identity", origin="a test")
            assert type(error.value).__name__ == "StatusError", name


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read: No such file"):
        forest.load(str(tmp_path / "none"), forest.Options())
