"""Converted features held against what scikit-learn's own transform makes of the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock.errors import InputError, LibraryRefusalError, TransformError
from penstock.frames import Columns, row_count
from penstock.transforms.scikit_learn.converter import is_a
from penstock.transforms.scikit_learn.document import columns_by_input, input_names, reads_one_text
from penstock.transforms.steps import Array

if TYPE_CHECKING:
    from penstock.transforms.features import Features

# Of a feature, to its own size and to the greatest in its column: scikit-learn computes with single precision
# in single precision, Penstock in double.
_TOLERANCE = 1e-6
_MOST_ROWS = 20_000
_MOST_VALUES = 10_000_000  # of features, which are dense here


@dataclass(frozen=True)
class Difference:
    """The first feature that is not scikit-learn's."""

    row: int  # of the frame, from 0
    feature: str
    where: str  # in the fitted object: names and classes
    expected: float
    got: float


def check_reference(fitted: Any, features: Features, reference: object) -> None:
    """TransformError where `features`, which came from `fitted`, are not what this makes of `reference`.

    All rows are compared, or of more than 20,000 an even sample; fewer where there are many features.
    InputError where scikit-learn refuses the rows that it is said to be fitted on.
    """
    try:
        found = first_difference(fitted, features, reference)
    except LibraryRefusalError as error:
        raise InputError(f"reference=: {error} Pass the frame that it was fitted on.") from error
    except InputError as error:
        raise TransformError(
            f"scikit-learn: {type(fitted).__name__} takes the rows of reference=, and the converted features "
            f"refuse one: {error}"
        ) from error
    if found is not None:
        raise TransformError(
            f"scikit-learn: {found.where}: row {found.row} of reference=, feature {found.feature!r}: "
            f"scikit-learn gives {found.expected!s}, the converted features {found.got!s}. Where a step "
            f"computes before another makes bins, categories, flags or quantiles of it, the last bit of a "
            f"number decides: make single-precision columns float64 before fit, and put that step before "
            f"the one that computes, or round between the two. If this is not the frame that it was fitted "
            f"on, pass that one."
        )


def first_difference(fitted: Any, features: Features, frame: object) -> Difference | None:
    """None where there is none, beyond 1e-6 of the value or of the greatest one in its column.

    None too where scikit-learn cannot be asked: there is no pandas to make a frame of named columns. Both
    sides are given rows of their own, for an object with copy=False writes into them. LibraryRefusalError,
    or InputError where the features refuse a row.
    """
    names = input_names(fitted, frame)
    rows = len(frame) if isinstance(frame, np.ndarray) else row_count(frame)
    most = min(rows, _MOST_ROWS, max(1, _MOST_VALUES // len(features.output_names)))
    at = np.arange(rows) if most == rows else np.linspace(0, rows - 1, most).astype(np.int64)
    given = _as_fitted(fitted, _taken(frame, at), names)
    if given is None or rows == 0:
        return None
    expected = _transformed(fitted, given)
    columns, of = columns_by_input(_taken(frame, at), names)
    own = {name: columns.source(of[name]) for name, _ in features.inputs}
    got = features.transform(own, as_sent=False)  # scikit-learn tells missing and empty strings apart
    if got.shape != expected.shape:
        raise TransformError(
            f"scikit-learn: {type(fitted).__name__} makes {expected.shape[1]} columns, and the converted "
            f"features are {got.shape[1]}"
        )
    allowed = _TOLERANCE * np.nan_to_num(np.abs(expected), posinf=0.0).max(axis=0, initial=0.0)
    with np.errstate(invalid="ignore"):
        differs = ~((got == expected) | (np.abs(got - expected) <= allowed))
    differs &= ~(np.isnan(got) & np.isnan(expected))
    if not differs.any():
        return None
    row, column = (int(index) for index in np.argwhere(differs)[0])
    return Difference(
        int(at[row]),
        features.output_names[column],
        " > ".join(_path(fitted, column)),
        float(expected[row, column]),
        float(got[row, column]),
    )


def _transformed(fitted: Any, rows: Any) -> Array:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made = fitted.transform(rows)
        return np.asarray(made.toarray() if hasattr(made, "toarray") else made, np.float64)
    except (ValueError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise LibraryRefusalError(
            f"{type(fitted).__name__} of scikit-learn refuses the rows: {reason}."
        ) from error


def _taken(frame: Any, at: Array) -> Any:
    """These rows of a frame, in memory of their own."""
    import narwhals as nw

    if isinstance(frame, np.ndarray):
        return frame[at]
    if isinstance(frame, Mapping):
        return {name: _taken_of(column, at) for name, column in frame.items()}
    return nw.from_native(frame, eager_only=True)[at.tolist()].to_native()


def _taken_of(column: Any, at: Array) -> Any:
    import narwhals as nw

    if isinstance(column, np.ndarray):
        return column[at]
    if isinstance(column, (list, tuple)):
        return [column[index] for index in at]
    return nw.from_native(column, series_only=True)[at.tolist()].to_native()


def _as_fitted(fitted: Any, frame: Any, names: list[str]) -> Any | None:
    """Rows as scikit-learn takes them: texts, records, a matrix, or a frame of the columns it knows."""
    columns, of = columns_by_input(frame, names)
    if reads_one_text(fitted):
        return list(columns[of[names[0]]])
    hasher = _first_step(fitted)
    if is_a("FeatureHasher", hasher):
        rows = zip(*(columns[of[name]] for name in names), strict=True)
        keyed = hasher.input_type == "dict"
        return [dict(zip(names, row, strict=True)) if keyed else list(row) for row in rows]
    named = names != [f"x{index}" for index in range(len(names))]
    if isinstance(frame, np.ndarray) and not named:
        return frame
    if isinstance(frame, (np.ndarray, Mapping)):
        return _pandas({name: columns.source(of[name]) for name in names})
    return _selected(frame, [of[name] for name in names], columns)


def _selected(frame: Any, names: list[str], columns: Columns) -> Any | None:
    import narwhals as nw

    native = nw.from_native(frame, eager_only=True)
    if native.implementation.is_pyarrow():
        return _pandas({name: columns.source(name).series().to_list() for name in names})
    if list(map(str, native.columns)) != native.columns:  # pandas has columns that are no text
        positions = [list(columns).index(name) for name in names]
        return frame.iloc[:, positions]
    return native.select(names).to_native()


def _pandas(columns: Mapping[str, Any]) -> Any | None:
    try:
        import pandas as pd
    except ImportError:
        return None
    return pd.DataFrame(dict(columns))


def _first_step(fitted: Any) -> Any:
    while is_a("Pipeline", fitted) and fitted.steps:
        fitted = fitted.steps[0][1]
    return fitted


def _path(fitted: Any, column: int) -> list[str]:
    """Where in an object its output `column` comes from, as far as that can be told: classes and names."""
    if fitted is None or isinstance(fitted, str):
        return []
    own = type(fitted).__name__
    if is_a("ColumnTransformer", fitted):
        for name, place in fitted.output_indices_.items():
            if place.start <= column < place.stop:
                return [own, name, *_path(fitted.named_transformers_.get(name), column - place.start)]
    if is_a("Pipeline", fitted):
        steps = [pair for pair in fitted.steps if pair[1] is not None and not isinstance(pair[1], str)]
        if len(steps) == 1:
            return [own, steps[0][0], *_path(steps[0][1], column)]
        return [own, ", ".join(f"{name} ({type(step).__name__})" for name, step in steps)]
    return [own]
