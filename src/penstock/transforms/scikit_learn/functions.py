"""FunctionTransformer of NumPy's ufuncs."""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.transforms.apply import FUNCTIONS
from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat

# NumPy makes integers of integers, or of the narrowest numbers of half precision; Apply computes in doubles.
_NARROW = ("BOOL", "INT8", "UINT8")
_EXACT = ("absolute", "isfinite", "isinf", "isnan", "sign", "signbit")
_SIGNED = ("INT8", "INT16", "INT32", "INT64")
# Of the same value to the last bit, and those that jump.
_KEEPS = ("absolute", "negative")
_JUMPS = ("ceil", "floor", "isfinite", "isinf", "isnan", "rint", "sign", "signbit", "trunc")
_FLOATING = ("FP16", "FP32", "FP64")


@converts(
    "sklearn.preprocessing.FunctionTransformer",
    becomes="Apply; nothing for `func=None`",
    parameters="func kw_args",
    without_effect="accept_sparse check_inverse feature_names_out inv_kw_args inverse_func validate",
    refused="functions other than those of Apply; kw_args; integer columns of which NumPy makes integers "
    "that wrap or round, or half precision",
)
def _function(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    if fitted.func is None:
        return columns
    name = getattr(fitted.func, "__name__", "")
    if name not in FUNCTIONS or getattr(np, name) is not fitted.func:
        raise draft.refusal(f"func={fitted.func!r}")
    if fitted.kw_args:
        raise draft.refusal(f"kw_args={fitted.kw_args!r}")
    draft.numbers(columns)
    for column in columns:
        datatype = draft.datatype(column)
        if datatype not in _FLOATING and not _is_the_same(name, datatype):
            raise draft.refusal(
                f"func=numpy.{name} of {column!r}, which is {datatype},", "Make the column float64 before fit"
            )
    if name in _JUMPS:
        draft.steps_at(columns)
    exact = name in _KEEPS or name in _JUMPS
    return flat(draft.add("apply", columns, parameters={"function": name}, exact=exact))


def _is_the_same(name: str, datatype: str) -> bool:
    """Whether NumPy's answer for an integer is the one for the same number as a double, up to 2**53."""
    if datatype in _NARROW or name == "reciprocal":
        return name in _EXACT
    if name == "negative":
        return datatype in _SIGNED
    return name != "square" or datatype in ("INT64", "UINT64")
