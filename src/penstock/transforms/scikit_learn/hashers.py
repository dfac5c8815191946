"""FeatureHasher."""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat
from penstock.transforms.steps import MOST_WIDTH


@converts(
    "sklearn.feature_extraction.FeatureHasher",
    becomes="Hash",
    parameters="alternate_sign dtype input_type n_features",
    refused="input_type='pair'; 'dict' behind other steps, or of anything but text; n_features above 65536 "
    "(the default is 1048576), as rows are dense here; dtype below 32 bits",
)
def _hasher(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    if fitted.input_type == "pair":
        raise draft.refusal("input_type='pair'", "Hash columns of text with input_type='string'")
    check_width(fitted, draft)
    check_dtype(fitted, draft)
    keyed = fitted.input_type == "dict"
    for column in columns:
        if keyed and not draft.is_input(column):
            raise draft.refusal("input_type='dict' of computed columns", "Hash the columns of the frame")
        draft.tell(column, "BYTES")
    parameters = {
        "buckets": int(fitted.n_features),
        "signed": bool(fitted.alternate_sign),
        "combine": "sum",
        "keyed": keyed,
    }
    return flat(draft.add("hash", columns, parameters=parameters))


def check_width(fitted: Any, draft: Draft) -> None:
    """TransformError for more columns than a dense row may have, as hashers make by default."""
    if fitted.n_features > MOST_WIDTH:
        raise draft.refusal(
            f"n_features={fitted.n_features}",
            f"Rows are dense here: refit with n_features<={MOST_WIDTH}, and the model behind it too",
        )


def check_dtype(fitted: Any, draft: Draft) -> None:
    """TransformError for a dtype in which counts and weights could not be the numbers that they are."""
    dtype = np.dtype(fitted.dtype)
    if dtype.kind not in "iuf" or dtype.itemsize < 4:
        raise draft.refusal(f"dtype={fitted.dtype!r}", "Use float64, float32 or an integer of 32 or 64 bits")
