"""Fitted objects of scikit-learn as features: the same answers and names, for each class with a converter."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from scikit_learn_cases import CASES, Case, numbered

from penstock import transforms as t
from penstock.transforms.scikit_learn import CONVERTERS

ROWS = 10_000  # compared for each class, at least
TRAIN = 120

Array = np.ndarray[Any, Any]


def fitted(case: Case, seed: int) -> tuple[Any, Any]:
    """The estimator of a case, fitted on rows from this seed, and those rows."""
    rng = np.random.default_rng(seed)
    train = case.frame(rng, TRAIN, True)
    estimator = case.make()
    target = rng.integers(0, 3, TRAIN)
    if getattr(estimator, "target_type", None) == "binary":
        target = target % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(train, target), train


def expected(estimator: Any, rows: Any) -> Array:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        made = estimator.transform(rows)
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, np.float64)


def names_of(rows: Any) -> list[str] | None:
    return [f"x{index}" for index in range(rows.shape[1])] if isinstance(rows, np.ndarray) else None


def as_frame(rows: Any) -> Any:
    """Texts alone are a column of them."""
    return {"x0": rows} if isinstance(rows, list) else rows


def compare(case: Case, seed: int, rows: int) -> None:
    estimator, train = fitted(case, seed)
    compared = case.frame(np.random.default_rng(seed + 1), rows, False)
    reference = as_frame(train) if case.needs_reference or seed % 2 else None
    features = t.Features.from_scikit_learn(estimator, reference)
    made = features.transform(as_frame(compared), names=names_of(compared), as_sent=False)
    wanted = expected(estimator, compared)
    assert made.shape == wanted.shape
    # What scikit-learn computes in single precision loses digits where it subtracts.
    lost = 1e-7 if case.rtol > 1e-8 else 0.0
    greatest = np.abs(np.nan_to_num(wanted, posinf=0, neginf=0)).max(initial=0)
    np.testing.assert_allclose(made, wanted, rtol=case.rtol, atol=lost * greatest)
    if case.has_names:
        assert features.output_names == numbered(estimator.get_feature_names_out())
    else:
        with pytest.raises((AttributeError, ValueError)):
            estimator.get_feature_names_out()


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_every_converter_has_parity_cases(name: str) -> None:
    assert CASES.get(name), f"{name} has no parity case"


@pytest.mark.parametrize("name", sorted(CASES))
def test_features_are_what_scikit_learn_makes(name: str) -> None:
    cases = CASES[name]
    rows = max(100, -(-ROWS // len(cases)))
    seeds = np.random.default_rng(sorted(CASES).index(name)).integers(0, 2**31, len(cases))
    for case, seed in zip(cases, seeds.tolist(), strict=True):
        compare(case, seed, rows)


@pytest.mark.parametrize("name", sorted(CASES))
def test_converted_features_saved_and_in_single_rows_agree_to_the_bit(name: str) -> None:
    case = CASES[name][0]
    estimator, train = fitted(case, 7)
    features = t.Features.from_scikit_learn(estimator, as_frame(train) if case.needs_reference else None)
    rows = case.frame(np.random.default_rng(8), 50, False)
    made = features.transform(as_frame(rows), names=names_of(rows))
    document = json.loads(json.dumps(features.document(), allow_nan=False))
    again = t.Features.from_saved(document, features.arrays())
    assert (again.inputs, again.output_names) == (features.inputs, features.output_names)
    for row in range(5):
        some = rows[row : row + 1]
        alone = again.transform(as_frame(some), names=names_of(some))
        assert np.array_equal(alone, made[row : row + 1], equal_nan=True)
