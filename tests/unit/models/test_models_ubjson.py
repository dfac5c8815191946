"""UBJSON as XGBoost writes it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from forest_models import fitted
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.models import ubjson


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"{}", {}),
        (b"[]", []),
        (b"Z", None),
        (b"[TF]", [True, False]),
        (b"i\xff", -1),
        (b"U\xff", 255),
        (b"I\xff\x00", -256),
        (b"l\x00\x01\x00\x00", 65536),
        (b"L\x00\x00\x00\x01\x00\x00\x00\x00", 2**32),
        (b"d\x3f\xc0\x00\x00", 1.5),
        (b"D\x3f\xf8\x00\x00\x00\x00\x00\x00", 1.5),
        (b"SU\x03s\xc3\xad", "sí"),
        (b"{L\x00\x00\x00\x00\x00\x00\x00\x01a[#U\x02i\x01Z}", {"a": [1, None]}),
        (b"{#i\x01i\x01aT", {"a": True}),
    ],
)
def test_values_are_those_of_the_specification(content: bytes, value: object) -> None:
    assert ubjson.loads(content) == value
    assert type(ubjson.loads(content)) is type(value)


def test_a_typed_array_is_an_array_with_the_bits_that_were_written() -> None:
    found = ubjson.loads(b"[$d#L\x00\x00\x00\x00\x00\x00\x00\x02\x3f\xc0\x00\x00\x00\x00\x00\x01")
    assert found.dtype == np.float32
    assert found.view(np.uint32).tolist() == [0x3FC00000, 1]
    assert found.dtype.isnative


def test_a_model_is_what_its_json_says() -> None:
    booster = fitted("xgboost", "sets of categories")
    binary, text = ubjson.loads(bytes(booster.save_raw("ubj"))), json.loads(bytes(booster.save_raw("json")))

    def compare(ours: Any, theirs: Any, path: str) -> None:
        if isinstance(theirs, dict):
            assert set(ours) == set(theirs), path
            for name in theirs:
                compare(ours[name], theirs[name], f"{path}.{name}")
        elif isinstance(theirs, list) and theirs and isinstance(theirs[0], dict):
            for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
                compare(one, other, f"{path}[{i}]")
        elif isinstance(ours, np.ndarray):
            assert ours.tolist() == np.asarray(theirs, ours.dtype).tolist(), path
        else:
            assert ours == theirs, path

    compare(binary, text, "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "ends within 1 bytes that begin at byte 0"),
        (b"X", "byte 0 is b'X', which begins no value"),
        (b"{", "ends within 1 bytes"),
        (b"{}}", "1 bytes follow its end at byte 2"),
        (b"SL\x7f\xff\xff\xff\xff\xff\xff\xff", "ends within 9223372036854775807 bytes"),
        (b"Si\xff", "byte 3 ends no size"),
        (b"Sd\x3f\xc0\x00\x00", "byte 6 ends no size"),
        (b"[$d#l\x7f\xff\xff\xff", "ends within"),
        (b"[$Z#l\x7f\xff\xff\xff", "is not one of numbers"),
        (b"[$d]", "is not one of numbers"),
        (b"[#l\x7f\xff\xff\xffZ", "ends within 1 bytes"),
        (b"[" * 100_000, "nested too deeply"),
        (b"SU\x01\xff", "utf-8"),
    ],
)
def test_what_is_no_whole_ubjson_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ubjson.loads(content)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_damage_of_any_sort_is_a_value_or_a_refusal(data: st.DataObject) -> None:
    content = bytearray(fitted("xgboost", "reg:gamma").save_raw("ubj"))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content))) if data.draw(st.booleans()) else len(content)
    try:
        ubjson.loads(bytes(content[:cut]))
    except ValueError:
        return
