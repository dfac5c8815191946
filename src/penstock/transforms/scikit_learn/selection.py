"""VarianceThreshold and SelectKBest: some of the columns."""

from __future__ import annotations

from typing import Any

from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft


@converts(
    "sklearn.feature_selection.VarianceThreshold",
    becomes="the columns of `get_support()`",
    parameters="threshold",
)
def _variance_threshold(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    return _supported(fitted, columns, draft)


@converts(
    "sklearn.feature_selection.SelectKBest",
    becomes="the columns of `get_support()`",
    parameters="k score_func",
)
def _select_k_best(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    return _supported(fitted, columns, draft)


def _supported(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    draft.numbers(columns)
    return [column for column, kept in zip(columns, fitted.get_support(), strict=True) if kept]
