"""`python -m penstock.demo`: trains, serves, asks, shows, stops. Exit 0 when every check held, else 1."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import penstock
from penstock.errors import PenstockError


def main() -> int:
    """Runs the demo; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m penstock.demo", description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path(".demo/repository"))
    parser.add_argument("--serve", action="store_true", help="only serve the repository, until Ctrl-C")
    parser.add_argument("--port", type=int, default=8001, help="with --serve (default 8001)")
    options = parser.parse_args()
    try:
        from penstock.demo import flights, serving, show, train
    except ModuleNotFoundError as error:
        print(f"The demo needs the package {error.name}: pip install 'penstock[demo]'", file=sys.stderr)
        return 1

    repository = options.repository.resolve()
    try:
        train.prepare(repository)
        show.reset(repository)
        if options.serve:
            print(f"Serving {repository} on 127.0.0.1:{options.port}. Ctrl-C stops it.")
            serving.serve_here(repository, options.port)
        departures = flights.load()
        holdout = departures.months(*train.HOLDOUT)
        show.data(departures)
        show.versions(repository)
        with serving.Serving(repository) as server, penstock.Client(server.address) as client:
            show.server(server)
            show.answers(client, holdout)
            exact = show.exactness(client, repository, holdout)
            show.speed(client, holdout)
            moved = show.flip(client, repository, holdout)
        print("\nThe server finished what it had and ended with exit code 0.")
    except PenstockError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0 if exact and moved else 1


if __name__ == "__main__":
    sys.exit(main())
