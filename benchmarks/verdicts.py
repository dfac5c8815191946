"""What is required of a benchmark's figures (budgets.toml), and whether measured ones show it.

A figure is a ratio to a reference that was measured beside it, round by round. Its median is told with an
interval; a breach is clear when the whole interval lies beyond the budget.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUDGETS = Path(__file__).resolve().parent / "budgets.toml"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A median, and between which two of the rounds' values the true one lies.

    Order statistics: below the true median lies each round with probability 1/2, whatever the values'
    distribution. `confidence` is what the two places give: at least CONFIDENCE from six rounds on, and less
    with fewer, where the range is the most that can be said.
    """

    low: float
    median: float
    high: float
    confidence: float

    @staticmethod
    def of(values: Sequence[float]) -> Interval:
        if not values:
            return Interval(math.nan, math.nan, math.nan, 0.0)
        ordered, count = sorted(values), len(values)
        # The true median is outside of places k and count - 1 - k when at most k rounds fall on one side.
        outside = [2 * sum(math.comb(count, j) for j in range(k + 1)) / 2**count for k in range(count)]
        place = max((k for k in range((count + 1) // 2) if 1 - outside[k] >= CONFIDENCE), default=0)
        return Interval(
            ordered[place], statistics.median(ordered), ordered[count - 1 - place], max(1 - outside[place], 0)
        )

    def __str__(self) -> str:
        if math.isnan(self.median):
            return "not shown"
        spread = f" ({self.low:.3g} to {self.high:.3g})" if self.low != self.high else ""
        return f"{self.median:.3g}{spread}"


@dataclass(frozen=True)
class Budget:
    """One line of budgets.toml: a ratio, and what it may be at most or must be at least."""

    figure: str
    what: str
    at_most: float | None = None
    at_least: float | None = None
    single: bool = False  # a figure of one value that comes out the same each time, as memory does
    # In the short form, what share beyond the limit is not yet clear: of figures that are met by less than
    # two machines differ.
    slack: float = 0.0

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"budget {self.figure!r} needs either at_most or at_least")

    @property
    def limit(self) -> float:
        return self.at_most if self.at_most is not None else self.at_least or 0.0

    def within(self, ratio: float, slack: float = 0.0) -> bool:
        if self.at_most is not None:
            return ratio <= self.limit * (1 + slack)
        return ratio >= self.limit * (1 - slack)

    @property
    def text(self) -> str:
        return f"{'<=' if self.at_most is not None else '>='} {self.limit:g}"


@dataclass(frozen=True)
class Verdict:
    """A budget beside what was measured. `met` is None where that does not tell."""

    budget: Budget
    interval: Interval
    met: bool | None

    @staticmethod
    def of(budget: Budget, ratios: Sequence[float], *, short: bool) -> Verdict:
        """By the median in the full form. In the short one, for machines that do other things too, by the
        whole interval, and only where it has CONFIDENCE. Rounds that showed nothing are NaN, and left out;
        of too few others nothing is clear in either form.
        """
        if budget.single:
            (ratio,) = ratios
            return Verdict(budget, Interval(ratio, ratio, ratio, 1.0), budget.within(ratio))
        interval = Interval.of([ratio for ratio in ratios if not math.isnan(ratio)])
        if interval.confidence < CONFIDENCE:
            return Verdict(budget, interval, None)
        if not short:
            return Verdict(budget, interval, budget.within(interval.median))
        ends = (interval.low, interval.high)
        if all(budget.within(end) for end in ends):
            return Verdict(budget, interval, True)
        breach = not any(budget.within(end, budget.slack) for end in ends)
        return Verdict(budget, interval, False if breach else None)

    @property
    def word(self) -> str:
        return {True: "yes", False: "MISSED", None: "unclear"}[self.met]

    def text(self) -> str:
        return f"{self.budget.what:<66} {self.interval!s:<26} {self.budget.text:<9} {self.word}"

    def record(self) -> dict[str, Any]:
        """For benchmarks/results; null where no round showed anything."""
        ends = {name: getattr(self.interval, name) for name in ("low", "median", "high")}
        return {
            "what": self.budget.what,
            **{name: None if math.isnan(value) else value for name, value in ends.items()},
            "confidence": self.interval.confidence,
            "required": self.budget.text,
            "met": self.met,
        }


def budgets(program: str, path: Path = BUDGETS) -> list[Budget]:
    """Those of one program."""
    entries = tomllib.loads(path.read_text())[program].get("budget", [])
    return [Budget(**entry) for entry in entries]


def judged(program: str, ratios: Mapping[str, Sequence[float]], options: argparse.Namespace) -> list[Verdict]:
    """Prints a line for each budget of the program whose figure was measured, and returns the verdicts."""
    verdicts = [
        Verdict.of(budget, ratios[budget.figure], short=options.short)
        for budget in budgets(program)
        if budget.figure in ratios
    ]
    if verdicts:
        print(f"\n{'':<66} {'measured (interval)':<26} required")
    for verdict in verdicts:
        print(verdict.text())
    return verdicts


def end(program: str, verdicts: Sequence[Verdict]) -> None:
    """Exits with 1 where one is missed."""
    missed = [verdict.budget.what for verdict in verdicts if verdict.met is False]
    if missed:
        sys.exit(f"{program}: missed: {'; '.join(missed)}")
