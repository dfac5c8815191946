"""SimpleImputer and MissingIndicator."""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.transforms.saved import text_arrays
from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat

_STRATEGIES = ("mean", "median", "most_frequent")


@converts(
    "sklearn.impute.SimpleImputer",
    becomes="Impute",
    parameters="add_indicator fill_value keep_empty_features missing_values strategy",
    without_effect="copy",
    refused="a number that fills a column of text (keep_empty_features where it had no value)",
)
def _imputer(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    statistics = fitted.statistics_
    kept = [
        index for index in range(len(columns)) if fitted.keep_empty_features or not _is_nan(statistics[index])
    ]
    flagged = set(fitted.indicator_.features_.tolist()) if fitted.add_indicator else set()
    filled: dict[int, str] = {}
    flags: dict[int, str] = {}
    for indices in _alike(fitted, kept, [_fill(fitted, index) for index in range(len(columns))]):
        fills = [_fill(fitted, index) for index in indices]
        texts = [fill.encode() for fill in fills if isinstance(fill, str)]
        for index in indices:
            _tell(fitted, columns[index], draft, text=bool(texts))
        constant = fitted.strategy not in _STRATEGIES
        parameters = {
            "strategy": "constant" if constant else fitted.strategy,
            "fill_value": fills[0] if constant else None,
            "missing_value": _missing_value(fitted, text=bool(texts)),
            "indicator": bool(fitted.add_indicator),
        }
        made = draft.add(
            "impute",
            [columns[index] for index in indices],
            parameters=parameters,
            learned={"flagged": [index in flagged for index in indices]},
            arrays={"fill": np.array([] if texts else fills, np.float64), **text_arrays("fill", texts)},
        )
        for index, (name, *flag) in zip(indices, made, strict=True):
            filled[index] = name
            flags |= dict.fromkeys([index] if flag else [], *flag)
    empty = sorted(flagged - filled.keys())  # columns without a value leave their indicators
    flags |= dict(zip(empty, _indicators(fitted, [columns[index] for index in empty], draft), strict=True))
    return [*(filled[index] for index in kept), *(flags[index] for index in sorted(flags))]


@converts(
    "sklearn.impute.MissingIndicator",
    becomes="MissingIndicator",
    parameters="error_on_new features missing_values",
    without_effect="sparse",
)
def _missing_indicator(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    flagged = [index in set(fitted.features_.tolist()) for index in range(len(columns))]
    if fitted.features == "missing-only" and fitted.error_on_new:
        others = [column for column, flag in zip(columns, flagged, strict=True) if not flag]
        _indicators(fitted, others, draft, refuse=True)
    return _indicators(fitted, [column for column, flag in zip(columns, flagged, strict=True) if flag], draft)


def _indicators(fitted: Any, columns: list[str], draft: Draft, *, refuse: bool = False) -> list[str]:
    """An indicator for each column; or none, and rows are refused where one is missing."""
    made = []
    texts = {column for column in columns if draft.is_text(column)}
    for text in (False, True):
        group = [column for column in columns if (column in texts) == text]
        for column in group:
            _tell(fitted, column, draft, text=text)
        parameters = {
            "missing_value": _missing_value(fitted, text=text),
            "features": "missing_only" if refuse else "all",
            "new": "error" if refuse else "ignore",
        }
        if group:
            outputs = draft.add(
                "missing_indicator",
                group,
                parameters=parameters,
                learned={"flagged": [not refuse] * len(group)},
            )
            made += list(zip(group, outputs, strict=True))
    outputs_of = dict(made)
    return flat([outputs_of[column] for column in columns])


def _alike(fitted: Any, kept: list[int], fills: list[float | str]) -> list[list[int]]:
    """The columns that one Impute can take: of one kind and, where it is given, of one value to fill in."""
    groups: dict[Any, list[int]] = {}
    for index in kept:
        text = isinstance(fills[index], str)
        groups.setdefault(text if fitted.strategy in _STRATEGIES else fills[index], []).append(index)
    return list(groups.values())


def _fill(fitted: Any, index: int) -> float | str:
    """What a column's missing values become, in the type that the imputer was fitted in."""
    value = fitted.statistics_[index]
    if isinstance(value, str):
        return str(value)
    if value is None or _is_nan(value):
        return 0.0  # of a column that is dropped
    dtype = getattr(fitted, "_fill_dtype", np.dtype(np.float64))
    return float(value if dtype.kind == "O" else np.asarray(value).astype(dtype))


def _missing_value(fitted: Any, *, text: bool) -> float | str | None:
    value = fitted.missing_values
    if value is None or type(value).__name__ == "NAType" or _is_nan(value):
        return None
    if isinstance(value, str):
        return str(value) if text else None  # no number is that word
    return None if text else float(value)


def _tell(fitted: Any, column: str, draft: Draft, *, text: bool) -> None:
    if text:
        word = _missing_value(fitted, text=True)
        draft.tell(column, "BYTES")
        draft.tell_strings(column, missing=word is None, empty=word == "")
    else:
        draft.numbers([column])


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))
