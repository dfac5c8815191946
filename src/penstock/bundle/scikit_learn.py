"""A build from scikit-learn: a Pipeline as features and a model, and its own features to compare with."""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np

from penstock.errors import GoldenError, InputError, ModelError
from penstock.frames import columns_of
from penstock.transforms import Features
from penstock.transforms.scikit_learn import is_a

# Of a feature, to its own size and to the greatest in its column: scikit-learn computes with single precision
# in single precision, Penstock in double.
_TOLERANCE = 1e-6


def taken_apart(model: object, features: object) -> tuple[object, object]:
    """A fitted Pipeline as its last step and what goes before it, None where that is nothing; else as given.

    ModelError for a Pipeline beside features, or without a model at its end.
    """
    if not is_a("Pipeline", model):
        return model, features
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
    return steps[-1][1], type(model)(before) if before else None  # type: ignore[call-arg]


def compare_features(original: object, features: Features, examples: object) -> None:
    """GoldenError where `features` are not what `original`, which they came from, makes of `examples`.

    Only where these are what scikit-learn takes: a frame with all columns that it was fitted on, or a
    matrix of as many.
    """
    rows = _as_fitted(cast(Any, original), examples)
    if rows is None:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: Any = cast(Any, original).transform(rows)
    except ValueError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{type(original).__name__} refuses the examples: {reason}.") from error
    expected = np.asarray(made.toarray() if hasattr(made, "toarray") else made, np.float64)
    names = [name for name, _ in features.inputs]
    if isinstance(rows, np.ndarray):
        width = [f"x{index}" for index in range(rows.shape[1])]
        got = features.transform({name: rows[:, width.index(name)] for name in names})
    else:
        got = features.transform(rows)
    allowed = _TOLERANCE * np.nan_to_num(np.abs(expected), posinf=0.0).max(axis=0, initial=0.0)
    close = np.isclose(got, expected, rtol=_TOLERANCE, atol=0.0, equal_nan=True)
    with np.errstate(invalid="ignore"):
        differs = ~(close | (np.abs(got - expected) <= allowed))
    if differs.any():
        row, column = (int(index) for index in np.argwhere(differs)[0])
        raise GoldenError(
            f"Example {row}, feature '{features.output_names[column]}': {type(original).__name__} of "
            f"scikit-learn gives {expected[row, column]!s}, the converted features {got[row, column]!s}. "
            f"If the training frame had other datatypes than these, pass it as reference=."
        )


def _steps(pipeline: Any) -> list[tuple[str, Any]]:
    """Those of a Pipeline, and of one that it ends with."""
    steps = list(pipeline.steps)
    if steps and is_a("Pipeline", steps[-1][1]):
        inner = [(f"{steps[-1][0]}.{name}", step) for name, step in _steps(steps[-1][1])]
        return [*steps[:-1], *inner]
    return steps


def _as_fitted(original: Any, examples: object) -> Any | None:
    names = getattr(original, "feature_names_in_", None)
    if names is None:
        is_matrix = isinstance(examples, np.ndarray) and examples.ndim == 2
        width = getattr(original, "n_features_in_", None)
        return examples if is_matrix and cast(Any, examples).shape[1] == width else None
    if not hasattr(examples, "columns") or isinstance(examples, np.ndarray):
        return None
    columns = columns_of(examples)
    return cast(Any, examples)[list(names)] if all(name in columns for name in names) else None
