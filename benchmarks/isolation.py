"""A dear model beside a cheap one: what the cheap one's callers notice.

One server, one loop, all on one core: requests to a cheap model (the 500 trees of models.py, one row) come
at an even rate, on the clock of the load generator. Slices in which callers keep four requests in flight to a
dear model (a perceptron, about 20 ms a request) take turns with slices without, under one load that never
stops.

Required: the cheap model's p99 beside the dear one at most twice its p99 without: the median, over pairs of
slices side by side, of the ratio. Exit 1 on a breach. With --inline the dear model runs on the loop, as it
would without the pool: to see what is prevented; nothing is judged.

    python benchmarks/isolation.py [--pairs 12] [--seconds 1.5] [--rate 2000] [--inline] [--save | --short]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

import penstock
import results
from models import gbm, perceptron
from open_loop import GeneratorError, OpenLoop, Trace
from penstock import _proto
from penstock.bench import Body, Load
from process import ServerProcess, penstock_server, pinned, split_cores

DEAR_SECONDS = 0.020
WIDTHS = (32, 1024, 1024, 1024, 1)
IN_FLIGHT = 4
ALLOWED = 2.0
SETTLE_SECONDS = 0.1  # after each switch, which is nobody's


def dear_request(repository: Path) -> bytes:
    """Builds the dear model there; a request of so many rows that a run takes about DEAR_SECONDS."""
    bundle = penstock.build(
        repository, name="dear", version="1", model=perceptron(WIDTHS, 3).SerializeToString()
    )
    runner = penstock.load(bundle)

    def seconds(rows: int) -> float:
        taken = []
        batch = {"input": np.ones((rows, WIDTHS[0]), np.float32)}
        for _ in range(5):
            began = time.perf_counter()
            runner.predict(batch)
            taken.append(time.perf_counter() - began)
        return min(taken)

    few = seconds(16)
    rows = max(1, round(16 + (DEAR_SECONDS - few) / max(seconds(32) - few, 1e-9) * 16))
    request = _proto.ModelInferRequest(model_name="dear")
    request.inputs.add(name="input", datatype="FP32", shape=[rows, WIDTHS[0]])
    request.raw_input_contents.append(np.ones((rows, WIDTHS[0]), np.float32).tobytes())
    message: bytes = request.SerializeToString()
    return message


class DearLoad:
    """Callers of a native generator, each with one request to the dear model in flight. Callers in Python
    would hold up the cheap model's generator, whose core they share.
    """

    def __init__(self, server: ServerProcess, request: bytes, core: int | None) -> None:
        self._target = server.target
        self._body = Body(request, (server.call("ModelInfer", request),))
        cores = () if core is None else (core,)
        self._load = Load(connections=IN_FLIGHT, streams=1, warmup=0.0, seconds=0.0, cores=cores, trace=True)
        self.taken: list[float] = []  # seconds

    @contextmanager
    def during(self) -> Iterator[None]:
        """As long as the block runs; the last answers are waited for. GeneratorError."""
        with self._load.start(self._target, self._body) as running:
            yield
            running.stop()
            result = running.finish()
        if result.failed or result.times is None:
            raise GeneratorError(
                f"the dear model's requests failed: {[failure.label for failure in result.failures]}"
            )
        self.taken.extend(result.times[:, 2] / 1e9)


@dataclass(frozen=True)
class Pair:
    """Two slices side by side: the cheap model's p99, in us."""

    without: float
    beside: float

    @property
    def ratio(self) -> float:
        return self.beside / self.without


