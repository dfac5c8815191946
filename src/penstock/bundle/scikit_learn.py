"""A build from scikit-learn: a Pipeline as features and a model, and its own features to compare with."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from penstock.errors import GoldenError, InputError, LibraryRefusalError, ModelError
from penstock.frames import columns_of
from penstock.models.forest_scikit_learn import encoder_and_trees
from penstock.transforms import Features
from penstock.transforms.scikit_learn import first_difference, is_a, is_of_scikit_learn


def taken_apart(model: object, features: object) -> tuple[object, object]:
    """A fitted Pipeline as its last step and what goes before it, None where that is nothing; else as given.

    A model with an encoder of its own inside is taken apart in the same way. ModelError for a Pipeline beside
    features, or without a model at its end.
    """
    if not is_a("Pipeline", model):
        if is_of_scikit_learn(model) and is_a("Pipeline", getattr(model, "best_estimator_", None)):
            raise ModelError(
                f"{type(model).__name__} is a search and no Pipeline. Pass its .best_estimator_ as model=."
            )
        return (model, features) if features is not None else _with_encoder(model, [])
    if features is not None:
        raise ModelError(
            "A Pipeline has its own features. Pass it as model= alone, or its last step with features=."
        )
    steps = _steps(cast(Any, model))
    if not steps or isinstance(steps[-1][1], str) or steps[-1][1] is None:
        raise ModelError(
            "The Pipeline ends with no model. Pass one that was fitted with a model as its last step."
        )
    before = [(name, step) for name, step in steps[:-1] if step is not None and not isinstance(step, str)]
    return _with_encoder(steps[-1][1], before)


def _with_encoder(model: object, before: list[tuple[str, Any]]) -> tuple[object, object]:
    """The model, and the steps before it as a Pipeline, None where there are none."""
    parts = encoder_and_trees(model)
    if parts is not None:
        encoder, model = parts
        before = [*before, ("categories", encoder)]
    if not before:
        return model, None
    from sklearn.pipeline import Pipeline

    return model, Pipeline(before)


def compare_features(original: object, features: Features, examples: object) -> None:
    """GoldenError where `features` are not what `original`, which they came from, makes of `examples`.

    Only where these are what scikit-learn takes: a frame with all columns that it was fitted on, or a
    matrix of as many.
    """
    if not _is_as_fitted(cast(Any, original), examples):
        return
    try:
        found = first_difference(original, features, examples)
    except LibraryRefusalError as error:
        raise InputError(f"examples=: {error}") from error
    if found is not None:
        raise GoldenError(
            f"Example {found.row}, feature '{found.feature}': {found.where} of scikit-learn gives "
            f"{found.expected!s}, the converted features {found.got!s}. Pass the training frame as "
            f"reference=: it has the datatypes, and is compared too."
        )


def _steps(pipeline: Any) -> list[tuple[str, Any]]:
    """Those of a Pipeline, and of one that it ends with."""
    steps = list(pipeline.steps)
    if steps and is_a("Pipeline", steps[-1][1]):
        inner = [(f"{steps[-1][0]}.{name}", step) for name, step in _steps(steps[-1][1])]
        return [*steps[:-1], *inner]
    return steps


def _is_as_fitted(original: Any, examples: object) -> bool:
    names = getattr(original, "feature_names_in_", None)
    if names is None:
        is_matrix = isinstance(examples, np.ndarray) and examples.ndim == 2
        width = getattr(original, "n_features_in_", None)
        return is_matrix and cast(Any, examples).shape[1] == width
    if not hasattr(examples, "columns") or isinstance(examples, np.ndarray):
        return False
    columns = columns_of(examples)
    return all(name in columns for name in names)
