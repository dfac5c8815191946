"""The command line: every command with its arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import typer

from parts.tables import rows
from penstock.cli.app import app


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
            examples = [each.removeprefix("Example: ") for each in command.epilog.split("\n\n")]
            parts.append("\n\n".join(f"Example: `{each}`" for each in examples) + "\n")
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
