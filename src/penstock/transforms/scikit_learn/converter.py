"""The converters by the class of scikit-learn that they are of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.transforms.scikit_learn.draft import Draft

Convert = Callable[[Any, list[str], Draft], list[str]]


@dataclass(frozen=True)
class Converter:
    """What is known of one class.

    `convert` takes the fitted object, its columns and the draft, which it adds transforms to, and returns the
    columns that stand for the object's output, in order. Together `parameters` and `without_effect` are all
    parameters of the class: those that the conversion follows, and those that change no answer of a fitted
    object. What of the first is refused, `refused` says, for people.
    """

    package: str  # the public one, as in sklearn.preprocessing
    name: str
    becomes: str
    parameters: tuple[str, ...]
    without_effect: tuple[str, ...]
    refused: str
    convert: Convert


CONVERTERS: dict[str, Converter] = {}


def converts(
    path: str,
    *,
    becomes: str,
    parameters: str = "",
    without_effect: str = "",
    refused: str = "",
) -> Callable[[Convert], Convert]:
    """Enters a function as the converter of a class: `path` is its public one, and the lists are of words."""
    package, _, name = path.rpartition(".")

    def enter(convert: Convert) -> Convert:
        CONVERTERS[name] = Converter(
            package, name, becomes, tuple(parameters.split()), tuple(without_effect.split()), refused, convert
        )
        return convert

    return enter


def converter_of(fitted: object) -> Converter | None:
    """Of the exact class of an object: one that is derived from it may compute something else."""
    kind = type(fitted)
    found = CONVERTERS.get(kind.__qualname__)
    if found is None or not f"{kind.__module__}.".startswith(f"{found.package}."):
        return None
    return found


def is_a(name: str, fitted: object) -> bool:
    """Whether an object is of the class of that name that has a converter."""
    converter = converter_of(fitted)
    return converter is not None and converter.name == name


def is_of_scikit_learn(given: object) -> bool:
    """Whether an object is of a class of scikit-learn, or of one derived from such."""
    return any(base.__module__.split(".")[0] == "sklearn" for base in type(given).__mro__)
