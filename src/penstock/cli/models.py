"""`penstock models`, `penstock load` and `penstock unload`: what a server has, and what it should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import options
from penstock.cli.output import print_json, print_table
from penstock.errors import (
    NOT_FOUND,
    UNAVAILABLE,
    UNIMPLEMENTED,
    InputError,
    NotFoundError,
    PenstockError,
    StatusError,
)

if TYPE_CHECKING:
    from penstock.client import Client

LOAD_TIMEOUT_S = 600.0  # a load reads, checks and warms the version before the server answers

Target = Annotated[str, typer.Argument(metavar="MODEL[:VERSION]", help="A model, or one version of it.")]

app = typer.Typer(
    invoke_without_command=True,
    help="List the models of a server, or name their versions.",
    epilog="Example: penstock models --server localhost:8001",
)


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    server: options.Server = options.DEFAULT_SERVER,
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """List every version in a server's repository: its state, its platform, and which one is the default."""
    if context.invoked_subcommand is not None:
        return
    with options.connected(server, timeout) as client:
        rows = _described(client)
    if json:
        print_json(rows)
        return
    columns = ("model", "version", "state", "default", "platform", "reason")
    print_table(columns, [[_text(row[column]) for column in columns] for row in rows])


@app.command("alias", epilog="Example: penstock models alias delay champion=3 --repository repository")
def alias(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    assignment: Annotated[
        str,
        typer.Argument(
            metavar="NAME=VERSION", help="The alias and its version; `NAME=` takes the alias away."
        ),
    ],
    repository: options.Repository = options.DEFAULT_REPOSITORY,
    json: options.Json = False,
) -> None:
    """Point an alias of a model at a version, on disk.

    A server that watches the repository follows within about two of its watch intervals (2 s by default).
    """
    from penstock.bundle.manifest import check_name
    from penstock.repository import aliases

    name, equals, version = assignment.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{assignment}' is not NAME=VERSION")
    check_name(name, "alias")
    folder = repository / check_name(model, "model")
    if not folder.is_dir():
        raise NotFoundError(f"the repository {repository} has no model '{model}'")
    if version and not (folder / check_name(version, "version") / "bundle.json").is_file():
        there = ", ".join(sorted(found.parent.name for found in folder.glob("*/bundle.json")))
        raise NotFoundError(
            f"model '{model}' has no version '{version}' in {repository}; it has: {there or 'none'}"
        )
    try:
        known = aliases.read(folder)
    except ValueError as error:
        raise InputError(str(error)) from error
    if not version and name not in known:
        raise NotFoundError(
            f"model '{model}' has no alias '{name}'; it has: {', '.join(sorted(known)) or 'none'}"
        )
    changed = {key: value for key, value in known.items() if key != name} | (
        {name: version} if version else {}
    )
    try:
        aliases.write(folder, changed)
    except OSError as error:
        raise PenstockError(f"{folder / aliases.FILE} cannot be written: {error.strerror}") from error
    if json:
        print_json({"model": model, "aliases": changed})
    elif version:
        typer.echo(f"{model}: {name} is version {version}")
    else:
        typer.echo(f"{model}: {name} is gone")


def load(
    target: Target,
    server: options.Server = options.DEFAULT_SERVER,
    timeout: options.Timeout = LOAD_TIMEOUT_S,
    json: options.Json = False,
) -> None:
    """Make a server load a version.

    Without VERSION, those that its policy picks. The server must allow it (--allow-load-unload).
    """
    _change("load", target, server, timeout, json)


def unload(
    target: Target,
    server: options.Server = options.DEFAULT_SERVER,
    timeout: options.Timeout = LOAD_TIMEOUT_S,
    json: options.Json = False,
) -> None:
    """Make a server stop serving a version.

    Without VERSION, all of the model's. Requests in flight finish. The server must allow it
    (--allow-load-unload).
    """
    _change("unload", target, server, timeout, json)


def _change(action: str, target: str, server: str, timeout: float, json: bool) -> None:
    model, version = options.split_target(target, "MODEL or MODEL:VERSION")
    with options.connected(server, timeout) as client:
        (client.load if action == "load" else client.unload)(model, version)
    if json:
        print_json({"model": model, "version": version, "action": action})
    else:
        typer.echo(f"{target} {action}ed")


def _described(client: Client) -> list[dict[str, Any]]:
    """Each version as the server's index, metadata and configuration tell of it."""
    states = client.index()
    defaults = {model: _default(client, model) for model in dict.fromkeys(state.name for state in states)}
    rows = []
    for state in states:
        row: dict[str, Any] = {
            "model": state.name,
            "version": state.version,
            "state": state.state,
            "default": defaults[state.name] == state.version,
            "platform": "",
            "reason": state.reason,
        }
        if state.state == "READY":
            try:
                row["platform"] = client.model_metadata(state.name, state.version).platform
            except StatusError as error:  # it went away since the index was read
                row["reason"] = row["reason"] or str(error)
        rows.append(row)
    return rows


def _default(client: Client, model: str) -> str:
    """The version that answers a caller who names none; "" where the server does not say."""
    try:
        parameters = client.model_config(model).get("parameters", {})
    except StatusError as error:
        if error.status in (NOT_FOUND, UNAVAILABLE, UNIMPLEMENTED):  # nothing of it is ready, or not Penstock
            return ""
        raise
    return str(parameters.get("penstock_version", {}).get("string_value", ""))


def _text(value: Any) -> str:
    return {True: "yes", False: ""}[value] if isinstance(value, bool) else str(value)
