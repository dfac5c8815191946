"""ColumnTransformer, FeatureUnion and Pipeline: which columns go through what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.transforms.scikit_learn.conversion import check, convert
from penstock.transforms.scikit_learn.converter import converts, is_a
from penstock.transforms.scikit_learn.draft import Draft
from penstock.transforms.scikit_learn.scalers import scaled
from penstock.transforms.scikit_learn.texts import count_vectorizer


@converts(
    "sklearn.pipeline.Pipeline",
    becomes="what its steps become, one after the other",
    parameters="steps",
    without_effect="memory transform_input verbose",
)
def _pipeline(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    steps = [(name, step) for name, step in fitted.steps if step is not None and not isinstance(step, str)]
    while steps:
        name, step = steps.pop(0)
        behind = steps[0][1] if steps else None
        with draft.within(name):
            if is_a("CountVectorizer", step) and is_a("TfidfTransformer", behind):
                check(step, draft)
                check(behind, draft)
                columns = count_vectorizer(step, behind, columns, draft)
                del steps[0]
            else:
                columns = convert(step, columns, draft)
    return columns


@converts(
    "sklearn.pipeline.FeatureUnion",
    becomes="what its transformers become, each on copies of the columns",
    parameters="transformer_list transformer_weights",
    without_effect="n_jobs verbose verbose_feature_names_out",
)
def _feature_union(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    branches = [(name, part, columns) for name, part in fitted.transformer_list if part != "drop"]
    return _branches(branches, fitted.transformer_weights, draft)


@converts(
    "sklearn.compose.ColumnTransformer",
    becomes="what its transformers become, each on copies of its columns",
    parameters="transformers remainder transformer_weights",
    without_effect="force_int_remainder_cols n_jobs sparse_threshold verbose verbose_feature_names_out",
)
def _column_transformer(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    indices = fitted._transformer_to_input_indices
    branches = [
        (name, part, [columns[index] for index in indices[name]])
        for name, part, _ in fitted.transformers_
        if not (isinstance(part, str) and part == "drop") and len(indices[name])
    ]
    return _branches(branches, fitted.transformer_weights, draft)


def _branches(
    branches: list[tuple[str, Any, list[str]]], weights: Mapping[str, float] | None, draft: Draft
) -> list[str]:
    """The outputs of the branches (their names, fitted objects and columns), side by side."""
    copied = draft.copies([name for name, _, _ in branches], [columns for _, _, columns in branches])
    made: list[str] = []
    for (name, part, _), columns in zip(branches, copied, strict=True):
        with draft.within(name):
            outputs = columns if isinstance(part, str) else convert(part, columns, draft)
            weight = (weights or {}).get(name)
            made += outputs if weight is None else scaled(outputs, [float(weight)] * len(outputs), draft)
    return made