def measure(options: argparse.Namespace, directory: Path) -> tuple[list[Pair], list[float], Trace]:
    """The pairs, what the dear model's requests took, and the whole trace."""
    repository = directory / "repository"
    cheap = gbm(directory)
    penstock.build(repository, name=cheap.name, version="1", model=cheap.path)
    dear = dear_request(repository)
    config = directory / "penstock.toml"
    # Where the dear one runs is left to what the server measures, but for --inline.
    config.write_text('[models.dear.scheduling]\nexecution = "inline"\n' if options.inline else "")
    serving, generating = options.cores or (None, None)
    environment = {"PENSTOCK_SERVER_LOOPS": "1"}
    if generating is not None:
        os.sched_setaffinity(0, {generating})
    log = directory / "penstock.log"
    spans: list[tuple[int, int]] = []
    with penstock_server(repository, log, core=serving, environment=environment, config=config) as server:
        request = cheap.request()
        answer = server.call("ModelInfer", request)
        load = OpenLoop(server.target, request, [answer], rate=options.rate, core=generating)
        callers = DearLoad(server, dear, generating)
        with load.during() as outcome:
            time.sleep(0.5)
            for number in range(2 * options.pairs):
                beside = number % 4 in (1, 2)  # without, beside, beside, without
                with callers.during() if beside else nullcontext():
                    time.sleep(SETTLE_SECONDS)
                    began = time.monotonic_ns()
                    time.sleep(options.seconds)
                    spans.append((began, time.monotonic_ns()))
    if outcome.failed:
        raise GeneratorError(f"requests failed: {dict(outcome.failed)}")
    p99 = [
        float(np.quantile(outcome.trace.latency[outcome.trace.span(began, ended)], 0.99)) / 1000
        for began, ended in spans
    ]
    pairs = []
    for number in range(0, len(p99), 2):
        first, second = p99[number : number + 2]
        pairs.append(Pair(first, second) if number % 4 == 0 else Pair(second, first))
    return pairs, callers.taken, outcome.trace


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=12, help="pairs of slices")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long a slice lasts")
    parser.add_argument("--rate", type=float, default=2000, help="requests a second to the cheap model")
    parser.add_argument("--inline", action="store_true", help="run the dear model on the loop; judge nothing")
    parser.add_argument("--no-pin", action="store_true", help="let the system place server and generator")
    options = results.parsed(
        parser,
        least={"pairs": 12, "seconds": 1.5},
        short={"pairs": 6, "seconds": 1.0},
        judges="the same, with fewer and shorter slices",
    )
    options.cores = None if options.no_pin else split_cores()
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            pairs, dear, trace = measure(options, Path(folder))
    except (GeneratorError, grpc.RpcError) as error:
        sys.exit(f"bench: {error}")
    ratio = statistics.median(pair.ratio for pair in pairs)
    without = statistics.median(pair.without for pair in pairs)
    beside = statistics.median(pair.beside for pair in pairs)
    late = float(np.quantile(trace.late, 0.99)) / 1000
    print(f"{'cheap model, p99 without the dear one':<46}{without:>9,.0f} us")
    print(f"{'cheap model, p99 beside it':<46}{beside:>9,.0f} us")
    print(f"{'dear model, requests':<46}{len(dear):>9,}, {statistics.median(dear) * 1e3:.0f} ms (median)")
    print(f"{'generator late, p99':<46}{late:>9,.0f} us")
    print(f"{'ratio, median of the pairs':<46}{ratio:>9.2f}    required: <= {ALLOWED:g}")
    figures = {
        "pinned": pinned(options.cores),
        "inline": options.inline,
        "rate": options.rate,
        "ratio": ratio,
        "required": ALLOWED,
        "ratios": {"p99": [pair.ratio for pair in pairs]},
        "without_us": [pair.without for pair in pairs],
        "beside_us": [pair.beside for pair in pairs],
        "dear_ms": [seconds * 1e3 for seconds in (min(dear), statistics.median(dear), max(dear))],
    }
    if options.inline:
        return
    print(f"\nFigures in {results.keep('isolation', figures, options)}")
    if ratio > ALLOWED:
        sys.exit("bench: the dear model delays the cheap one more than is allowed")


if __name__ == "__main__":
    main()
