"""The command line: one module for each group of commands, put together in `app`.

Modules here import only Typer at the top and what a command needs inside of it, so that `--help` answers at
once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from penstock.errors import PenstockError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 refused or failed (one line says why), 2 wrong use, 130
    interrupted.
    """
    from penstock.cli.app import app

    try:
        app(args=None if arguments is None else list(arguments), prog_name="penstock")
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has stopped. The interpreter would fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("penstock: interrupted", file=sys.stderr)
        sys.exit(130)
