"""Writes the parts of docs/reference that the code says: settings, manifest, commands, transforms, API.

A page holds a part between `<!-- generated: NAME -->` and `<!-- end -->`; all else in it is written by hand.

    python docs/generate.py          writes the parts anew
    python docs/generate.py --check  changes nothing; exit 1, and a line for each page that is stale
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import penstock
from penstock import client, config, errors, frames, runner
from penstock import transforms as t
from penstock.bundle import build, lineage, manifest
from penstock.cli.app import app
from penstock.models import lightgbm, onnx
from penstock.models.options import ModelOptions

REFERENCE = Path(__file__).resolve().parent / "reference"
MEANINGS = tomllib.loads((REFERENCE / "meanings.toml").read_text())
SIGNATURE_WIDTH = 100
UNITS = {"_s": "seconds", "bytes": "bytes"}
BOUNDS = {
    "ge": "from {}",
    "gt": "above {}",
    "le": "up to {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
}
TYPES = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "`true` or `false`",
    "Path": "text",
    "JsonValue": "JSON",
}
# One call of each transform, and the column that it is shown on.
EXAMPLES: dict[str, tuple[str, list[Any]]] = {
    "cyclic": ('t.Cyclic("x", period=24)', [0, 6, 12, 23]),
    "impute": ('t.Impute("x", strategy="median", indicator=True)', [1.0, None, 3.0, 8.0]),
    "log1p": ('t.Log1p("x")', [0.0, 1.0, 99.0, None]),
    "one_hot": ('t.OneHot("x")', ["AA", "UA", "AA", None]),
    "ordinal": ('t.Ordinal("x", unknown="value", unknown_value=-1)', ["AA", "UA", "B6", None]),
    "select": ('t.Select("x")', [True, False, True, True]),
    "standardize": ('t.Standardize("x")', [1.0, 2.0, 3.0, None]),
}


def rows(header: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    shown = [header, ("---",) * len(header), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in shown)


def meanings(kind: str, name: str, fields: Mapping[str, Any]) -> Mapping[str, str]:
    """The meaning of each field; exits where the list is not exactly theirs."""
    known: Mapping[str, str] = MEANINGS[kind].get(name, {})
    for field in set(fields) ^ set(known):
        state = "has no meaning there" if field in fields else "is not in the code any more"
        sys.exit(f"docs/reference/meanings.toml: {kind}.{name}.{field} {state}")
    return known


def type_of(annotation: Any) -> str:
    """A field's type for readers."""
    if isinstance(annotation, str):
        return annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_of(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin is dict:
        return f"table of {type_of(arguments[1])}"
    if origin is tuple:
        return f"list of {type_of(arguments[0])}"
    if arguments:  # a union
        return " or ".join("`null`" if part is type(None) else type_of(part) for part in arguments)
    if isinstance(annotation, type) and issubclass(annotation, ModelOptions):
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    name = getattr(annotation, "__name__", str(annotation))
    return TYPES.get(name, name)


def bounds_of(field: Any) -> str:
    """What a field's value must keep to."""
    found = []
    for item in field.metadata:
        for part in [item, *getattr(item, "metadata", [])]:
            values = {name: getattr(part, name, None) for name in BOUNDS}
            found += [
                BOUNDS[name].format(f"{value:,}") for name, value in values.items() if value is not None
            ]
    return ", ".join(dict.fromkeys(found))


def default_of(field: Any) -> str:
    """A field's default as it is written."""
    if field.default is PydanticUndefined:
        return ""
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{json.dumps(str(value) if isinstance(value, Path) else value)}`"


def field_rows(kind: str, name: str, model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Name, type, default and meaning of each field."""
    known = meanings(kind, name, model.model_fields)
    for key, field in model.model_fields.items():
        bounds = bounds_of(field)
        kinds = type_of(field.annotation) + (f", {bounds}" if bounds else "")
        yield f"`{key}`", kinds, default_of(field), known[key]


def configuration() -> str:
    """The settings, section by section."""
    parts = []
    for section, field in config.Settings.model_fields.items():
        model = config.ModelSection if section == "models" else field.annotation
        assert model is not None
        title = "models.<name>" if section == "models" else section
        about = inspect.getdoc(model) or ""
        text = re.sub(r"; see ext/.*", "", about.partition(": ")[2].rstrip("."))
        parts.append(f"## `[{title}]`\n\n{text[:1].upper()}{text[1:]}.\n")
        lines = []
        for key, kinds, default, meaning in field_rows("settings", section, model):
            unit = next((unit for ending, unit in UNITS.items() if key.strip("`").endswith(ending)), "")
            variable = f"`{config.ENVIRONMENT_PREFIX}{section.upper()}_{key.strip('`').upper()}`"
            cells = (key, kinds, unit, default, meaning)
            lines.append(cells if section == "models" else (*cells, variable))
        header = ("Key", "Value", "Unit", "Default", "Meaning")
        parts.append(rows(header if section == "models" else (*header, "Variable"), lines) + "\n")
    return "\n".join(parts)


def manifest_fields() -> str:
    """The manifest's records, in the order in which they are met."""
    met: list[type[BaseModel]] = [manifest.Manifest]
    for model in met:
        for field in model.model_fields.values():
            for part in parts_of(field.annotation):
                if part not in met and part.__name__ in MEANINGS["manifest"]:
                    met.append(part)
    parts = []
    for model in met:
        parts.append(f"### {model.__name__}\n\n{paragraphs(model)}\n")
        parts.append(
            rows(("Field", "Value", "Default", "Meaning"), field_rows("manifest", model.__name__, model))
            + "\n"
        )
    return "\n".join(parts)


def parts_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The records that an annotation names, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)


