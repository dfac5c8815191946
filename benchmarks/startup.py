"""From start to ready with the demo's repository: starts the process and asks ServerReady until it says yes.

Ready means that every bundle's digests were verified and its golden examples answered as recorded. Required:
the median within 1 s. Exit 1 when it is not.

    python benchmarks/startup.py [--starts 5] [--repository DIR] [--save]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import results
from process import penstock_server

LIMIT_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--repository", type=Path, help="default: the demo's, trained if missing")
    options = results.parsed(parser, least={"starts": 5})
    if options.save and options.repository is not None:
        parser.error("--save keeps figures of the demo's repository only; leave --repository out")
    repository = options.repository
    if repository is None:
        from penstock.demo import train

        repository = train.prepare()
    with tempfile.TemporaryDirectory(prefix="penstock-startup-") as folder:
        seconds = []
        for count in range(options.starts):
            with penstock_server(repository, Path(folder) / f"{count}.log") as server:
                seconds.append(server.seconds_to_ready)
    median, worst = statistics.median(seconds), max(seconds)
    met = median <= LIMIT_SECONDS
    print(f"ready after {median:.3f} s (median of {len(seconds)} starts; worst {worst:.3f} s)", end="; ")
    print(f"required: median <= {LIMIT_SECONDS:g} s: {'yes' if met else 'MISSED'}")
    figures = {"seconds": seconds, "required_seconds": LIMIT_SECONDS, "met": met}
    print(f"Figures in {results.keep('startup', figures, options)}")
    if not met:
        sys.exit("startup: a requirement is missed")


if __name__ == "__main__":
    main()
