"""The plots of docs/benchmarks.md."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "docs"))

from parts.bars import Bar, bars

SVG = "{http://www.w3.org/2000/svg}"
GROUPS = [("mlp", [Bar("ours", 100_000), Bar("<theirs>", 1000)]), ("gbm", [Bar("ours", 10)])]


def test_bars_are_as_long_as_their_values_on_a_logarithmic_axis() -> None:
    root = ElementTree.fromstring(bars("Rate & more", "requests", GROUPS))
    widths = [float(bar.get("width", "")) for bar in root.iter(f"{SVG}rect")]
    decade = (widths[0] - widths[1]) / 2
    assert widths[0] - widths[2] == pytest.approx(4 * decade, abs=0.2)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"mlp", "gbm", "<theirs>", "100,000", "Rate & more"} <= set(words)


def test_the_same_figures_give_the_same_text() -> None:
    assert bars("Rate", "requests", GROUPS) == bars("Rate", "requests", GROUPS)
