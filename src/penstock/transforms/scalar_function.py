"""ScalarFunction: a Python function over numbers, by its source and what it refers to."""

from __future__ import annotations
import __future__

import ast
import math
import re
import symtable
import types
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock.errors import TransformError

Constant = bool | int | float | str | tuple["Constant", ...]

SOURCE_LIMIT = 64 * 1024  # characters, helpers included
CONSTANT_LIMIT = 1024  # names, and numbers and texts in all constants: Numba unrolls what it knows of tuples

MODULES: Mapping[str, types.ModuleType] = {"math": math, "numpy": np}
BUILTINS = frozenset({
    "abs", "bool", "divmod", "enumerate", "float", "int", "len", "max", "min", "pow", "range", "reversed",
    "sum", "tuple", "zip", "True", "False", "None", "ArithmeticError", "AssertionError", "Exception",
    "IndexError", "OverflowError", "ValueError", "ZeroDivisionError",
})  # fmt: skip
_IMPORTED = re.compile(r"(math|numpy)(\.[A-Za-z][A-Za-z0-9_]*)?")
# Nothing of numpy that draws lots or that reaches outside of it.
BARRED = frozenset({"ctypeslib", "f2py", "random", "testing"})
# They make an integer of any float, also of those that are none; compiled code then goes on with some number.
_CHECKED = "int, which refuses what is no integer of 64 bits"
_INSTEAD = {
    "math.ceil": "np.ceil", "math.floor": "np.floor", "math.trunc": "np.trunc",
    "numpy.int8": _CHECKED, "numpy.int16": _CHECKED, "numpy.int32": _CHECKED, "numpy.int64": _CHECKED,
    "numpy.intc": _CHECKED, "numpy.int_": _CHECKED, "numpy.intp": _CHECKED,
    "numpy.uint8": _CHECKED, "numpy.uint16": _CHECKED, "numpy.uint32": _CHECKED, "numpy.uint64": _CHECKED,
    "numpy.uintc": _CHECKED, "numpy.uint": _CHECKED, "numpy.uintp": _CHECKED,
}  # fmt: skip
# Control characters, text direction, line ends that are none to Python: with them a reader would see other
# code than runs.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_STATEMENTS = {
    ast.Import: "imports; import it outside of the function",
    ast.ImportFrom: "imports; import it outside of the function",
    ast.Global: "has a global statement; a transform keeps nothing from row to row",
    ast.ClassDef: "defines a class; use numbers and tuples",
    ast.AsyncFunctionDef: "is asynchronous",
    ast.Await: "awaits",
    ast.With: "has a with statement",
    ast.AsyncWith: "has a with statement",
    ast.Yield: "yields; return the numbers",
    ast.YieldFrom: "yields; return the numbers",
}


@dataclass(frozen=True)
class Definition:
    """One function: its name and its source, from `def` on and without indentation."""

    name: str
    source: str

    @property
    def filename(self) -> str:
        """What stands for a file's name in messages about the source."""
        return f"<custom {self.name}>"

    def line(self, number: int) -> str:
        """A line of the source, counted from 1; empty where there is none."""
        lines = self.source.splitlines()
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""


