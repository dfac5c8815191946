"""OneHotEncoder, OrdinalEncoder and TargetEncoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penstock.transforms.scikit_learn.categories import FittedCategories, fitted_categories, saved_categories
from penstock.transforms.scikit_learn.converter import converts
from penstock.transforms.scikit_learn.draft import Draft, flat
from penstock.transforms.steps import Array

_UNKNOWN = {
    "error": "error",
    "ignore": "ignore",
    "infrequent_if_exist": "infrequent",
    "warn": "infrequent",  # and a warning, which a server has nobody to give to
}


@converts(
    "sklearn.preprocessing.OneHotEncoder",
    becomes="OneHot",
    parameters="categories drop handle_unknown max_categories min_frequency",
    without_effect="dtype feature_name_combiner sparse_output",
    refused="None and NaN as two categories of one column",
)
def _one_hot(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    found = fitted_categories(fitted, columns, draft)
    learned, arrays = saved_categories(found, columns, draft)
    groups = _groups(fitted)
    if groups:
        arrays |= _infrequent(fitted, found)
    dropped = [None] * len(columns) if fitted.drop_idx_ is None else list(fitted.drop_idx_)

    def parameters(names: list[str]) -> Mapping[str, Any]:
        drop = {
            name: each.values[index]
            for name, each, index in zip(names, found, dropped, strict=True)
            if index is not None
        }
        return {"unknown": _UNKNOWN[fitted.handle_unknown], "drop": drop or None, **groups}

    made = draft.add("one_hot", columns, parameters=parameters, learned=learned, arrays=arrays)
    return [
        name
        for names, each, index in zip(made, found, range(len(columns)), strict=True)
        for name in _in_its_order(names, each, _rare(fitted, index), dropped[index])
    ]


@converts(
    "sklearn.preprocessing.OrdinalEncoder",
    becomes="Ordinal",
    parameters="categories encoded_missing_value handle_unknown max_categories min_frequency unknown_value",
    without_effect="dtype",
    refused="None and NaN as two categories of one column; None as a category together with min_frequency or "
    "max_categories",
)
def _ordinal(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    found = fitted_categories(fitted, columns, draft)
    groups = _groups(fitted)
    made: dict[int, str] = {}
    # NaN becomes encoded_missing_value. None is a category like others, with its own index in each column.
    as_nan = [
        index
        for index, each in enumerate(found)
        if each.missing is None or fitted.categories_[index][-1] is not None
    ]
    for indices in [as_nan, *([index] for index in range(len(columns)) if index not in as_nan)]:
        if not indices:
            continue
        own = [found[index] for index in indices]
        missing = float(fitted.encoded_missing_value)
        if indices is not as_nan:
            if groups:
                raise draft.refusal(
                    "None among the categories together with min_frequency or max_categories",
                    "Replace None by NaN in the training frame before fit",
                )
            missing = float(own[0].values.index(None))
        names = [columns[index] for index in indices]
        learned, arrays = saved_categories(own, names, draft)
        if groups:
            arrays |= {f"{place}.infrequent": _rare(fitted, index) for place, index in enumerate(indices)}
        unknown = fitted.handle_unknown != "error"
        outputs = draft.add(
            "ordinal",
            names,
            parameters={
                "unknown": "value" if unknown else "error",
                "unknown_value": float(fitted.unknown_value) if unknown else None,
                "missing_value": missing,
                **groups,
            },
            learned=learned,
            arrays=arrays,
        )
        made |= {index: name for index, (name,) in zip(indices, outputs, strict=True)}
    return [made[index] for index in range(len(columns))]


def _groups(fitted: Any) -> dict[str, int | float | None]:
    """The parameters of grouping where there is any, as plain numbers."""
    if not getattr(fitted, "_infrequent_enabled", False):
        return {}
    least, most = fitted.min_frequency, fitted.max_categories
    return {
        "min_frequency": None
        if least is None
        else (int(least) if isinstance(least, (int, np.integer)) else float(least)),
        "max_categories": None if most is None else int(most),
    }


def _rare(fitted: Any, index: int) -> Array:
    """The indices of a column's infrequent categories, INT64."""
    found = fitted._infrequent_indices[index] if getattr(fitted, "_infrequent_enabled", False) else None
    return np.empty(0, np.int64) if found is None else np.asarray(found, np.int64)


def _infrequent(fitted: Any, found: list[FittedCategories]) -> dict[str, Array]:
    """The same in the order of transforms, by the names under which these save them."""
    return {
        f"{index}.infrequent": np.flatnonzero(np.isin(each.order, _rare(fitted, index))).astype(np.int64)
        for index, each in enumerate(found)
    }


def _in_its_order(names: list[str], found: FittedCategories, rare: Array, dropped: int | None) -> list[str]:
    """The outputs of one column in scikit-learn's order, in which a missing category may be anywhere."""
    gone = set(rare.tolist())
    if dropped is not None:
        gone.add(dropped)
    kept = [index for index in found.order if index not in gone]
    at = dict(zip(kept, names, strict=False))
    return [at[index] for index in sorted(kept)] + names[len(kept) :]


@converts(
    "sklearn.preprocessing.TargetEncoder",
    becomes="TargetEncode",
    parameters="categories smooth target_type",
    without_effect="cv random_state shuffle",
    refused="None and NaN as two categories of one column; target_type='multiclass' of two classes",
)
def _target(fitted: Any, columns: list[str], draft: Draft) -> list[str]:
    found = fitted_categories(fitted, columns, draft)
    learned, arrays = saved_categories(found, columns, draft)
    multiclass = fitted.target_type_ == "multiclass"
    classes = [str(each) for each in fitted.classes_.tolist()] if multiclass else []
    width = len(classes) or 1
    for index, each in enumerate(found):
        encodings = np.stack(fitted.encodings_[index * width : (index + 1) * width], axis=1)
        arrays[f"{index}.encodings"] = encodings[each.order].astype(np.float64).ravel()
    arrays["mean"] = np.atleast_1d(np.array(fitted.target_mean_, np.float64))
    smooth = fitted.smooth
    made = draft.add(
        "target_encode",
        columns,
        parameters={
            "smooth": smooth if isinstance(smooth, str) else float(smooth),
            "target_type": fitted.target_type_,
        },
        learned=learned | {"target_type": fitted.target_type_, "classes": classes},
        arrays=arrays,
    )
    return flat(made)
