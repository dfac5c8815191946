"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.errors import NotFoundError

if TYPE_CHECKING:
    from penstock.client import Client

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Server = Annotated[
    str, typer.Option("--server", metavar="ADDRESS", help="HOST:PORT or unix:/path of the server.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="How long to wait for an answer.")
]
Repository = Annotated[Path, typer.Option("--repository", metavar="DIR", help="The repository's folder.")]
AllowCustom = Annotated[
    bool,
    typer.Option(
        "--allow-custom-transforms", help="Run the bundle's custom transforms: code of whoever built it."
    ),
]

DEFAULT_SERVER = "localhost:8001"
DEFAULT_REPOSITORY = Path("repository")


def existing_file(path: Path) -> Path:
    """The path, when a file lies there; NotFoundError otherwise."""
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    return path


def split_target(target: str, metavar: str) -> tuple[str, str]:
    """MODEL or MODEL:VERSION as model and version, "" for none. Wrong use otherwise."""
    model, colon, version = target.partition(":")
    if not model or (colon and not version) or ":" in version:
        raise typer.BadParameter(f"'{target}' is not {metavar}")
    return model, version


@contextmanager
def connected(server: str, timeout: float, remedy: str = "") -> Iterator[Client]:
    """A client of the server. Where none answers, the error says how to name another; `remedy` is what else
    would help.
    """
    from penstock.client import Client
    from penstock.client.status import UnreachableError

    try:
        with Client(server, timeout=timeout) as client:
            yield client
    except UnreachableError as error:
        raise UnreachableError(error.status, f"{error}, --server names another address{remedy}") from error