def model_options() -> str:
    """The options of each kind of model."""
    parts = []
    for kind, title, options in (("lightgbm", "LightGBM", lightgbm.Options), ("onnx", "ONNX", onnx.Options)):
        parts.append(f"### {title}\n")
        parts.append(
            rows(("Option", "Value", "Default", "Meaning"), field_rows("options", kind, options)) + "\n"
        )
    return "\n".join(parts)


def limits() -> str:
    """How large a bundle may be."""
    known = meanings("settings", "bundle", config.BundleSection.model_fields)
    fields = config.BundleSection.model_fields.items()
    return rows(
        ("Setting", "Default", "Limits"),
        [(f"`bundle.{key}`", f"{field.default:,}", known[key]) for key, field in fields],
    )


def command_line() -> str:
    """Each command: how it is called, what it does, its arguments and options."""
    parts = []
    for path, command in walk("penstock", typer.main.get_command(app)):
        options = [each for each in command.params if each.param_type_name == "option"]
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        words = [path, *(["[OPTIONS]"] if options else []), *(called(each) for each in arguments)]
        words += ["COMMAND"] if getattr(command, "commands", None) and path == "penstock" else []
        text = " ".join((command.help or "").replace("\n\n", "\0").split()).replace("\0", "\n\n")
        parts.append(f"## {path}\n\n```text\n{' '.join(words)}\n```\n\n{text}\n")
        lines = [(f"`{called(each)}`", "", each.help or "") for each in arguments]
        lines += [(spelled(each), default_text(each), each.help or "") for each in options]
        if lines:
            parts.append(rows(("Argument or option", "Default", "Meaning"), lines) + "\n")
        if command.epilog:
            parts.append(f"Example: `{command.epilog.removeprefix('Example: ')}`\n")
    return "\n".join(parts)


def called(argument: Any) -> str:
    """An argument as a usage line shows it."""
    name = str(argument.metavar or argument.name).strip("[]{}")
    name += "]" if name.count("[") > name.count("]") else ""
    return name if argument.required else f"[{name}]"


def spelled(option: Any) -> str:
    """An option with its spellings and what follows it."""
    names = [f"`{name}`" for name in [*option.opts, *option.secondary_opts]]
    return ", ".join(names) + ("" if option.is_flag else f" {option.metavar or ' or '.join(choices(option))}")


