"""One fitted object to transforms, by its converter."""

from __future__ import annotations

from typing import Any

from penstock.transforms.scikit_learn.converter import CONVERTERS, Converter, converter_of
from penstock.transforms.scikit_learn.draft import Draft

_SELECT = "Use SelectKBest, or keep the columns of get_support() with a t.Select, and fit again"
_SEARCH = "Pass its .best_estimator_"
_INSTEAD = {
    **dict.fromkeys(
        ("GenericUnivariateSelect", "RFE", "RFECV", "SelectFdr", "SelectFpr", "SelectFromModel", "SelectFwe"),
        _SELECT,
    ),
    **dict.fromkeys(("SelectPercentile", "SequentialFeatureSelector"), _SELECT),
    **dict.fromkeys(
        ("GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "RandomizedSearchCV"), _SEARCH
    ),
}


def convert(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    """Adds what `fitted` does to `columns`; returns the columns of its output, in order.

    TransformError for a class or a parameter without a converter, what is not fitted, and columns that are
    not as many as it was fitted on.
    """
    with draft.within(type(fitted).__name__):
        converter = check(fitted, draft)
        width = getattr(fitted, "n_features_in_", len(columns))
        if width != len(columns):
            raise draft.error(f"it was fitted on {width} columns, and here are {len(columns)}")
        try:
            return converter.convert(fitted, columns, draft)
        except UnicodeError as error:
            raise draft.error(f"it has learned text that UTF-8 cannot say: {error}") from None


def check(fitted: Any, draft: Draft) -> Converter:
    """The converter of an object that is fitted and has no parameter that is unknown here. TransformError."""
    converter = converter_of(fitted)
    if converter is None:
        raise draft.refusal(_described(fitted), _INSTEAD.get(type(fitted).__name__, ""))
    _check_parameters(converter, fitted, draft)
    _check_fitted(fitted, draft)
    return converter


def _described(fitted: object) -> str:
    kind = type(fitted)
    base = next((base for base in kind.__mro__[1:] if base.__qualname__ in CONVERTERS), None)
    if base is not None and base.__module__.startswith("sklearn."):
        return f"{kind.__module__}.{kind.__qualname__}, a class derived from {base.__qualname__},"
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_parameters(converter: Converter, fitted: Any, draft: Draft) -> None:
    known = {*converter.parameters, *converter.without_effect}
    for parameter in fitted.get_params(deep=False):
        if parameter not in known:
            raise draft.refusal(f"the parameter {parameter!r}, which this version of Penstock does not know,")


def _check_fitted(fitted: Any, draft: Draft) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(fitted)
    except NotFittedError:
        raise draft.error("it is not fitted; call fit on the training frame first") from None
