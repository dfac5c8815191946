"""The load generator. See ext/bindings/_loadgen.pyx and ext/loadgen.

Everything that fails raises `penstock.errors.StatusError` with a gRPC status number.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np

Array = np.ndarray[Any, Any]
# Upper bounds of the buckets in ns and their counts (INT64, ascending), the largest value and the sum of all
# (ns). The bounds of a bucket are within 1/256 of each other.
Buckets = tuple[Array, Array, int, float]

class Report(TypedDict):
    """Of the requests that count: those due after the warm-up, or in a closed loop those that ended then."""

    requests: int
    answered_in_time: int  # good answers that came in `seconds`, whenever their requests were due
    seconds: float
    processor_seconds: float  # that the generator's threads used in that time
    latency: Buckets  # of good answers, from when their request was due
    late: Buckets  # from when a request was due until its connection had written what it could; open loop
    reconnects: int  # connections that were opened again in that time
    resent: int  # requests that were given back unprocessed in that time, and sent again
    failures: list[tuple[str, int, int, str]]  # reason, code, count, an example's grpc-message
    answers: list[list[int]]  # of each body, how often each of its answers came
    times: Array  # INT64 [n, 3], ns: due (monotonic clock), late, latency; with `trace`

class Run:
    """A run of the load generator (ext/loadgen/run.h). Its threads never take the GIL."""

    def __init__(
        self,
        *,
        host: str = "",
        port: str = "",
        unix_path: str = "",
        headers: Iterable[tuple[str, str]],
        bodies: Iterable[tuple[bytes, Sequence[bytes]]],  # messages, and for each the answers that are right
        rate: float | None = None,  # requests a second, open loop; None: a closed one
        arrivals: str = "poisson",  # or "even"
        seed: int = 0,
        streams: int = 1,  # of each connection in a closed loop
        connections: int = 1,
        threads: int = 1,
        cores: Sequence[int] = (),
        warmup: float = 0.0,
        seconds: float = 0.0,  # 0: until it is stopped
        deadline: float = 0.0,  # 0: none
        patience: float = 5.0,
        trace: bool = False,
    ) -> None: ...
    def start(self) -> None:
        """Connects, and starts. The first request is due 50 ms later."""

    def wait(self, seconds: float) -> bool:
        """At most so long; whether the run is over."""

    def stop(self) -> None:
        """Ends the sending early; the last answers are waited for."""

    @property
    def sent(self) -> int: ...
    @property
    def answered(self) -> int: ...
    def report(self) -> Report:
        """When the run is over. FAILED_PRECONDITION before."""
