"""Bar charts as SVG: text that is the same for the same figures, so that a page's plots can be checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABEL, RIGHT = 760, 150, 90  # the room for names on the left, and for figures on the right
BAR, GAP, HEAD, FOOT = 20, 6, 56, 34
# Readable on a light page and on a dark one.
INK, GRID, FIRST, OTHERS = "#6e7781", "#d0d7de", "#1f77b4", "#9aa5b1"


@dataclass(frozen=True)
class Bar:
    """A name, and what was measured."""

    name: str
    value: float


def bars(title: str, unit: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Groups of horizontal bars on one logarithmic axis; the first bar of each group stands out."""
    values = [bar.value for _, group in groups for bar in group]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    room = WIDTH - LABEL - RIGHT
    height = HEAD + FOOT + sum(26 + len(group) * (BAR + GAP) for _, group in groups)

    def at(value: float) -> float:
        return LABEL + room * (math.log10(value) - low) / max(high - low, 1)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="0" y="18" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="0" y="36">{escape(unit)}, logarithmic</text>',
    ]
    for power in range(low, high + 1):
        x = at(10**power)
        out.append(
            f'<line x1="{x:.1f}" y1="{HEAD}" x2="{x:.1f}" y2="{height - FOOT + 6}" stroke="{GRID}"/>'
            f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle">{10**power:,}</text>'
        )
    y = HEAD
    for name, group in groups:
        out.append(f'<text x="0" y="{y + 16}" font-weight="600">{escape(name)}</text>')
        y += 26
        for place, bar in enumerate(group):
            middle = y + BAR / 2 + 5
            out.append(
                f'<text x="{LABEL - 8}" y="{middle:.0f}" text-anchor="end">{escape(bar.name)}</text>'
                f'<rect x="{LABEL}" y="{y}" width="{at(bar.value) - LABEL:.1f}" height="{BAR}" rx="2" '
                f'fill="{OTHERS if place else FIRST}"/>'
                f'<text x="{at(bar.value) + 6:.1f}" y="{middle:.0f}">{bar.value:,.0f}</text>'
            )
            y += BAR + GAP
    return "\n".join([*out, "</svg>", ""])
