"""Writes the parts of the documentation that the code and the benchmarks' results say, and its plots.

A page holds a part between `<!-- generated: NAME -->` and `<!-- end -->`; all else in it is written by hand.

    python docs/generate.py          writes the parts anew
    python docs/generate.py --check  changes nothing; exit 1, and a line for each page that is stale
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from parts import benchmarks, comparisons
from parts.api import api, error_classes
from parts.commands import command_line
from parts.fields import configuration, limits, manifest_fields, model_options
from parts.scikit_learn import scikit_learn
from parts.transforms import transforms

import penstock
from penstock import client, frames, runner
from penstock import transforms as t
from penstock.bundle import build, lineage

DOCS = Path(__file__).resolve().parent
PAGES = [
    DOCS.parent / "README.md",
    DOCS / "benchmarks.md",
    *sorted((DOCS / "how-to").glob("*.md")),
    *sorted((DOCS / "reference").glob("*.md")),
]


PARTS: dict[str, Callable[[], str]] = {
    "settings": configuration,
    "manifest": manifest_fields,
    "model options": model_options,
    "bundle limits": limits,
    "commands": command_line,
    "transforms": transforms,
    "scikit-learn": scikit_learn,
    "error classes": error_classes,
    "throughput": benchmarks.throughput,
    "startup": benchmarks.startup,
    "reload": benchmarks.reload,
    "transforms benchmark": benchmarks.transforms,
    "forest benchmark": comparisons.forest,
    "server benchmark": comparisons.server,
    "hosting benchmark": comparisons.hosting,
    "isolation benchmark": comparisons.isolation,
    "peers": comparisons.peers,
    "speed": benchmarks.speed,
    "api: build": api(penstock.build, build.Bundle, lineage.lineage_of, lineage.digest_frame),
    "api: load": api(penstock.load, runner.Runner),
    "api: features": api(t.Features, frames.columns_of),
    "api: client": api(
        penstock.Client, client.InferResult, client.ModelMetadata, client.TensorSpec, client.ModelState
    ),
}


def renewed(page: str, text: str) -> str:
    """The page's text with its generated parts made anew."""

    def part(match: re.Match[str]) -> str:
        if match[1] not in PARTS:
            sys.exit(f"{page}: there is no part '{match[1]}'; known are {', '.join(PARTS)}")
        return f"<!-- generated: {match[1]} -->\n\n{PARTS[match[1]]().strip()}\n\n<!-- end -->"

    return re.sub(r"<!-- generated: (.+?) -->\n.*?<!-- end -->", part, text, flags=re.DOTALL)


def main() -> int:
    """The exit status: 1 where --check found a stale page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is stale")
    check = parser.parse_args().check
    stale = False
    texts = {path: renewed(path.name, path.read_text()) for path in PAGES}
    texts |= {DOCS / name: plot for name, plot in comparisons.plots().items()}
    for path, after in texts.items():
        if not path.exists() or path.read_text() != after:
            stale = True
            state = "stale; run python docs/generate.py" if check else "written"
            print(f"{path.relative_to(DOCS.parent)}: {state}")
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(after)
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main())
