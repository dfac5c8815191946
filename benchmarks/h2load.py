"""Drives h2load (nghttp2-client): one gRPC request again and again, closed loop; reads what it reports."""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from process import SERVICE, tool

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


class LoadError(Exception):
    """h2load reported failures, answers of another size, or something that this module cannot read."""


@dataclass(frozen=True)
class Load:
    """One run: `connections` with `streams` requests in flight on each."""

    requests: int
    seconds: float
    requests_per_second: float
    mean_seconds: float
    latencies_us: NDArray[np.int64] | None = None  # of each request, where a log was asked for


def body_file(request: bytes, directory: Path, name: str) -> Path:
    """Writes a gRPC message as it stands in a DATA frame: flag 0, 4-byte big-endian length, the bytes."""
    path = directory / f"{name}.grpc"
    path.write_bytes(struct.pack(">BI", 0, len(request)) + request)
    return path


def run(
    port: int,
    body: Path,
    *,
    connections: int,
    streams: int,
    requests: int,
    answer_bytes: int,
    core: int | None = None,
    log: Path | None = None,
) -> Load:
    """Sends `requests` requests, each when an answer makes room for it, and waits for all answers.

    h2load looks at the HTTP status, which gRPC leaves at 200 for any error. A gRPC error carries no message,
    so that the bytes of DATA must be exactly `requests` times an answer of `answer_bytes` and its 5-byte
    prefix; LoadError otherwise. `log` is a file for the latency of each request.
    """
    command = [tool("h2load", "nghttp2-client"), f"-n{requests}", f"-c{connections}", f"-m{streams}", "-t1"]
    command += ["-d", str(body), "-H", "te: trailers", "-H", "content-type: application/grpc"]
    command.append(f"http://127.0.0.1:{port}{SERVICE}ModelInfer")
    if log is not None:
        log.unlink(missing_ok=True)  # it would be appended to
        command.append(f"--log-file={log}")
    if core is not None:
        command = [tool("taskset", "util-linux"), "-c", str(core), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise LoadError(f"h2load ended with {done.returncode}: {done.stderr or done.stdout}")
    load = read_report(done.stdout, requests, requests * (answer_bytes + 5))
    if log is None:
        return load
    # Lines of when it began, its HTTP status and how long it took, in microseconds.
    return replace(load, latencies_us=np.loadtxt(log, np.int64, usecols=2, ndmin=1))


def read_report(report: str, requests: int, data_bytes: int) -> Load:
    """The figures of h2load's report, checked for completeness."""
    finished = search(r"finished in ([\d.]+)(us|ms|s), ([\d.]+) req/s", report)
    counts = search(
        r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) err", report
    )
    data = search(r"\((\d+)\) data", report)
    mean = search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", report)
    succeeded, failed, errored = (int(n) for n in counts.groups())
    if succeeded != requests or failed or errored:
        raise LoadError(
            f"{succeeded} of {requests} requests succeeded, {failed} failed, {errored} had errors"
        )
    if int(data[1]) != data_bytes:
        raise LoadError(
            f"the answers held {data[1]} bytes of messages, expected {data_bytes}: not all are right"
        )
    return Load(
        requests=requests,
        seconds=float(finished[1]) * UNITS[finished[2]],
        requests_per_second=float(finished[3]),
        mean_seconds=float(mean[1]) * UNITS[mean[2]],
    )


def search(pattern: str, report: str) -> re.Match[str]:
    found = re.search(pattern, report)
    if found is None:
        raise LoadError(f"h2load's report has no line like /{pattern}/:\n{report}")
    return found
