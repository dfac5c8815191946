"""The Typer application: every command, by group."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from penstock.cli import bench, bundle, models, predict, serve

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class _Commands(TyperGroup):
    """The commands, which Ctrl-C ends in the same way under every version of Typer."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("penstock: interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Example: penstock serve --repository repository",
)

EPILOGS = {
    "serve": "Example: penstock serve --repository repository --port 8001 --watch",
    "predict": "Example: penstock predict delay flights.csv --output scores.parquet",
    "bench": "Example: penstock bench delay --data flights.csv --rate 5000\n\n"
    "Example: penstock bench delay --find-rate --p99 2 --plots plots\n\n"
    "Example: penstock bench delay --server triton:8001 --connections 16 --streams 1 --json",
    "load": "Example: penstock load delay:3",
    "unload": "Example: penstock unload delay:2",
}

app.command("serve", epilog=EPILOGS["serve"])(serve.serve)
app.add_typer(bundle.app, name="bundle")
app.command("predict", epilog=EPILOGS["predict"])(predict.predict)
app.command("bench", epilog=EPILOGS["bench"])(bench.bench)
app.add_typer(models.app, name="models")
app.command("load", epilog=EPILOGS["load"])(models.load)
app.command("unload", epilog=EPILOGS["unload"])(models.unload)


def _print_version(wanted: bool) -> None:
    if wanted:
        from penstock import __version__

        typer.echo(f"penstock {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Serve versioned models over gRPC, and work with them.

    Every command exits with 0 when it is done, 1 when it was refused or failed, 2 for wrong use.
    """
