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
    for strategy, indices in _alike(fitted, kept):
        fills = [_fill(fitted, index) for index in indices]
        texts = [fill.encode() for fill in fills if isinstance(fill, str)]
        for index in indices:
            _tell(fitted, columns[index], draft, text=bool(texts))
        parameters = {
            "strategy": strategy,
            "fill_value": fills[0] if strategy == "constant" else None,
            "missing_value": _missing_value(fitted, text=bool(texts)),
            "indicator": bool(fitted.add_indicator),
        }
        sources = {index: draft.input_name(columns[index]) for index in indices}
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
            kind = _kind(fitted)
            if kind is not None:
                draft.filled(name, kind, sources[index])
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


def _alike(fitted: Any, kept: list[int]) -> list[tuple[str, list[int]]]:
    """The columns that one Impute can take: of one kind and, where it is given, of one fill. Its strategy."""
    groups: dict[Any, tuple[str, list[int]]] = {}
    for index in kept:
        fill = _fill(fitted, index)
        text = isinstance(fill, str)
        learned = fitted.strategy in _STRATEGIES and fill != _missing_value(fitted, text=text)
        # What means missing was not learned from a value: a column without one is filled all the same.
        strategy = fitted.strategy if learned else "constant"
        groups.setdefault(text if learned else (strategy, fill), (strategy, []))[1].append(index)
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
    kind = _kind(fitted)
    # The means and medians of an imputer are of numbers, as which None is read too.
    if kind is not None and getattr(fitted, "strategy", None) not in ("mean", "median"):
        draft.fills(column, kind)
    if text:
        word = _missing_value(fitted, text=True)
        draft.tell(column, "BYTES")
        draft.tell_strings(column, missing=word is None, empty=word == "")
    else:
        draft.numbers([column])


def _kind(fitted: Any) -> str | None:
    """Which of None and NaN it matches alone; None where both (pd.NA) or neither."""
    value = fitted.missing_values
    return "None" if value is None else "NaN" if _is_nan(value) else None


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))