def choices(option: Any) -> list[str]:
    """The words that an option takes. Some releases of Typer describe types, others leave that to Click."""
    if hasattr(option, "type_descriptor"):
        enum = option.type_descriptor.annotation
        return [
            member.value
            for part in (enum, *get_args(enum))
            if hasattr(part, "__members__")
            for member in part
        ]
    return list(option.type.choices)


def default_text(option: Any) -> str:
    """An option's default, where it says something."""
    return "" if option.is_flag or option.default in (None, "", ()) else f"`{option.default}`"


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and those below it, each with all its names."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(f"{path} {name}", inner)


def transforms() -> str:
    """Each transform: its signature, what it says of itself, and what it makes of a small column."""
    if set(EXAMPLES) != set(t.REGISTRY):
        sys.exit(f"docs/generate.py: EXAMPLES and the registry differ by {set(EXAMPLES) ^ set(t.REGISTRY)}")
    parts = []
    for kind, made in sorted(t.REGISTRY.items()):
        call, column = EXAMPLES[kind]
        reads = "numbers and text" if "BYTES" in made.accepts else "numbers"
        made_by = signature(made.__name__, made.__init__)
        parts.append(f"## {made.__name__}\n\n```python\n{made_by}\n```\n\n{paragraphs(made)}\n")
        parts.append(f"Reads {reads}. Its kind in saved documents: `{kind}`.\n\n`{call}` on a column `x`:\n")
        parts.append(example(call, column) + "\n")
    return "\n".join(parts)


def example(call: str, column: list[Any]) -> str:
    """A table of the column and of what the transform makes of it, computed by the kernels."""
    features = t.Features([eval(call, {"t": t})])
    made = features.fit_transform({"x": column})
    names = [f"`{name}`" for name in features.output_names]
    lines = [
        (shown(x), *(shown(value) for value in row)) for x, row in zip(column, made.tolist(), strict=True)
    ]
    return rows(("x", *names), lines)


def shown(value: Any) -> str:
    """A value in a table."""
    if value is None or value != value:
        return "missing"
    if isinstance(value, float):
        return np.format_float_positional(round(value, 4) + 0.0, trim="-")
    return str(value)


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


def api(*objects: Any) -> Callable[[], str]:
    """A part that describes classes and functions: signatures and docstrings."""

    def part() -> str:
        return "\n".join(described(each) for each in objects)

    return part


def described(each: Any, heading: str = "###", owner: str = "") -> str:
    """One class with its public members, or one function."""
    name = f"{owner}{each.__name__}"
    call = each.__init__ if isinstance(each, type) and "__init__" in vars(each) else each
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


PARTS: dict[str, Callable[[], str]] = {
    "settings": configuration,
    "manifest": manifest_fields,
    "model options": model_options,
    "bundle limits": limits,
    "commands": command_line,
    "transforms": transforms,
    "error classes": error_classes,
    "api: build": api(penstock.build, build.Bundle, lineage.lineage_of, lineage.digest_frame),
    "api: load": api(penstock.load, runner.Runner),
    "api: features": api(t.Features, frames.columns_of),
    "api: client": api(
        penstock.Client, client.InferResult, client.ModelMetadata, client.TensorSpec, client.ModelState
    ),
}


def renewed(page: str, text: str) -> str:
    """The page's text with its generated parts made anew."""

    def part(match: re.Match[str]) -> str:
        if match[1] not in PARTS:
            sys.exit(f"{page}: there is no part '{match[1]}'; known are {', '.join(PARTS)}")
        return f"<!-- generated: {match[1]} -->\n\n{PARTS[match[1]]().strip()}\n\n<!-- end -->"

    return re.sub(r"<!-- generated: (.+?) -->\n.*?<!-- end -->", part, text, flags=re.DOTALL)


def main() -> int:
    """The exit status: 1 where --check found a stale page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is stale")
    check = parser.parse_args().check
    stale = False
    for path in sorted(REFERENCE.glob("*.md")):
        before = path.read_text()
        after = renewed(path.name, before)
        if after != before:
            stale = True
            print(
                f"docs/reference/{path.name}: {'stale; run python docs/generate.py' if check else 'written'}"
            )
            if not check:
                path.write_text(after)
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main())
