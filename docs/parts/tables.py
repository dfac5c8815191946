"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def rows(header: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    shown = [header, ("---",) * len(header), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in shown)