@dataclass(frozen=True)
class ScalarFunction:
    """A function over numbers, its helpers, and the names that they take from outside, by value.

    Holds no code: everything is text and numbers until namespace() is called. TransformError where it cannot
    be a function that Penstock would compile.
    """

    main: Definition
    helpers: tuple[Definition, ...]
    imports: Mapping[str, str]  # a name to what it means: "math", "numpy", or one of theirs as "math.sin"
    constants: Mapping[str, Constant]

    def __post_init__(self) -> None:
        names = [definition.name for definition in self.definitions]
        known = [*names, *self.imports, *self.constants]
        if len(known) + sum(map(_size, self.constants.values())) > CONSTANT_LIMIT:
            raise self.error(
                f"its names and constants are more than {CONSTANT_LIMIT}; keep large tables out of it"
            )
        for name in known:
            if known.count(name) > 1:
                raise self.error(f"the name {name!r} has two meanings; rename one")
        for meaning in self.imports.values():
            if meaning in _INSTEAD:
                raise self.error(f"{meaning} is not for transforms; use {_INSTEAD[meaning]}")
        if sum(len(definition.source) for definition in self.definitions) > SOURCE_LIMIT:
            raise self.error(f"its source has more than {SOURCE_LIMIT} characters")
        for definition in self.definitions:
            for each in definition.source:
                if unicodedata.category(each) in _HIDDEN and each not in "\n\t":
                    raise self.error(f"its source has the character {each!r}, which people do not see")
        for index, definition in enumerate(self.definitions):
            for name, line in self._check(definition):
                if name in names[index:]:
                    again = name == definition.name
                    reason = "calls itself; use a loop" if again else f"calls {name}, which stands behind it"
                    raise self.error(f"{definition.name} {reason}", definition, line)
                if name not in known and name not in BUILTINS:
                    raise self.error(f"{name!r} is not known to it", definition, line)

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """Helpers first."""
        return (*self.helpers, self.main)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return tuple(argument.arg for argument in _parsed(self.main).args.args)

    @property
    def text(self) -> str:
        """All of it as a Python module would have it, for people to read."""
        lines = [
            f"import {meaning}" + ("" if meaning == name else f" as {name}")
            if "." not in meaning
            else f"from {meaning.replace('.', ' import ')}"
            + ("" if meaning.endswith(f".{name}") else f" as {name}")
            for name, meaning in sorted(self.imports.items())
        ]
        lines += [f"{name} = {value!r}" for name, value in sorted(self.constants.items())]
        return "\n".join([*lines, *("\n" + each.source.rstrip() for each in self.definitions)]).strip()

    def error(
        self, message: str, definition: Definition | None = None, line: int | None = None
    ) -> TransformError:
        """A TransformError to raise, which names the function, and the line of it or of its helper."""
        return refusal(self.main.name, message, definition, line)

    def _check(self, definition: Definition) -> Iterator[tuple[str, int]]:
        """The names that a definition takes from outside, each with the first line that has it."""
        tree = _parsed(definition)
        for node in ast.walk(tree):
            line = getattr(node, "lineno", 1)
            if type(node) in _STATEMENTS:
                raise self.error(_STATEMENTS[type(node)], definition, line)
            if isinstance(node, ast.FunctionDef):
                self._check_signature(definition, node)
            if isinstance(node, ast.Raise | ast.Assert) and not _says_nothing_new(node):
                raise self.error(
                    "what it raises holds a value; raise it with fixed text, nobody sees it anyway",
                    definition,
                    line,
                )
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = self.imports.get(node.value.id, "")
                if module in MODULES and not hasattr(MODULES[module], node.attr):
                    raise self.error(f"{module} has no {node.attr!r}", definition, line)
                if instead := _INSTEAD.get(f"{module}.{node.attr}"):
                    what = f"{module}.{node.attr} is not for transforms; use {instead}"
                    raise self.error(what, definition, line)
            if isinstance(node, ast.Attribute) and (node.attr.startswith("_") or node.attr in BARRED):
                raise self.error(f"{node.attr!r} is not for transforms", definition, line)
        lines = {node.id: node.lineno for node in reversed([*ast.walk(tree)]) if isinstance(node, ast.Name)}
        for name in sorted(outer_names(definition)):
            yield name, lines.get(name, 1)

    def _check_signature(self, definition: Definition, node: ast.FunctionDef) -> None:
        if node.decorator_list:
            raise self.error(
                "it has a decorator; take it away, Penstock compiles it", definition, node.lineno
            )
        arguments = node.args
        if (
            arguments.vararg
            or arguments.kwarg
            or arguments.kwonlyargs
            or arguments.posonlyargs
            or arguments.defaults
        ):
            raise self.error(
                f"{node.name} has other parameters than plain ones; expected one for each number, "
                "without defaults and stars",
                definition,
                node.lineno,
            )

    def to_saved(self) -> dict[str, Any]:
        """As JSON can hold it; from_saved() takes it back. Sources are lists of lines, for people to read."""
        return {
            "name": self.main.name,
            "source": self.main.source.splitlines(),
            "helpers": [[helper.name, helper.source.splitlines()] for helper in self.helpers],
            "imports": dict(sorted(self.imports.items())),
            "constants": {name: _listed(value) for name, value in sorted(self.constants.items())},
        }

    @staticmethod
    def from_saved(saved: Any) -> ScalarFunction:
        """What to_saved() gave, from a file that anybody may have written. Runs nothing of it."""
        keys = {"name", "source", "helpers", "imports", "constants"}
        if not isinstance(saved, Mapping) or set(saved) != keys:
            raise TransformError(f"custom: a saved function is an object of {', '.join(sorted(keys))}")
        main = _saved_definition(saved["name"], saved["source"])
        pairs, imports, constants = saved["helpers"], saved["imports"], saved["constants"]
        if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
            raise refusal(main.name, "the saved helpers are no list of names and sources")
        for what, table in (("imports", imports), ("constants", constants)):
            if not isinstance(table, Mapping) or not all(map(_is_name, table)):
                raise refusal(main.name, f"the saved {what} are no object of names")
        for name, meaning in imports.items():
            match = _IMPORTED.fullmatch(meaning) if isinstance(meaning, str) else None
            if match is None or (match[2] and match[2][1:] in BARRED):
                raise refusal(main.name, f"the saved import {name!r} is {meaning!r}, expected math or numpy")
        values = {name: constant_of(main.name, name, value) for name, value in constants.items()}
        return ScalarFunction(main, tuple(_saved_definition(*pair) for pair in pairs), dict(imports), values)

    def namespace(self) -> dict[str, Any]:
        """Executes the definitions: what they refer to and the functions themselves, by name.

        This is where text becomes code. The definitions have neither decorators nor defaults, and annotations
        are not evaluated, so that nothing but `def` runs.
        """
        names: dict[str, Any] = {"__name__": "penstock_custom", **self.constants}
        for name, meaning in self.imports.items():
            module, _, attribute = meaning.partition(".")
            found = MODULES[module]
            if attribute and not hasattr(found, attribute):
                raise self.error(f"this version of {module} has no {attribute!r}")
            names[name] = getattr(found, attribute) if attribute else found
        flags = __future__.annotations.compiler_flag
        for definition in self.definitions:
            code = compile(definition.source, definition.filename, "exec", flags, dont_inherit=True)
            exec(code, names)
        return names


