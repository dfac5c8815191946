"""What `penstock bench` sends: whole requests, rows of a table, or values made up from the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.bench import Body, Load, bodies, probe
from penstock.bench.bodies import Asked
from penstock.bench.target import Target
from penstock.cli import options, tables
from penstock.cli.predict import Format
from penstock.client import Client
from penstock.errors import InputError, StatusError

_ASK_S = 30.0  # for what is asked before the load


@dataclass(frozen=True, slots=True)
class Source:
    """Where the requests come from."""

    requests: Sequence[Path]
    data: str | None
    kind: Format | None
    rows: int
    count: int
    seed: int


def prepared(
    server: str, asked: Asked, load: Load, source: Source, check: bool
) -> tuple[list[Body], dict[str, Any]]:
    """The requests, each answered once, and what the record says of server and requests."""
    Target.of(server)
    with options.connected(server, _ASK_S) as client:
        made, origin = _bodies(client, asked, source)
        answered = probe.answered(server, made, timeout=_ASK_S, metadata=load.metadata, method=load.method)
        try:
            told = client.server_metadata()
            name = f"{told.name} {told.version}".strip()
        except StatusError:
            name = ""  # not every server knows that call
    about = {
        "server": {"address": server, "name": name},
        "model": asked.model,
        "version": asked.version,
        "requests": {
            "from": origin,
            "different": len(made),
            "bytes": sum(len(body.message) for body in made) / len(made),
            "answers_checked": check,
        },
    }
    return answered if check else made, about


def _bodies(client: Client, asked: Asked, source: Source) -> tuple[list[Body], str]:
    if source.requests:
        return [bodies.from_file(path, asked) for path in source.requests], "files"
    metadata = probe.metadata_of(client, asked.model, asked.version)
    if source.data is None:
        made = bodies.made(metadata, asked, rows=source.rows, count=source.count, seed=source.seed)
        return made, "metadata"
    found: list[Body] = []
    with tables.opened(source.data, source.kind) as table:
        table.check(metadata.inputs)
        for columns in table.batches(source.rows, [spec.name for spec in metadata.inputs]):
            if _length(columns) == source.rows:  # what is left at the end would be a smaller request
                found.append(bodies.from_table(table.typed(columns, metadata.inputs), metadata, asked))
            if len(found) == source.count:
                break
    if not found:
        raise InputError(f"{source.data} has fewer rows than a request takes: {source.rows} (--rows)")
    return found, "data"


def _length(columns: Any) -> int:
    rows = getattr(columns, "num_rows", None)
    return int(rows) if rows is not None else len(next(iter(columns.values()), ()))
