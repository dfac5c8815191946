"""`penstock models`, `penstock load` and `penstock unload`: what a server has, and what it should have."""

from __future__ import annotations

from json import loads
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import options
from penstock.cli.model_facts import model_facts
from penstock.cli.output import print_facts, print_json, print_table
from penstock.errors import (
    NOT_FOUND,
    UNAVAILABLE,
    UNIMPLEMENTED,
    InputError,
    NotFoundError,
    PenstockError,
    StatusError,
)
from penstock.schedules import cost, execution

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from penstock.client import Client

LOAD_TIMEOUT_S = 600.0  # a load reads, checks and warms the version before the server answers

# Of a version; the others are durations, and for --json.
_COUNTED = ("requests", "rows", "executions", "failures", "waiting", "refused", "expired", "cancelled")

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
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Also what runs each one, where its requests run, and why; --json has it always.",
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """List every version in a server's repository: its state, its aliases, which one is the default, and
    where its requests run.
    """
    if context.invoked_subcommand is not None:
        return
    with options.connected(server, timeout) as client:
        rows = _described(client)
    if json:
        print_json(rows)
        return
    columns = ("model", "version", "state", "default", "aliases", "platform", "requests", "reason")
    table = [row | {"requests": execution(row["schedule"]) if row["schedule"] else ""} for row in rows]
    print_table(columns, [[_text(row[column]) for column in columns] for row in table])
    if details:
        for row in rows:
            _print_details(row)


