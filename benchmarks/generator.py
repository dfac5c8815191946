"""The load generator of `penstock bench` against h2load: how many requests each asks, and what they cost it.

Both drive one serving thread of Penstock with ServerLive, which costs it least, from one thread on the core
beside it, in turns: A B B A. The generator's processor time for a request counts most: on a machine whose
cores are hyperthreads of one, it is the server's loss.

    python benchmarks/generator.py [--rounds 4] [--seconds 1.0]
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import penstock
from h2load import body_file
from models import mlp
from penstock import bench
from process import SERVICE, penstock_server, split_cores, tool

METHOD = SERVICE + "ServerLive"
SHAPES = ((8, 4), (8, 32))
REQUIRED_RATE = 150_000  # of one thread, at the larger shape
Measured = tuple[float, float]  # requests a second, processor time of a request in us


def ours(target: str, connections: int, streams: int, seconds: float, core: int | None) -> Measured:
    """One run of the generator in this process."""
    load = bench.Load(
        connections=connections,
        streams=streams,
        seconds=seconds,
        warmup=seconds / 5,
        method=METHOD,
        cores=() if core is None else (core,),
    )
    result = bench.measure(target, b"", load)
    if result.failed:
        sys.exit(f"generator: failed requests: {result.failures}")
    return result.throughput, result.processor_seconds / result.requests * 1e6


def theirs(
    target: str, connections: int, streams: int, requests: int, body: Path, core: int | None
) -> Measured:
    """One run of h2load."""
    command = [tool("h2load", "nghttp2-client"), f"-n{requests}", f"-c{connections}", f"-m{streams}", "-t1"]
    command += ["-d", str(body), "-H", "te: trailers", "-H", "content-type: application/grpc"]
    command.append(f"http://{target}{METHOD}")
    if core is not None:
        command = [tool("taskset", "util-linux"), "-c", str(core), *command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = re.search(r"([\d.]+) req/s", done.stdout)
    assert found is not None, done.stdout
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(found[1]), used / requests * 1e6


def medians(number: int, first: Callable[[], Measured], second: Callable[[], Measured]) -> list[Measured]:
    """Of both, run in turns."""
    runs: tuple[list[Measured], list[Measured]] = ([], [])
    for _ in range(number):
        for place, run in ((0, first), (1, second), (1, second), (0, first)):
            runs[place].append(run())
    return [
        (statistics.median(rate for rate, _ in each), statistics.median(used for _, used in each))
        for each in runs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long one run lasts")
    options = parser.parse_args()
    serving, core = split_cores() or (None, None)
    missed = False
    with tempfile.TemporaryDirectory(prefix="penstock-generator-") as folder:
        repository = Path(folder) / "repository"
        penstock.build(repository, name="mlp", version="1", model=mlp(Path(folder)).path)
        body = body_file(b"", Path(folder), "empty")
        with penstock_server(
            repository, Path(folder) / "log", core=serving, environment={"PENSTOCK_SERVER_LOOPS": "1"}
        ) as server:
            print(
                f"{'':<8}{'requests/s':>12}{'h2load':>10}{'ratio':>8}{'cpu us':>9}{'h2load':>8}{'ratio':>8}"
            )
            for shape in SHAPES:
                rate, _ = ours(server.target, *shape, options.seconds / 2, core)
                requests = int(rate * options.seconds)
                (rate, used), (their_rate, they_used) = medians(
                    options.rounds,
                    partial(ours, server.target, *shape, options.seconds, core),
                    partial(theirs, server.target, *shape, requests, body, core),
                )
                name = " x ".join(map(str, shape))
                print(
                    f"{name:<8}{rate:>12,.0f}{their_rate:>10,.0f}{rate / their_rate:>8.2f}"
                    f"{used:>9.2f}{they_used:>8.2f}{used / they_used:>8.2f}"
                )
                # The clock's rate is the server's and the machine's too; this is what the thread allows.
                missed = missed or (shape == SHAPES[-1] and 1e6 / used < REQUIRED_RATE)
    if missed:
        sys.exit(f"generator: one thread's processor time allows fewer than {REQUIRED_RATE:,} requests/s")


if __name__ == "__main__":
    main()
