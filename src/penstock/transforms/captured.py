"""From a function in this process to the ScalarFunction that a bundle records."""

from __future__ import annotations

import builtins
import inspect
import textwrap
import types
from collections.abc import Callable, Sequence
from typing import Any

from penstock.transforms.scalar_function import (
    BARRED,
    BUILTINS,
    MODULES,
    Constant,
    Definition,
    ScalarFunction,
    constant_of,
    outer_names,
    refusal,
)


def scalar_function_of(
    function: Callable[..., Any], helpers: Sequence[Callable[..., Any]] = ()
) -> ScalarFunction:
    """What a function in this process is: its source as inspect finds it, and the values of its names."""
    main = _definition_of(function, getattr(function, "__name__", repr(function)))
    definitions = [_definition_of(helper, main.name) for helper in helpers]
    own = {id(helper): each.name for helper, each in zip(helpers, definitions, strict=True)}
    imports: dict[str, str] = {}
    constants: dict[str, Constant] = {}
    wanted = [
        (name, code, definition)
        for code, definition in zip((*helpers, function), (*definitions, main), strict=True)
        for name in sorted(outer_names(definition) - {definition.name})
    ]
    for name, code, definition in wanted:
        found, value = _value_of(code, name)
        if not found and name not in BUILTINS:
            reason = (
                "is not for transforms; they are math, numpy, numbers and tuples"
                if hasattr(builtins, name)
                else "is not defined where the function is"
            )
            raise refusal(main.name, f"the name {name!r} in {definition.name} {reason}")
        helper = own.get(id(value), name)
        if helper != name:
            raise refusal(main.name, f"{definition.name} calls its helper {helper} {name!r}; use its name")
        if found and id(value) not in own:
            _record(main.name, definition.name, name, value, imports, constants)
    return ScalarFunction(main, tuple(definitions), imports, constants)


def _definition_of(function: object, main: str) -> Definition:
    if not isinstance(function, types.FunctionType):
        raise refusal(main, f"{function!r} is no Python function; write one with def")
    if function.__name__ == "<lambda>":
        raise refusal(main, "a lambda has no source of its own; give it a name with def")
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise refusal(
            main,
            f"the source of {function.__name__} cannot be found ({error}); write it in a file or a notebook",
        ) from error
    return Definition(function.__name__, source)


def _value_of(function: Callable[..., Any], name: str) -> tuple[bool, Any]:
    """Whether the enclosing functions or the module of a function have a name, and its value there."""
    assert isinstance(function, types.FunctionType)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    if name in cells:
        try:
            return True, cells[name].cell_contents
        except ValueError:  # not assigned yet
            return False, None
    return name in function.__globals__, function.__globals__.get(name)


def _record(
    main: str,
    function: str,
    name: str,
    value: Any,
    imports: dict[str, str],
    constants: dict[str, Constant],
) -> None:
    meaning = _meaning(value)
    if meaning is None and isinstance(value, types.FunctionType):
        raise refusal(main, f"{function} calls {name}, a function of yours; pass helpers=[{name}]")
    if meaning is not None:
        known: Any = imports.setdefault(name, meaning)
        same = known == meaning and name not in constants
    else:
        value = constant_of(main, name, value)
        known = constants.setdefault(name, value)
        same = repr(known) == repr(value) and name not in imports
    if not same:
        raise refusal(main, f"{name!r} means one thing in a helper and another in {function}; rename one")


def _meaning(value: Any) -> str | None:
    """`math`, `numpy`, or what of theirs a value is, as in `math.sin`."""
    for title, module in MODULES.items():
        if value is module:
            return title
        name = getattr(value, "__name__", None)
        if callable(value) and isinstance(name, str) and getattr(module, name, None) is value:
            return f"{title}.{name}" if name not in BARRED else None
    return None
