"""`penstock serve`: the server, from a repository and a configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import options

if TYPE_CHECKING:
    from penstock.log import Event


def serve(
    repository: Annotated[
        Path | None,
        typer.Option(
            "--repository", metavar="DIR", help="The folder that holds the bundles; `repository` by default."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings in TOML; the options here win over it."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="H", help="The address to listen on. Loopback by default.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=0,
            max=65535,
            help="The gRPC port, 8001 by default; 0 takes a free one.",
        ),
    ] = None,
    unix_socket: Annotated[
        Path | None, typer.Option("--unix-socket", metavar="PATH", help="Listen on a Unix socket as well.")
    ] = None,
    loops: Annotated[
        int | None, typer.Option("--loops", metavar="N", min=0, help="Serving threads; 0 for one a core.")
    ] = None,
    drain_timeout: Annotated[
        float | None,
        typer.Option(
            "--drain-timeout", metavar="SECONDS", min=0.0, help="How long a stop waits for open requests."
        ),
    ] = None,
    watch: Annotated[
        bool | None, typer.Option("--watch/--no-watch", help="Follow changes in the repository's folder.")
    ] = None,
    allow_load_unload: Annotated[
        bool | None,
        typer.Option(
            "--allow-load-unload/--refuse-load-unload", help="Let callers load and unload versions."
        ),
    ] = None,
    allow_custom_transforms: Annotated[
        bool | None,
        typer.Option(
            "--allow-custom-transforms/--refuse-custom-transforms",
            help="Run the bundles' custom transforms: code of whoever built them.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Serve a repository's bundles over gRPC.

    SIGTERM or Ctrl-C ends it when the open requests are answered. A setting that is not given here comes from
    PENSTOCK_* variables, then from --config, then from the defaults.
    """
    from penstock import log
    from penstock.config import load_settings

    log.configure(as_json=json)
    given = {
        "repository.path": None if repository is None else str(repository),
        "repository.watch": watch,
        "repository.allow_load_unload": allow_load_unload,
        "repository.allow_custom_transforms": allow_custom_transforms,
        "server.host": host,
        "server.port": port,
        "server.unix_socket": None if unix_socket is None else str(unix_socket),
        "server.loops": loops,
        "server.drain_timeout_s": drain_timeout,
    }
    settings = load_settings(
        config, overrides={key: value for key, value in given.items() if value is not None}
    )
    # After the settings: what is wrong with those is told without the compiled core.
    from penstock.server import serve as run

    raise typer.Exit(run(settings, announce=_announce_json if json else _announce, json_log=json))


def _announce(line: str) -> None:
    _write(line)


def _announce_json(event: Event) -> None:
    _write(event.to_json())


def _write(line: str) -> None:
    """In one piece: print() writes the line's end on its own, and other threads' lines come between."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
