"""From start to ready with the demo's repository: starts the process and asks ServerReady until it says yes.

Ready means that every bundle's digests were verified and its golden examples answered as recorded. Required:
the median within 1 s. Exit 1 when it is not. The short form judges the processor time until then.

    python benchmarks/startup.py [--starts 5] [--repository DIR] [--save | --short]
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
    options = results.parsed(
        parser,
        least={"starts": 5},
        short={"starts": 3},
        judges="the processor time until ready is judged, and the time by the clock is told",
    )
    if options.save and options.repository is not None:
        parser.error("--save keeps figures of the demo's repository only; leave --repository out")
    repository = options.repository
    if repository is None:
        from penstock.demo import train

        repository = train.prepare()
    with tempfile.TemporaryDirectory(prefix="penstock-startup-") as folder:
        seconds, cpu = [], []
        for count in range(options.starts):
            with penstock_server(repository, Path(folder) / f"{count}.log") as server:
                seconds.append(server.seconds_to_ready)
                cpu.append(server.cpu_seconds())
    median, worst, used = statistics.median(seconds), max(seconds), statistics.median(cpu)
    met = (used if options.short else median) <= LIMIT_SECONDS
    print(f"ready after {median:.3f} s (median of {len(seconds)} starts; worst {worst:.3f} s)", end="; ")
    print(f"{used:.3f} s of processor time", end="; ")
    judged = "median of processor time (short form)" if options.short else "median"
    print(f"required: {judged} <= {LIMIT_SECONDS:g} s: {'yes' if met else 'MISSED'}")
    figures = {"seconds": seconds, "cpu_seconds": cpu, "required_seconds": LIMIT_SECONDS, "met": met}
    print(f"Figures in {results.keep('startup', figures, options)}")
    if not met:
        sys.exit("startup: a requirement is missed")


if __name__ == "__main__":
    main()
