"""Text that stays in Arrow's memory means what the same text means as Python's strings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import penstock
from penstock.arrow_text import ArrowText
from penstock.errors import InputError, StatusError
from penstock.frames import arrow_text, as_datatype
from penstock.runner import Runner

sys.path.insert(0, str(Path(__file__).parent / "bundle"))

from small_models import onnx_model

Words = list[str | None]


def chunked(kind: pa.DataType) -> Callable[[Words, int], Any]:
    """In two chunks, each a slice of a longer array: with an offset that its buffers do not start at."""

    def make(words: Words, cut: int) -> Any:
        whole = pa.array(["before", *words, "behind"], pa.string())
        whole = whole.dictionary_encode() if pa.types.is_dictionary(kind) else whole
        whole = whole.cast(kind)
        return pa.chunked_array([whole.slice(1, cut), whole.slice(1 + cut, len(words) - cut)], kind)

    return make


def series(dtype: Any) -> Callable[[Words, int], Any]:
    def make(words: Words, cut: int) -> Any:
        return pd.Series(["before", *words, "behind"], dtype=dtype)[1:-1]

    return make


def polars(dtype: Any) -> Callable[[Words, int], Any]:
    def make(words: Words, cut: int) -> Any:
        parts = [
            pl.Series(["before", *words[:cut]], dtype=pl.String),
            pl.Series(words[cut:], dtype=pl.String),
        ]
        return pl.concat(parts, rechunk=False).cast(dtype)[1:]

    return make


KINDS: dict[str, Callable[[Words, int], Any]] = {
    **{str(kind): chunked(kind) for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary())},
    **{
        f"dictionary of {words}, {indices}": chunked(pa.dictionary(indices, words))
        for indices in (pa.int8(), pa.uint16(), pa.int32(), pa.uint64())
        for words in (pa.string(), pa.large_string())
    },
    "polars": polars(pl.String),
    "polars categories": polars(pl.Categorical),
    "polars bytes": polars(pl.Binary),
    "pandas": series("str"),
    "pandas on Arrow": series(pd.ArrowDtype(pa.string())),
    "pandas categories": series("category"),
}

# Views hold up to 12 bytes themselves; a longer one, and what is not ASCII, must come out as well.
words = st.lists(
    st.one_of(
        st.none(), st.sampled_from(["", "a", "exactly 12 b", "and thirteen.", "nul\0inside"]), st.text()
    ),
    max_size=30,
).map(lambda drawn: [None if word is None else word.encode(errors="ignore").decode() for word in drawn])


@pytest.fixture(scope="module")
def echoes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Runner]:
    """Models that give text back as it came, [rows] and [rows, 1], by rank."""
    repository = tmp_path_factory.mktemp("repository")
    made = {}
    for rank in (1, 2):
        shape = [None, 1][:rank]
        model = onnx_model(
            [helper.make_node("Identity", ["x"], ["y"])],
            [("x", TensorProto.STRING, shape)],
            [("y", TensorProto.STRING, shape)],
        )
        made[rank] = penstock.load(penstock.build(repository, name=f"echo{rank}", version="1", model=model))
    return made


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", KINDS)
@given(words=words, data=st.data())
def test_every_way_to_hold_text_gives_the_same_elements(
    echoes: dict[int, Runner], kind: str, words: Words, data: st.DataObject
) -> None:
    column = KINDS[kind](words, data.draw(st.integers(0, len(words))))
    elements = [
        word.encode() if isinstance(word, str) else word for word in as_datatype(column, "BYTES", "x")
    ]
    assert elements == [None if word is None else word.encode() for word in words]
    text = arrow_text(column)
    assert text is not None
    assert len(text) == len(words)
    if words:
        for rank, echo in echoes.items():
            expected = echo.predict({"x": words})["y"]
            found = echo.predict({"x": column})["y"]
            assert found.shape == expected.shape == (len(words), 1)[:rank]
            assert found.ravel().tolist() == expected.ravel().tolist()
        start = data.draw(st.integers(0, len(words) - 1))
        part = echoes[1].predict({"x": pa.chunked_array(text[start:])})["y"]
        assert part.tolist() == [(word or "").encode() for word in words[start:]]


@pytest.mark.parametrize(
    "column",
    [
        ["a", None],
        np.array(["a", None], object),
        pd.Series(["a", None], dtype=object),
        pd.Series([1, 2], dtype="category"),
        pd.Series(["a", 1], dtype="category"),
        pd.Series(pd.Categorical.from_codes([0, 1], pd.Index(["a", "\ud800"], dtype=object))),
        pa.chunked_array([pa.array([1, 2]).dictionary_encode()]),
        pa.chunked_array([[1.5]]),
        pl.Series([1]),
        3,
    ],
)
def test_what_arrow_does_not_hold_as_text_is_left_to_be_read(column: Any) -> None:
    assert arrow_text(column) is None


def test_text_that_is_no_utf8_is_refused_with_its_element(echoes: dict[int, Runner]) -> None:
    column = pa.chunked_array([pa.array([b"a", b"\xff"])])
    for text in (column, [b"a", b"\xff"]):
        with pytest.raises(InputError, match="input 'x': element 1 is not UTF-8"):
            echoes[1].predict({"x": text})


class Odd(ArrowText):
    """Says another length than it has."""

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ArrowText(pa.chunked_array([[1, 2]])), "of the format 'l' came; text is expected"),
        (ArrowText(pa.chunked_array([[["a"]]])), r"of the format '\+l' came"),
        (ArrowText(pa.chunked_array([pa.array([1.5]).dictionary_encode()])), "of the format 'g' came"),
        (Odd(pa.chunked_array([["a"]]), (2,)), "has 1 of the 2 rows that were announced"),
        (Odd(pa.chunked_array([["a", "b"], ["c"]]), (2,)), "is longer than the 2 rows"),
    ],
)
def test_the_core_takes_nothing_but_text_and_as_much_of_it_as_was_said(
    echoes: dict[int, Runner], text: ArrowText, said: str
) -> None:
    with pytest.raises(StatusError, match=f"input 'x': an Arrow array {said}"):
        echoes[1]._loaded.core.run({"x": text})
