"""The compiled kernels against scikit-learn and NumPy, on generated rows, for all of the registry."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from parity_cases import LONG_TEXTS, Case, frame_of, rows_of

from penstock import transforms as t
from penstock.errors import TransformError

ROWS = 10_000  # compared for each transform, at least

PARITY: dict[str, list[Case]] = {}
for path in sorted(Path(__file__).parent.glob("parity_*.py")):
    for kind, cases in importlib.import_module(path.stem).PARITY.items():
        PARITY.setdefault(kind, []).extend(cases)

CASES = [pytest.param(case, id=f"{kind}: {case}") for kind, cases in PARITY.items() for case in cases]
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def features_for(case: Case) -> t.Features:
    return t.Features([case.make(), *case.then()])


def fitted(case: Case, train: Any) -> t.Features:
    features = features_for(case)
    try:
        return features.fit(*frame_of(train))
    except TransformError as error:
        assume("leave no column" not in str(error))  # a single category that is dropped
        raise


def count(rows: Any) -> int:
    return len(next(iter(frame_of(rows)[0].values())))


@pytest.mark.parametrize("kind", sorted(t.REGISTRY))
def test_every_registered_transform_has_parity_cases(kind: str) -> None:
    assert PARITY.get(kind), f"{kind} has no parity case"
    assert {case.make().kind for case in PARITY[kind]} == {kind}


@pytest.mark.parametrize("kind", sorted(PARITY))
def test_transform_gives_what_the_reference_gives(kind: str) -> None:
    compared = 0

    def compare(case: Case) -> None:
        @given(data=st.data())
        @settings(quick, max_examples=max(10, 80 // len(PARITY[kind])))
        def on_generated_rows(data: st.DataObject) -> None:
            nonlocal compared
            note(f"case: {case}")
            train, rows = data.draw(case.train, "train"), data.draw(case.rows, "rows")
            features = fitted(case, train)
            made = features.transform(frame_of(rows)[0], as_sent=False)
            with np.errstate(all="ignore"):
                expected = np.asarray(case.reference(train, rows), np.float64)
            assert made.dtype == np.float64
            assert made.shape == (count(rows), len(features.output_names)) == expected.shape
            if case.exact:
                np.testing.assert_array_equal(made, expected)
            else:
                np.testing.assert_allclose(made, expected, rtol=case.rtol, atol=case.atol)
            compared += len(made)

        on_generated_rows()

    for _ in range(10):
        for case in PARITY[kind]:
            compare(case)
        if compared >= ROWS:
            return
    pytest.fail(f"{compared} rows were compared, of {ROWS}")


@pytest.mark.parametrize("kind", ["ordinal", "one_hot", "hash", "cross", "frequency_encode"])
def test_texts_of_100_kilobytes_give_what_the_reference_gives(kind: str) -> None:
    column = ["AA", *LONG_TEXTS, "AA", LONG_TEXTS[0][:-1], *LONG_TEXTS]
    numbers = np.array([2, -7, 2, 2, -7, -7, 2])
    several = {"a": column, "b": column[::-1], "c": numbers, "d": numbers / 2}
    compared = 0
    for case in PARITY[kind]:
        names = case.make().columns
        if names == ("x",) and "text" in case.name:
            train: Any = column[:4]
            rows: Any = column
        elif {*names} <= several.keys():
            rows = {name: several[name] for name in names}
            train = rows_of(rows, slice(0, 4))
        else:
            continue
        made = features_for(case).fit(*frame_of(train)).transform(frame_of(rows)[0], as_sent=False)
        np.testing.assert_array_equal(made, np.asarray(case.reference(train, rows), np.float64))
        compared += 1
    assert compared


@pytest.mark.parametrize("case", CASES)
@given(data=st.data())
@settings(quick, max_examples=5)
def test_single_precision_saved_and_single_rows_agree_to_the_bit(case: Case, data: st.DataObject) -> None:
    train, rows = data.draw(case.train, "train"), data.draw(case.rows, "rows")
    frame = frame_of(rows)[0]
    features = fitted(case, train)
    made = features.transform(frame)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(features.transform(frame, "FP32"), made.astype(np.float32))
    document = json.loads(json.dumps(features.document(), allow_nan=False))
    again = t.Features.from_saved(document, features.arrays(), allow_custom=True)
    assert again.output_names == features.output_names
    assert again.inputs == features.inputs
    for row in range(min(count(rows), 5)):
        alone = again.transform(rows_of(frame, slice(row, row + 1)))
        assert bits(alone[0]) == bits(made[row])


def bits(row: Any) -> bytes:
    """The bytes of a row, with one NaN for all."""
    return np.where(np.isnan(row), np.nan, row).tobytes()
