"""The saved form of what a fitted object of scikit-learn does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from penstock.errors import InputError, TransformError
from penstock.frames import Columns, as_datatype, columns_of, datatype_of
from penstock.transforms.scikit_learn.conversion import check, convert
from penstock.transforms.scikit_learn.converter import is_a
from penstock.transforms.scikit_learn.draft import Draft
from penstock.transforms.steps import Array
from penstock.transforms.strings import Strings, strings_of


def document_of(fitted: Any, reference: object | None = None) -> tuple[dict[str, Any], dict[str, Array]]:
    """A document and its arrays, as Features.from_saved takes them.

    The inputs are feature_names_in_, or x0, x1 and so on; their datatypes those of `reference`, the frame
    that `fitted` was fitted on, or what the fitted objects tell. The features are get_feature_names_out(),
    or names of their own where there is no such. TransformError for what cannot be converted.
    """
    unread = Draft({}, {}, {}, compared=False)
    with unread.within(type(fitted).__name__):
        check(fitted, unread)  # before it is asked for its columns
    names = input_names(fitted, reference)
    datatypes, strings, missing = _told_by(reference, names)
    draft = Draft(datatypes, strings, missing, compared=reference is not None)
    columns = convert(fitted, list(names), draft)
    if draft.datatypes != datatypes:  # once more, so that all parts know what the last one has told
        draft = Draft(draft.datatypes, strings, missing, compared=reference is not None)
        columns = convert(fitted, list(names), draft)
    with draft.within(type(fitted).__name__):
        if not columns:
            raise draft.error("it gives no column")
        return draft.document(columns, _distinct(_output_names(fitted, columns)))


def input_names(fitted: Any, reference: object | None) -> list[str]:
    """feature_names_in_, or x0, x1 and so on; of a hasher, which knows neither, the reference's columns."""
    named = _first_known(fitted, "feature_names_in_")
    if named is not None:
        return [str(name) for name in named]
    width = _first_known(fitted, "n_features_in_")
    if width is None and reads_one_text(fitted):
        width = 1
    if width is None:
        if reference is None:
            raise TransformError(
                f"scikit-learn: {type(fitted).__name__}: it does not know its columns; pass the frame that "
                f"it was fitted on as reference="
            )
        if not isinstance(reference, np.ndarray):
            return list(columns_of(reference))
        width = reference.shape[1]
    return [f"x{index}" for index in range(width)]


def _first_known(fitted: Any, attribute: str) -> Any:
    """An attribute of an object, or of the first of its steps or parts that knows its columns."""
    found = getattr(fitted, attribute, None)
    if found is not None:
        return found
    parts = getattr(fitted, "steps", None) or getattr(fitted, "transformer_list", None) or []
    for _, part in parts:
        if part is None or isinstance(part, str):
            continue
        found = _first_known(part, attribute)
        if found is not None or is_a("Pipeline", fitted):
            return found
    return None


def reads_one_text(fitted: Any) -> bool:
    """Whether it is a vectorizer, or begins with vectorizers alone."""
    if is_a("Pipeline", fitted):
        return any(reads_one_text(step) for _, step in fitted.steps[:1])
    if is_a("FeatureUnion", fitted):
        return all(reads_one_text(part) for _, part in fitted.transformer_list)
    return any(is_a(name, fitted) for name in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"))


def _told_by(
    reference: object | None, names: Sequence[str]
) -> tuple[dict[str, str | None], dict[str, Strings], dict[str, frozenset[str]]]:
    """Datatypes by the input's name, None for what is neither number nor text; what there is in text; and
    which missing values columns of objects have."""
    datatypes: dict[str, str | None] = dict.fromkeys(names)
    strings: dict[str, Strings] = {}
    missing: dict[str, frozenset[str]] = {}
    if reference is None:
        return datatypes, strings, missing
    columns, of = columns_by_input(reference, names)
    for name in names:
        try:
            datatypes[name] = datatype = datatype_of(columns[of[name]], name)
        except InputError:
            continue  # of no datatype, such as dates: refused where a transform reads it
        if datatype == "BYTES":
            read = as_datatype(columns[of[name]], "BYTES", name)
            strings[name] = strings_of(list(read), ())
        missing[name] = _missing_kinds(columns.source(of[name]))
    return datatypes, strings, missing


def columns_by_input(frame: object, names: Sequence[str]) -> tuple[Columns, dict[str, str]]:
    """A frame's columns, and which of them each input is: the one of its name, or at its place where inputs
    have none. InputError for a column that is not there."""
    columns = columns_of(frame, names if isinstance(frame, np.ndarray) else None)
    here = list(columns)
    if set(names) <= set(here):
        return columns, {name: name for name in names}
    if len(here) != len(names) or list(names) != [f"x{index}" for index in range(len(names))]:
        missing = [name for name in names if name not in columns]
        raise InputError(f"reference= has no column {missing[0]!r}, which scikit-learn was fitted on")
    return columns, dict(zip(names, here, strict=True))


def _missing_kinds(source: Any) -> frozenset[str]:
    """Of a column of objects, which of None and NaN it has, as scikit-learn gets it."""
    if hasattr(source, "series"):
        source = source.series().to_native()
    values = source if isinstance(source, (list, tuple)) else np.asarray(source)
    if isinstance(values, np.ndarray) and values.dtype != object:
        return frozenset()
    kinds = set()
    for value in values:
        if value is None:
            kinds.add("None")
        elif isinstance(value, float) and value != value:
            kinds.add("NaN")
    return frozenset(kinds)


def _output_names(fitted: Any, columns: Sequence[str]) -> list[str]:
    try:
        names = [str(name) for name in fitted.get_feature_names_out()]
    except (AttributeError, ValueError, TypeError):
        return list(columns)  # a hasher, or a function without feature_names_out
    return names if len(names) == len(columns) else list(columns)


def _distinct(names: Sequence[str]) -> list[str]:
    """scikit-learn lets two features have one name; the second and further ones are numbered here."""
    taken = set(names)
    made: set[str] = set()
    found: list[str] = []
    for name in names:
        number, other = 1, name
        while other in made or (number > 1 and other in taken):
            number += 1
            other = f"{name} ({number})"
        made.add(other)
        found.append(other)
    return found
