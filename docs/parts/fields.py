"""Settings, manifests and options: pydantic's fields, with the meanings that reference/meanings.toml has."""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from parts.api import paragraphs
from parts.tables import rows
from penstock import config
from penstock.bundle import manifest
from penstock.models import forest, lightgbm, linear, onnx
from penstock.models.options import ModelOptions

MEANINGS = tomllib.loads((Path(__file__).resolve().parents[1] / "reference" / "meanings.toml").read_text())
UNITS = {"_s": "seconds", "_us": "microseconds", "bytes": "bytes"}
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


def configuration() -> str:
    """The settings, section by section."""
    parts = []
    for section, field in config.Settings.model_fields.items():
        model: Any = config.ModelSection if section == "models" else field.annotation
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
    about = paragraphs(config.Scheduling)
    lines = field_rows("manifest", "Scheduling", config.Scheduling)
    parts.append(f"## Scheduling\n\n{about}\n\n{rows(('Key', 'Value', 'Default', 'Meaning'), lines)}\n")
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
    for kind, title, options in (
        ("lightgbm", "LightGBM", lightgbm.Options),
        ("forest", "Forest", forest.Options),
        ("linear", "Linear", linear.Options),
        ("onnx", "ONNX", onnx.Options),
    ):
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


def field_rows(kind: str, name: str, model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Name, type, default and meaning of each field."""
    known = meanings(kind, name, model.model_fields)
    for key, field in model.model_fields.items():
        bounds = bounds_of(field)
        kinds = type_of(field.annotation) + (f", {bounds}" if bounds else "")
        yield f"`{key}`", kinds, default_of(field), known[key]


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
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_none=True)
    return f"`{json.dumps(str(value) if isinstance(value, Path) else value)}`"
