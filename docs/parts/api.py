"""The Python API: signatures and docstrings, as they stand in the source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import penstock
from parts.tables import rows
from penstock import errors
from penstock import transforms as t

SIGNATURE_WIDTH = 100


def api(*objects: Any) -> Callable[[], str]:
    """A part that describes classes and functions: signatures and docstrings."""

    def part() -> str:
        return "\n".join(described(each) for each in objects)

    return part


def described(each: Any, heading: str = "###", owner: str = "") -> str:
    """One class with its public members, or one function."""
    name = f"{owner}{each.__name__}"
    call = initializer(each) if isinstance(each, type) and "__init__" in vars(each) else each
    text = f"{heading} {name}\n\n```python\n{signature(name, call)}\n```\n\n{paragraphs(each)}\n"
    if (
        heading == "###"
        and getattr(penstock, each.__name__, None) is not each
        and not hasattr(t, each.__name__)
    ):
        text += f"\nIn `{each.__module__}`.\n"
    if isinstance(each, type):
        for key, member in vars(each).items():
            member = member.__func__ if isinstance(member, staticmethod) else member
            if key.startswith("_") or not getattr(member, "__doc__", None):
                continue
            if isinstance(member, property):
                text += f"\n#### {each.__name__}.{key}\n\n{paragraphs(member)}\n"
            elif callable(member):
                text += "\n" + described(member, "####", f"{each.__name__}.")
    return text


def initializer(made: type) -> Any:
    """What a class is called with."""
    return getattr(made, "__init__")  # noqa: B009 - mypy takes made.__init__ for a call on an instance


def signature(name: str, call: Any) -> str:
    """The call as in Python, a parameter a line where it is long; annotations as they stand in the source."""
    found = inspect.signature(call)
    shown_parameters = []
    star = False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not star:
            shown_parameters.append("*")
            star = True
        annotation = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        default = "" if parameter.default is parameter.empty else f" = {value_text(parameter.default)}"
        shown_parameters.append(f"{parameter.name}{annotation}{default}")
    returns = (
        "" if found.return_annotation in (found.empty, "None", None) else f" -> {found.return_annotation}"
    )
    line = f"{name}({', '.join(shown_parameters)}){returns}"
    if len(line) <= SIGNATURE_WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in shown_parameters) + f"){returns}"


def value_text(value: Any) -> str:
    """A default as in Python."""
    if isinstance(value, float) and value != value:
        return "nan"
    return "DEFAULT_LIMITS" if type(value).__name__ == "Limits" else repr(value)


def paragraphs(each: Any) -> str:
    """A docstring as Markdown, which it is already."""
    return inspect.getdoc(each) or ""


def error_classes() -> str:
    """Each class of penstock.errors with the gRPC code that it is answered with."""
    names = {
        number: name for name, number in vars(errors).items() if name.isupper() and isinstance(number, int)
    }
    lines = []
    for name, made in vars(errors).items():
        if isinstance(made, type) and issubclass(made, errors.PenstockError):
            code = "its `status`" if made is errors.StatusError else f"{names[made.code]} ({made.code})"
            base = made.__bases__[0].__name__
            about = " ".join((inspect.getdoc(made) or "").split())
            lines.append((f"`{name}`", "" if base == "Exception" else f"`{base}`", code, about))
    return rows(("Class", "Is also a", "gRPC status", "Raised when"), lines)