@app.command("counters", epilog="Example: penstock models counters delay --server localhost:8001")
def counters(
    target: Annotated[
        str, typer.Argument(metavar="[MODEL[:VERSION]]", help="Without it, all.", show_default=False)
    ] = "",
    server: options.Server = options.DEFAULT_SERVER,
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """Show what a server has counted: requests, how many wait for the pool, were refused, expired or were
    cancelled. --json has all counters.
    """
    model, version = options.split_target(target, "MODEL or MODEL:VERSION") if target else ("", "")
    with options.connected(server, timeout) as client:
        found = client.counters(model, version)
    if json:
        print_json(found)
        return
    rows = [
        (entry["model"], entry["version"], *(f"{entry['counters'][name]:,}" for name in _COUNTED))
        for entry in found["versions"]
    ]
    print_table(("model", "version", *_COUNTED), rows)
    now = found["server"]
    typer.echo(
        f"\nnow: {now['pool_waiting']:,} waiting for the pool, {now['pool_running']:,} running in it; "
        f"open connections {now['open_connections']:,}, open calls {now['open_streams']:,}"
    )


@app.command("alias", epilog="Example: penstock models alias delay champion=3 --repository repository")
def alias(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    assignment: Annotated[
        str,
        typer.Argument(
            metavar="[NAME=VERSION]",
            help="The alias and its version; `NAME=` takes the alias away. Without it, they are listed.",
            show_default=False,
        ),
    ] = "",
    repository: options.Repository = options.DEFAULT_REPOSITORY,
    json: options.Json = False,
) -> None:
    """Point an alias of a model at a version, on disk, or list the aliases there.

    A server that watches the repository follows within about two of its watch intervals (2 s by default).
    """
    from penstock.bundle.manifest import check_name

    folder = repository / check_name(model, "model")
    if not folder.is_dir():
        raise NotFoundError(f"the repository {repository} has no model '{model}'")
    if not assignment:
        _list_aliases(model, folder, json)
        return
    name, equals, version = assignment.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{assignment}' is not NAME=VERSION")
    changed = _changed_aliases(folder, check_name(name, "alias"), version)
    if json:
        print_json({"model": model, "aliases": changed})
    elif version:
        typer.echo(f"{model}: {name} is version {version}")
    else:
        typer.echo(f"{model}: {name} is gone from aliases.json; a server's configuration may still name it")


def _list_aliases(model: str, folder: Path, json: bool) -> None:
    known = _aliases_on_disk(folder)
    if json:
        print_json({"model": model, "aliases": known})
    elif known:
        print_table(("alias", "version"), sorted(known.items()))
    else:
        typer.echo(f"{model}: no aliases in {folder}")


def _changed_aliases(folder: Path, name: str, version: str) -> dict[str, str]:
    """The aliases with `name` at `version`, or without it for "", as they are on disk now."""
    from penstock.bundle.manifest import check_name
    from penstock.repository import aliases
    from penstock.repository.policy import version_order

    model = folder.name
    versions = sorted((found.parent.name for found in folder.glob("*/bundle.json")), key=version_order)
    if version and check_name(version, "version") not in versions:
        raise NotFoundError(
            f"model '{model}' has no version '{version}' in {folder.parent}; "
            f"it has: {', '.join(versions) or 'none'}"
        )
    if version and name in versions:
        raise InputError(
            f"'{name}' is a version of model '{model}', and callers who name it get that; "
            "give the alias another name"
        )
    try:
        with aliases.exclusively(folder):
            known = _aliases_on_disk(folder)
            if not version and name not in known:
                raise NotFoundError(
                    f"model '{model}' has no alias '{name}'; it has: {', '.join(sorted(known)) or 'none'}"
                )
            known.pop(name, None)
            changed = known | ({name: version} if version else {})
            aliases.write(folder, changed)
    except OSError as error:
        raise PenstockError(f"{folder / aliases.FILE} cannot be written: {error.strerror}") from error
    return changed


def _aliases_on_disk(folder: Path) -> dict[str, str]:
    from penstock.repository import aliases

    try:
        return aliases.read(folder)
    except ValueError as error:
        raise InputError(str(error)) from error


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
    names = {model: _names(client, model) for model in dict.fromkeys(state.name for state in states)}
    rows = []
    for state in states:
        default, aliases = names[state.name]
        row: dict[str, Any] = {
            "model": state.name,
            "version": state.version,
            "state": state.state,
            "default": default == state.version,
            "aliases": sorted(alias for alias, version in aliases.items() if version == state.version),
            "platform": "",
            "executor": "",
            "forest": None,
            "contributions": False,
            "schedule": None,
            "reason": state.reason,
        }
        if state.state == "READY":
            try:
                row["platform"] = client.model_metadata(state.name, state.version).platform
                said = _parameters(client, state.name, state.version)
                row["executor"] = said.get("penstock_executor", "")
                row["contributions"] = "penstock_contributions" in said
                row["forest"] = loads(said.get("penstock_forest", "null"))
                row["schedule"] = loads(said.get("penstock_schedule", "null"))
            except StatusError as error:  # it went away since the index was read
                row["reason"] = row["reason"] or str(error)
        rows.append(row)
    return rows


def _names(client: Client, model: str) -> tuple[str, dict[str, str]]:
    """The version that answers a caller who names none, and the aliases; nothing where none is ready."""
    said = _parameters(client, model)
    return said.get("penstock_version", ""), loads(said.get("penstock_aliases", "{}"))


def _parameters(client: Client, model: str, version: str = "") -> dict[str, str]:
    """Of its configuration; none where the server does not say."""
    try:
        parameters = client.model_config(model, version).get("parameters", {})
    except StatusError as error:
        if error.status in (NOT_FOUND, UNAVAILABLE, UNIMPLEMENTED):  # nothing of it is ready, or not Penstock
            return {}
        raise
    return {name: str(value.get("string_value", "")) for name, value in parameters.items()}


def _print_details(row: Mapping[str, Any]) -> None:
    facts = model_facts(row["executor"], row["forest"], row["contributions"])
    if row["schedule"]:
        facts["requests"] = row["schedule"]["reason"]
        facts["cost"] = cost(row["schedule"])
    if not any(facts.values()):
        return
    typer.echo(f"\n{row['model']}:{row['version']}")
    print_facts(facts, indent="  ")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return {True: "yes", False: ""}[value] if isinstance(value, bool) else str(value)
