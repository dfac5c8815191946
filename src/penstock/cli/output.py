"""What commands print: results on stdout, progress on stderr; tables for people, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from penstock.progress import Advance, bar


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout: with rules on a terminal, aligned plain text elsewhere."""
    lines = [list(row) for row in rows]
    if sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        # A name that is cut could not be copied: on a narrow terminal, the last column takes more lines.
        for column in columns[:-1]:
            table.add_column(column, no_wrap=True)
        table.add_column(columns[-1], overflow="fold")
        for line in lines:
            table.add_row(*map(escape, line))
        Console().print(table)
        return
    widths = [max(map(len, cells)) for cells in zip(columns, *lines, strict=True)]
    for cells in ([column.upper() for column in columns], *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def print_facts(facts: Mapping[str, Any], indent: str = "") -> None:
    """Names and values on stdout, a line each, aligned; what is empty is left out."""
    width = max(map(len, facts))
    for name, value in facts.items():
        if value:
            print(f"{indent}{name.ljust(width)}  {value}")


@contextmanager
def step(what: str) -> Iterator[Callable[[str], None]]:
    """A step that takes a while: what it is doing, on a line of stderr that goes away on a terminal, and as a
    plain line every few seconds elsewhere.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.markup import escape

        with Console(stderr=True).status(escape(what)) as status:
            yield lambda line: status.update(escape(line))
        return
    lines = _Lines()
    yield lines.tell


@contextmanager
def progress(what: str, total: int | None, unit: str, *, results_on_stdout: bool) -> Iterator[Advance]:
    """A progress bar on stderr where that is a terminal, elsewhere a plain line every few seconds.

    Nothing where the results show on that terminal meanwhile: the bar would be drawn into them.
    """
    if results_on_stdout and sys.stdout.isatty():
        yield lambda done: None
        return
    if sys.stderr.isatty():
        with bar(what, total, unit) as advance:
            yield advance
        return
    of = f" of {total:,}" if total else ""
    lines = _Lines()
    yield lambda done: lines.tell(f"{what}: {done:,}{of} {unit}")


class _Lines:
    """Plain progress lines: none for the first seconds, so that quick work stays quiet."""

    INTERVAL_S = 5.0

    def __init__(self) -> None:
        self._next = monotonic() + self.INTERVAL_S

    def tell(self, line: str) -> None:
        """Prints it, if that is due."""
        if monotonic() >= self._next:
            self._next = monotonic() + self.INTERVAL_S
            print(line, file=sys.stderr, flush=True)
