"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.errors import NotFoundError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Server = Annotated[
    str, typer.Option("--server", metavar="ADDRESS", help="HOST:PORT or unix:/path of the server.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="How long to wait for an answer.")
]
Repository = Annotated[Path, typer.Option("--repository", metavar="DIR", help="The repository's folder.")]

DEFAULT_SERVER = "localhost:8001"
DEFAULT_REPOSITORY = Path("repository")


def existing_file(path: Path) -> Path:
    """The path, when a file lies there; NotFoundError otherwise."""
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    return path