def refusal(
    function: object, message: str, definition: Definition | None = None, line: int | None = None
) -> TransformError:
    """A TransformError that names a function, and the line of it or of its helper."""
    where = ""
    if definition is not None and line is not None:
        helper = "" if definition.name == function else f"{definition.name}, "
        where = f" ({helper}line {line}: `{definition.line(line)}`)"
    return TransformError(f"custom transform {function}{where}: {message}")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier() and not value.startswith("__")


def _saved_definition(name: Any, lines: Any) -> Definition:
    if not _is_name(name):
        raise TransformError(f"custom: {name!r} is no function's name")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise refusal(name, "its saved source is no list of lines")
    return Definition(name, "\n".join(lines) + "\n")


def _parsed(definition: Definition) -> ast.FunctionDef:
    try:
        body = ast.parse(definition.source, definition.filename).body
    except SyntaxError as error:
        raise refusal(definition.name, str(error.msg), definition, error.lineno or 1) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise refusal(definition.name, f"its source cannot be parsed: {error}") from None
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef) or body[0].name != definition.name:
        raise refusal(definition.name, "its source is not one `def` of that name")
    return body[0]


def outer_names(definition: Definition) -> set[str]:
    """The names that it and the functions inside of it take from outside, itself among them if it recurs."""
    _parsed(definition)
    try:
        tables = symtable.symtable(definition.source, definition.filename, "exec").get_children()
    except (SyntaxError, ValueError, RecursionError) as error:
        raise refusal(definition.name, f"its source cannot be parsed: {error}") from None
    found: set[str] = set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        if isinstance(table, symtable.Function):
            found |= set(table.get_globals())
    return found - _annotations(definition)


def _says_nothing_new(node: ast.Raise | ast.Assert) -> bool:
    """Whether an exception is the same each time: one with a value takes memory that nobody gives back."""
    if isinstance(node, ast.Assert):
        return node.msg is None or isinstance(node.msg, ast.Constant)
    raised = node.exc
    arguments = [*raised.args, *raised.keywords] if isinstance(raised, ast.Call) else []
    return node.cause is None and all(isinstance(argument, ast.Constant) for argument in arguments)


def _annotations(definition: Definition) -> set[str]:
    """Names that only annotations have, which are not evaluated."""
    tree = _parsed(definition)
    noted: set[ast.AST] = set()
    for node in ast.walk(tree):
        notes = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        noted |= {inner for note in notes if isinstance(note, ast.AST) for inner in ast.walk(note)}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in noted}
    return {node.id for node in noted if isinstance(node, ast.Name)} - used


def constant_of(main: str, name: str, value: Any) -> Constant:
    """A value as it is recorded: lists as tuples, NumPy's numbers as Python's. TransformError for others."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, tuple | list):
        return tuple(constant_of(main, name, item) for item in value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise refusal(main, f"the constant {name} is {value}, beyond 64 bits")
    if isinstance(value, bool | int | float | str):
        return value
    raise refusal(
        main,
        f"{name} is a {type(value).__name__}; only numbers, text, tuples of them, math and numpy can be "
        "taken from outside the function",
    )


def _listed(value: Constant) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _size(value: Constant) -> int:
    return sum(map(_size, value)) if isinstance(value, tuple) else 1
