"""The short set: runs the benchmarks of budgets.toml in their short forms, and prints what was measured
against what is required.

A budget is a ratio to a reference that the same run measures, round by round. It fails where the whole
interval lies beyond it ("MISSED"), and passes where the interval, or a part of it, is within ("yes",
"unclear"). Programs that say `judges_itself` print checks of their own, and fail by their exit status. Exit
1 where anything failed.

    python benchmarks/budgets.py [--programs forest server ...] [--file budgets.toml]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import results
import verdicts

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Outcome:
    """Of one program."""

    program: str
    seconds: float
    verdicts: list[verdicts.Verdict]
    failed: str = ""  # why, where it did not end as it should have

    @property
    def missed(self) -> list[str]:
        found = [verdict.budget.what for verdict in self.verdicts if verdict.met is False]
        return [*found, *([f"{self.program}: {self.failed}"] if self.failed else [])]


def run(program: str, section: dict[str, Any], file: Path) -> Outcome:
    """The program's short form. Its own output is shown; its figures are read from build/bench."""
    figures = results.LATEST / f"{program}.json"
    figures.unlink(missing_ok=True)  # so that those of an earlier run are not taken for this one's
    command = [sys.executable, str(HERE / f"{program}.py"), "--short", *section.get("options", [])]
    print(f"\n== {program}", flush=True)
    began = time.monotonic()
    done = subprocess.run(command)
    seconds = time.monotonic() - began
    if section.get("judges_itself"):
        failed = f"ended with {done.returncode}" if done.returncode else ""
        return Outcome(program, seconds, [], failed)
    if not figures.exists():
        return Outcome(program, seconds, [], f"ended with {done.returncode}, and left no figures")
    ratios = json.loads(figures.read_text())["ratios"]
    judged, absent = [], []
    for budget in verdicts.budgets(program, file):
        if budget.figure not in ratios:
            absent.append(budget.figure)
            continue
        values = [float("nan") if value is None else value for value in ratios[budget.figure]]
        judged.append(verdicts.Verdict.of(budget, values, short=True))
    failed = f"does not measure {', '.join(absent)}" if absent else ""
    return Outcome(program, seconds, judged, failed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, default=verdicts.BUDGETS)
    parser.add_argument("--programs", nargs="+", help="default: all but those that are not in the short set")
    options = parser.parse_args()
    sections = tomllib.loads(options.file.read_text())
    unknown = set(options.programs or ()) - set(sections)
    if unknown:
        parser.error(f"{options.file} has no {', '.join(sorted(unknown))}; it has {', '.join(sections)}")
    chosen = options.programs or [name for name, section in sections.items() if section.get("short", True)]
    outcomes = [run(program, sections[program], options.file) for program in chosen]
    print(f"\n{'':<66} {'measured (interval)':<26} required")
    for outcome in outcomes:
        for verdict in outcome.verdicts:
            print(verdict.text())
        if outcome.failed:
            print(f"{outcome.program}: {outcome.failed}")
        elif not outcome.verdicts:
            print(f"{outcome.program + ': its own checks, above':<103} yes")
    took = ", ".join(f"{outcome.program} {outcome.seconds:.0f} s" for outcome in outcomes)
    print(f"\nIn {sum(outcome.seconds for outcome in outcomes):.0f} s: {took}")
    missed = [what for outcome in outcomes for what in outcome.missed]
    if missed:
        sys.exit(f"budgets: missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
