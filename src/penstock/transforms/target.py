"""What a transform learns from a target: its kind, its classes, and folds of the rows to learn them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from penstock.frames import Column, as_datatype, datatype_of
from penstock.transforms.base import Transform
from penstock.transforms.steps import Array

TargetType = Literal["continuous", "binary", "multiclass"]
# More distinct whole numbers than this are not taken for classes unless the caller says so.
_MOST_CLASSES = 100


@dataclass(frozen=True)
class Target:
    """A target as numbers: `values` FP64 [rows, outputs].

    Continuous: the numbers. Binary: 1 for the second of the two classes in ascending order. Multiclass: 1 in
    the output of the row's class. `codes` INT64 [rows] counts the classes in order of appearance, None for a
    continuous target.
    """

    type: TargetType
    values: Array
    classes: tuple[str, ...]  # multiclass: how each shows in names of outputs
    codes: Array | None


def read_target(transform: Transform, target: Column | None, target_type: TargetType | None) -> Target:
    """The target of fit(). By default two values are binary, fractions continuous, all else multiclass.

    TransformError for none, one with missing or infinite values, or one that is not of the type; InputError
    for one that is neither numbers nor text.
    """
    first = transform.columns[0]
    if target is None:
        raise transform.error("it learns from the target; give one to fit()", first)
    target = as_datatype(target, datatype_of(target, "target"), "target")
    if isinstance(target, list):
        if any(value is None for value in target):
            raise transform.error("the target has missing values; drop their rows first", first)
        values = np.array([v.decode() if isinstance(v, bytes) else v for v in target], object)
    else:
        values = target
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise transform.error("the target has missing or infinite values; drop their rows first", first)
    distinct, appeared, inverse = np.unique(values, return_index=True, return_inverse=True)
    found = _type_of(values, distinct) if target_type is None else target_type
    if found == "continuous":
        if values.dtype.kind not in "fiub":
            raise transform.error("the target is text, expected numbers for target_type='continuous'", first)
        return Target(found, values.astype(np.float64)[:, None], (), None)
    if target_type is None and values.dtype != object and distinct.size > _MOST_CLASSES:
        raise transform.error(
            f"the target is {distinct.size} distinct whole numbers: say target_type='continuous' for a "
            "quantity, 'multiclass' for classes",
            first,
        )
    if (found == "binary") != (distinct.size <= 2):
        expected = "at most 2, or target_type='multiclass'" if found == "binary" else "at least 3"
        raise transform.error(f"the target has {distinct.size} classes, expected {expected}", first)
    codes = np.argsort(np.argsort(appeared))[inverse]
    if found == "binary":
        return Target(found, inverse.astype(np.float64)[:, None], (), codes)
    shown = tuple(str(value) for value in distinct.tolist())
    return Target(found, (inverse[:, None] == np.arange(distinct.size)).astype(np.float64), shown, codes)


def folds(
    transform: Transform, target: Target, count: int, seed: int | None
) -> Iterator[tuple[Array, Array]]:
    """Rows to learn from and rows to leave out, as masks [rows], `count` times; each row is left out once.

    The folds are those of scikit-learn's KFold for a continuous target, of its StratifiedKFold for classes,
    with shuffle=True and `seed` as random_state, or None for shuffle=False. TransformError for too few rows.
    """
    rows = len(target.values)
    random = None if seed is None else np.random.RandomState(seed)
    if target.codes is None:
        if rows < count:
            raise transform.error(
                f"cv is {count}, and there are {rows} rows; each fold needs one", transform.columns[0]
            )
        order = np.arange(rows)
        if random is not None:
            random.shuffle(order)
        fold = np.empty(rows, np.int64)
        fold[order] = np.repeat(np.arange(count), [len(part) for part in np.array_split(order, count)])
    else:
        sizes = np.bincount(target.codes)
        if sizes.max() < count:
            raise transform.error(f"cv is {count}, and no class has as many rows", transform.columns[0])
        # Row i of the rows by class is dealt to fold i % count.
        dealt = np.sort(target.codes)
        fold = np.empty(rows, np.int64)
        for code in range(sizes.size):
            of_class = np.sort(np.flatnonzero(dealt == code) % count)
            if random is not None:
                random.shuffle(of_class)
            fold[target.codes == code] = of_class
    for index in range(count):
        yield fold != index, fold == index


def _type_of(values: Array, distinct: Array) -> TargetType:
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        return "continuous"
    return "binary" if distinct.size <= 2 else "multiclass"
