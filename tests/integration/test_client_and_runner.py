"""The client and the runner take the same data, give the same arrays, and refuse in the same words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pytest
from cli_server import started
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import penstock
from penstock import transforms
from penstock.errors import InputError, PenstockError, RowError
from penstock.runner import Runner

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "bundle"))

from small_models import booster, flights, late, linear, mixed, onnx_model

EMPTY = "the batch is empty; at least one row is expected"
RANDOM = np.random.default_rng(5)


@dataclass
class Both:
    """A client of a server, and the same models in this process."""

    client: penstock.Client
    runners: dict[str, Runner]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    repository = tmp_path_factory.mktemp("repository")
    frame = flights()
    carriers = frame.assign(carrier=RANDOM.choice(["UA", "AA", None], len(frame)))
    features = [transforms.Ordinal(["carrier"]), transforms.Select(["wind"])]
    fitted = transforms.Features(features).fit(carriers)
    one_hot = [transforms.OneHot(["carrier"], unknown="error"), transforms.Select(["wind"])]
    strict = transforms.Features(one_hot).fit(carriers)
    two = onnx_model(
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        [("a", TensorProto.FLOAT, [None]), ("b", TensorProto.FLOAT, [None])],
        [("sum", TensorProto.FLOAT, [None])],
    )
    half = onnx_model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", TensorProto.BFLOAT16, [None, 2])],
        [("y", TensorProto.BFLOAT16, [None, 2])],
    )
    models: dict[str, dict[str, Any]] = {
        "numbers": {"model": booster()},
        "counts": {"model": booster(), "inputs": {"hour": "INT16", "wind": "FP32"}},
        "words": {
            "model": lightgbm.train(
                {"objective": "binary", "verbose": -1, "num_threads": 1},
                lightgbm.Dataset(fitted.transform(carriers), late(frame)),
                3,
            ),
            "features": fitted,
            "reference": carriers,
        },
        "strict": {
            "model": lightgbm.train(
                {"objective": "binary", "verbose": -1, "num_threads": 1},
                lightgbm.Dataset(strict.transform(carriers), late(frame)),
                3,
            ),
            "features": strict,
            "reference": carriers,
        },
        "matrix": {"model": linear()},
        "two": {"model": two},
        "mixed": {"model": mixed()},
        "half": {"model": half},
    }
    runners = {
        name: penstock.load(penstock.build(repository, name=name, version="1", max_rows=6, **arguments))
        for name, arguments in models.items()
    }
    program, address = started(repository)
    with penstock.Client(address) as client:
        yield Both(client, runners)
    program.stop()


Outcome = dict[str, tuple[str, tuple[int, ...], list[Any]]] | str


def outcome(call: Any) -> Outcome:
    """What came of it, in a form that compares."""
    try:
        answered = call()
    except PenstockError as error:
        return str(error)
    return {
        name: (str(array.dtype), array.shape, [repr(value) for value in array.ravel().tolist()])
        for name, array in answered.items()
    }


def outcomes(both: Both, model: str, data: Any, outputs: tuple[str, ...] = ()) -> tuple[Outcome, Outcome]:
    return (
        outcome(lambda: both.client.infer(model, data, outputs=outputs)),
        outcome(lambda: both.runners[model].predict(data, outputs)),
    )


WIDTHS = {"numbers": 3, "counts": 3, "words": 2, "matrix": 3, "two": 2, "mixed": 8}
numbers = st.sampled_from([0, 1, -3, 2.5, 40000, 2**40, 1e300, True, None, float("nan"), float("inf")])
texts = st.sampled_from(["UA", "", "é", None, b"raw", b"\xff", "\ud800"])
elements = st.one_of(numbers, texts)


@st.composite
def columns(draw: st.DrawFn, datatype: str, rows: int) -> Any:
    """One value a row, as one of the things that hold such: mostly right ones, and wrong ones."""
    right = st.sampled_from(["UA", "AA", None]) if datatype == "BYTES" else st.integers(0, 9)
    values = draw(
        st.lists(
            draw(st.sampled_from([right, right, right, numbers, texts, elements])),
            min_size=rows,
            max_size=rows,
        )
    )
    if draw(st.booleans()):
        return values
    kind = draw(
        st.sampled_from(["list", "object", "series", "f4", "f8", "i8", "bool", "2d", "nested", "wide"])
    )
    if kind == "list":
        return values
    if kind == "object":
        return np.array([*values, None], object)[:-1]
    if kind == "series":
        return pd.Series(values, dtype=object)
    if kind == "nested":
        return [[value, value] for value in values]
    made = RANDOM.integers(0, 5, (rows, 3))
    if kind == "wide":
        return made.astype("f4")
    return made[:, :1] if kind == "2d" else made[:, 0].astype(kind)


@st.composite
def data(draw: st.DrawFn, model: str, both: Both) -> Any:
    rows = draw(st.integers(0, 5))  # more than max_rows go in parts here, and are refused by the server
    names = [tensor.name for tensor in both.runners[model].inputs]
    kind = draw(st.sampled_from(["mapping", "mapping", "frame", "matrix", "features", "other"]))
    if kind == "other":
        return draw(st.sampled_from([3, None, np.array(1.0), np.zeros(3), np.zeros((2, 3, 1)), []]))
    if kind in ("matrix", "features"):
        width = draw(st.sampled_from([WIDTHS[model], WIDTHS[model], 1, 4]))
        matrix = RANDOM.normal(size=(rows, width)).astype(
            draw(st.sampled_from(["f2", "f4", "f8", "i8", "O"]))
        )
        return matrix if kind == "matrix" else {"features": matrix}
    chosen = draw(st.sampled_from([names, names, names[:-1], [*names, "more"], ["p", "q", "r"]]))
    if kind == "frame":
        made = {name: RANDOM.integers(0, 5, rows) for name in chosen}
        return draw(st.sampled_from([pd.DataFrame, pl.DataFrame]))(made)
    datatypes = {tensor.name: tensor.datatype for tensor in both.runners[model].inputs}
    return {
        name: draw(columns(datatypes.get(name, "FP64"), draw(st.sampled_from([rows] * 9 + [rows + 1]))))
        for name in chosen
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("model", sorted(WIDTHS))
@given(drawn=st.data())
def test_the_same_data_comes_to_the_same(both: Both, model: str, drawn: st.DataObject) -> None:
    chosen = drawn.draw(data(model, both))
    remote, local = outcomes(both, model, chosen)
    if remote == EMPTY and isinstance(local, dict):  # a server refuses requests without rows
        assert all(shape[0] == 0 for _, shape, _ in local.values())
    else:
        assert remote == local


def test_both_count_rows_from_the_datas_first(both: Both) -> None:
    """Those that a transform refuses in the core, and those that never come that far."""
    rows: dict[str, list[Any]] = {"carrier": ["UA"] * 23, "wind": [1.0] * 23}
    for column, value, said in (
        ("carrier", "ZZ", 'one_hot(carrier) refused row 17: "ZZ"'),
        ("carrier", b"\xff", "input 'carrier': element 17 is not UTF-8"),
        ("carrier", "\ud800", "column 'carrier': row 17 is "),
    ):
        bad = {**rows, column: [*rows[column][:17], value, *rows[column][18:]]}
        for call in (
            lambda bad=bad: both.client.infer("strict", bad, max_rows=5),
            lambda bad=bad: both.runners["strict"].predict(bad),
            lambda bad=bad: list(both.runners["strict"].score(bad, block_rows=4)),
        ):
            with pytest.raises(InputError) as caught:
                call()
            assert str(caught.value).startswith(said)
            if isinstance(value, str):
                assert isinstance(caught.value, RowError)
                assert (caught.value.column, caught.value.row) == (column, 17)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("matrix", pd.DataFrame(np.ones((2, 3)), columns=list("pqr"))),
        ("matrix", np.ones((2, 3))),
        ("numbers", {"features": np.ones((2, 3))}),
        ("counts", {"features": [[1, 2, 3], [4, 5, 6]]}),
        ("two", np.ones((2, 2))),
        ("two", {"features": np.ones((2, 2), "f4")}),
        ("words", {"carrier": ["UA", None], "wind": [1.0, None]}),
        ("mixed", {"text": [["a", None]], "count": [[1, 2]], "value": [[1, 2]], "flag": [[True, False]]}),
    ],
    ids=str,
)
def test_both_take_every_form_that_one_of_them_takes(both: Both, model: str, given: Any) -> None:
    remote, local = outcomes(both, model, given)
    assert isinstance(remote, dict), remote
    assert remote == local


@pytest.mark.parametrize("outputs", [("other",), ("prediction", "prediction")])
def test_outputs_that_cannot_be_given_are_refused_in_the_same_words(
    both: Both, outputs: tuple[str, ...]
) -> None:
    remote, local = outcomes(both, "numbers", flights(2), outputs)
    assert isinstance(remote, str)
    assert remote == local


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64])
def test_bf16_is_float32_to_the_caller_of_both(both: Both, dtype: type) -> None:
    values = np.array([[1, 3.14159], [1 + 2**-8, -1e4]]).astype(dtype)
    for form in (values, {"x": values.tolist()}, pd.DataFrame(values, columns=["p", "q"])):
        remote, local = both.client.infer("half", form)["y"], both.runners["half"].predict(form)["y"]
        for answered in (remote, local):
            assert answered.dtype == np.float32
            np.testing.assert_allclose(answered, values.astype("f4"), rtol=2**-8)
        np.testing.assert_array_equal(remote, local)
