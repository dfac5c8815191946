"""The plan: what is joined, left out, written in place; and that none of it changes a number."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import transforms as t
from penstock.errors import InputError
from penstock.transforms.plan import Plan
from penstock.transforms.plan_text import plan_document, plan_lines

FRAME: dict[str, list[Any]] = {
    "a": [1.0, 2.0, None, 5.0],
    "b": [3.0, 4.0, 5.0, 5.0],
    "c": ["x", "y", None, "z"],
    "d": [1, 2, 3, 7],
    "e": ["u", "v", "u", "u"],
}


def fitted(*transforms: t.Transform) -> t.Features:
    return t.Features(transforms).fit(FRAME)


def kernels(plan: Plan) -> list[Any]:
    return [call.kernel for call in plan.calls]


def test_maps_of_one_column_are_one_chain_and_all_chains_one_call() -> None:
    plan = fitted(t.Impute(["a", "b"]), t.Log1p("b"), t.Standardize(["a", "b"]), t.Cyclic("d", 7)).plan()
    (call,) = plan.calls
    assert call.kernel == "chain"
    assert [[op.code for op in chain] for chain in call.chains] == [
        ["fill", "standardize"],
        ["fill", "log1p", "standardize"],
        ["sine"],
        ["cosine"],
    ]
    assert all(slot.input >= 0 or slot.output >= 0 for slot in plan.slots)


def test_a_block_goes_straight_into_the_matrix() -> None:
    plan = fitted(t.OneHot(["c", "e"])).plan(dtype="FP32")
    assert kernels(plan) == ["one_hot_text"]
    assert [(slot.column, len(slot.names)) for slot in plan.slots if slot.output == 0] == [(0, 4), (4, 2)]
    assert {slot.datatype for slot in plan.slots if slot.output == 0} == {"FP32"}


def test_what_no_feature_depends_on_is_left_out_and_its_columns_are_no_inputs() -> None:
    features = fitted(
        t.OneHot(["c", "e"]),
        t.Ordinal("d", unknown="value", unknown_value=-1),
        t.Log1p(["a", "b"]),
        t.Select(["b"], only=True),
    )
    assert features.inputs == [("b", "FP64")]
    assert features.strings == {}
    assert kernels(features.plan()) == ["chain"]
    assert features.plan().dropped == ("c", "e", "d", "a", "one_hot(c, e)", "ordinal(d)")
    np.testing.assert_array_equal(features.transform({"b": [0.0, 1.0]})[:, 0], np.log1p([0.0, 1.0]))


def test_a_step_that_may_refuse_a_row_stays() -> None:
    features = fitted(t.OneHot("e", unknown="error"), t.Select("b"), t.Select("b", only=True))
    assert features.inputs == [("e", "BYTES"), ("b", "FP64")]
    with pytest.raises(InputError, match=r'one_hot\(e\) refused row 1: "w"'):
        features.transform({"e": ["u", "w"], "b": [1.0, 2.0]})


def test_copies_cost_no_call() -> None:
    features = fitted(
        t.Copy(["a", "c"], ["a2", "c2"]), t.Impute("a"), t.Log1p("a2"), t.OneHot("c"), t.Ordinal("c2")
    )
    assert kernels(features.plan()) == ["one_hot_text", "ordinal_text", "chain"]
    assert features.output_names == ["a", "a2", "c=x", "c=y", "c=z", "c_missing", "c2"]


def test_a_block_that_is_read_again_keeps_its_precision_in_a_matrix_of_fp32() -> None:
    features = fitted(t.Ordinal("e"), t.Copy("e", "again"), t.Standardize("again"))
    single, double = features.plan(dtype="FP32"), features.plan()
    assert {slot.datatype for slot in single.slots if slot.names == ("e",)} == {"BYTES", "FP64", "FP32"}
    assert {slot.datatype for slot in double.slots if slot.names == ("e",)} == {"BYTES", "FP64"}
    made = features.transform(FRAME)
    np.testing.assert_array_equal(features.transform(FRAME, "FP32"), made.astype(np.float32))


def test_integers_and_booleans_that_nothing_changes_are_features_as_they_are() -> None:
    features = t.Features([t.Copy(["n", "flag"], ["m", "flag2"])]).fit(
        {"n": [1, 2**40], "flag": [True, False]}
    )
    np.testing.assert_array_equal(
        features.transform({"n": [7, 2**40], "flag": [False, True]}), [[7, 7, 0, 0], [2**40, 2**40, 1, 1]]
    )


def test_the_plan_says_what_goes_where() -> None:
    features = fitted(
        t.Impute("a"),
        t.Standardize("a"),
        t.OneHot("c"),
        t.Select("c=y"),
        t.Log1p("b"),
        t.Select(["c=y", "a"], only=True),
    )
    plan = features.plan(output="x", dtype="FP32")
    table = sum(array.nbytes for array in plan.calls[0].state)
    assert list(plan_lines(plan)) == [
        "inputs: a FP64, c BYTES",
        "output: x FP32 [rows, 2]",
        "",
        f"1. one_hot(c) by one_hot_text, {table} bytes of state",
        "   c BYTES -> x[0] c=y",
        "",
        "2. chain, 72 bytes of state",
        "   a FP64 -> fill 2.66667 -> standardize 2.66667 1.47196 -> x[1] a",
        "",
        "left out, since no feature depends on it: b, c=x, c=z, c_missing",
    ]


def test_the_plan_as_json_names_every_slot_and_call() -> None:
    document = plan_document(fitted(t.OneHot("c"), t.Log1p("b")).plan())
    assert document["inputs"] == [["c", "BYTES"], ["b", "FP64"]]
    assert [slot["place"] for slot in document["slots"]] == [
        "input 0",
        "input 1",
        "features[0:4]",
        "features[4]",
    ]
    assert [(call["reads"], call["writes"]) for call in document["calls"]] == [
        ([{"slot": 0, "column": 0}], [2]),
        ([{"slot": 1, "column": 0}], [3]),
    ]
    assert document["calls"][1]["operations"] == [["log1p"]]


def test_columns_of_a_block_that_nothing_needs_are_not_computed() -> None:
    features = fitted(t.OneHot(["c", "e"]), t.Select(["c=y", "c_missing"], only=True))
    plan = features.plan()
    assert features.inputs == [("c", "BYTES")]
    assert [slot.names for slot in plan.slots if slot.output == 0] == [("c=y", "c_missing")]
    assert plan.dropped == ("e", "c=x", "c=z", "e=u", "e=v")
    rows = {"c": ["x", "y", None, "unknown"]}
    np.testing.assert_array_equal(features.transform(rows), [[0, 0], [1, 0], [0, 1], [0, 0]])


def test_a_step_left_without_columns_still_refuses() -> None:
    features = fitted(t.OneHot(["c", "e"], unknown="error"), t.Select("c=y", only=True))
    assert dict(features.inputs).keys() == {"c", "e"}
    np.testing.assert_array_equal(features.transform({"c": ["y", None], "e": ["u", "v"]}), [[1], [0]])
    with pytest.raises(InputError, match=r'one_hot\(e\) refused row 1: "w"'):
        features.transform({"c": ["y", "x"], "e": ["u", "w"]})


def test_thousands_of_columns_are_planned_in_a_moment() -> None:
    names = [f"x{index}" for index in range(100)]
    frame = {name: np.arange(4.0) + index for index, name in enumerate(names)}
    square = t.Features([t.Polynomial(names)]).fit(frame)
    began = time.process_time()
    features = t.Features([t.Polynomial(names), t.Standardize(square.output_names)])
    made = features.fit(frame).transform(frame)
    assert made.shape == (4, 5150)
    assert time.process_time() - began < 5.0


@st.composite
def pipelines(draw: st.DrawFn) -> list[t.Transform]:
    """A list of transforms that names only columns that are there."""
    numbers, texts = ["a", "b", "d"], ["c", "e"]
    made: list[t.Transform] = []
    for index in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["impute", "log", "scale", "cyclic", "copy", "copy text", "hot", "code"]))
        if kind in ("hot", "code", "copy text"):
            if not texts:
                continue
            name = draw(st.sampled_from(texts))
            if kind == "copy text":
                texts.append(f"{name}{index}")
                made.append(t.Copy(name, texts[-1]))
                continue
            texts.remove(name)
            if kind == "hot":
                made.append(t.OneHot(name))
                if name in ("c", "e"):
                    numbers += draw(st.permutations(["c=x", "c=z", "c_missing"] if name == "c" else ["e=v"]))
                continue
            numbers.append(name)
            made.append(t.Ordinal(name, unknown="value", unknown_value=-1, missing_value=-2))
            continue
        name = draw(st.sampled_from(numbers))
        if kind == "copy":
            numbers.append(f"{name}{index}")
            made.append(t.Copy(name, numbers[-1]))
        elif kind == "cyclic":
            numbers.remove(name)
            numbers += [f"{name}_sin", f"{name}_cos"]
            made.append(t.Cyclic(name, 3.0))
            if not numbers:
                break
        else:
            made.append({"impute": t.Impute, "log": t.Log1p, "scale": t.Standardize}[kind](name))
    there = {name for other in made for name in (*other.columns, *getattr(other, "names", ()))}
    made += [t.OneHot(name) for name in texts if name in there]
    if draw(st.booleans()) and numbers:
        keep = draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True))
        made += [t.Select(keep), t.Select(keep, only=True)]
    return made or [t.Select("b")]


@given(pipelines())
@settings(max_examples=150, deadline=None)
def test_a_plan_gives_what_its_transforms_give_one_by_one(transforms: list[t.Transform]) -> None:
    frame: dict[str, Any] = {"a": [1.0, 2.0, None, 5.0], "b": [3.0, 4.0, 6.0, 5.0], "d": [1, 2, 3, 7]}
    frame |= {"c": FRAME["c"], "e": FRAME["e"]}
    together = t.Features(transforms).fit(frame)
    made = dict(zip(together.output_names, together.transform(frame).T, strict=True))
    columns = dict(frame)
    for transform in transforms:
        if isinstance(transform, t.Copy):
            columns |= {
                new: columns[old] for old, new in zip(transform.columns, transform.names, strict=True)
            }
            continue
        alone = t.Features([transform]).fit({name: columns[name] for name in transform.columns})
        results = dict(zip(alone.output_names, alone.transform(columns).T, strict=True))
        columns = {name: value for name, value in columns.items() if name not in transform.columns} | results
    for name, values in made.items():
        np.testing.assert_array_equal(values, np.array(columns[name], np.float64), name)
