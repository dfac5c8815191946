"""Loads on a server: one run of the generator, from what is sent to what was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from penstock import __version__, _loadgen
from penstock.bench.bodies import Body
from penstock.bench.result import Result
from penstock.bench.target import Target
from penstock.errors import ConfigError

INFER = "/inference.GRPCInferenceService/ModelInfer"
SCHEDULES = ("poisson", "even")
# Told how many requests were sent and answered so far, warm-up included.
Progress = Callable[[int, int], None]
_TICK_S = 0.1
# As gRPC allows them (grpc/doc/PROTOCOL-HTTP2.md); names are lowered before they are sent.
_METADATA_NAME = re.compile(r"[0-9A-Za-z_.-]+")
_METADATA_VALUE = re.compile(r"[\x20-\x7e]*")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a run. `result` is what it measured until then."""

    def __init__(self, result: Result) -> None:
        super().__init__("interrupted")
        self.result = result


@dataclass(frozen=True, kw_only=True)
class Load:
    """How requests are sent.

    With a `rate` in an open loop, so many a second whatever the answers take; without one in a closed loop,
    with `streams` under way on each of the `connections` all the time.
    """

    rate: float | None = None
    schedule: str = "poisson"  # of an open loop: independent callers; or "even": the same gap between any two
    seed: int = 0  # of the schedule
    connections: int = 8
    streams: int = 4
    threads: int = 1
    cores: Sequence[int] = ()  # thread i runs on the core of number i modulo their count; none: anywhere
    warmup: float = 0.5  # seconds of load before what counts
    seconds: float = 5.0  # of what counts; 0: until it is stopped
    deadline: float | None = (
        None  # seconds, sent as grpc-timeout; without an answer then, it is cancelled and failed
    )
    patience: float = 5.0  # seconds to wait for the last answers, and for connections
    method: str = INFER
    metadata: Sequence[tuple[str, str]] = ()
    trace: bool = False  # keep the times of each request

    def __post_init__(self) -> None:
        for name in ("connections", "streams", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: at least 1 was expected")
        if self.connections < self.threads:
            raise ConfigError(f"{self.connections} connections for {self.threads} threads: each needs one")
        if self.rate is not None and not 0 < self.rate <= 1e9:
            raise ConfigError(f"rate is {self.rate:g}: more than 0 requests a second were expected")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule is '{self.schedule}': expected one of {', '.join(SCHEDULES)}")
        for name in ("warmup", "seconds", "patience"):
            if not 0 <= getattr(self, name) < 1e9:
                raise ConfigError(f"{name} is {getattr(self, name)}: a duration in seconds was expected")
        if self.deadline is not None and not 1e-6 <= self.deadline < 1e9:
            raise ConfigError(f"deadline is {self.deadline}: a duration in seconds was expected")
        for name, value in self.metadata:
            _check_metadata(name, value)

    def start(self, target: str, bodies: bytes | Body | Iterable[bytes | Body]) -> Running:
        """Connects and starts; the first request is due 50 ms later.

        ConfigError for an address that cannot be used, StatusError UNAVAILABLE where nobody answers there.
        """
        return Running(self, Target.of(target), _listed(bodies))


class Running:
    """A load that is under way. Leaving its block ends it."""

    def __init__(self, load: Load, target: Target, bodies: Sequence[Body]) -> None:
        self._load = load
        self._run = _loadgen.Run(
            host=target.host,
            port=target.port,
            unix_path=target.unix_path,
            headers=_headers(load, target),
            bodies=[(body.message, body.answers) for body in bodies],
            rate=load.rate,
            arrivals=load.schedule,
            seed=load.seed,
            streams=load.streams,
            connections=load.connections,
            threads=load.threads,
            cores=load.cores,
            warmup=load.warmup,
            seconds=load.seconds,
            deadline=load.deadline or 0.0,
            patience=load.patience,
            trace=load.trace,
        )
        self._run.start()
        self._interrupted = False

    @property
    def sent(self) -> int:
        """Requests so far, warm-up included."""
        return self._run.sent

    @property
    def answered(self) -> int:
        """Those of them that have ended."""
        return self._run.answered

    def wait(self, seconds: float) -> bool:
        """At most so long; whether the run is over."""
        return self._run.wait(seconds)

    def stop(self) -> None:
        """Ends the sending; the last answers are waited for."""
        self._run.stop()

    def finish(self, progress: Progress | None = None) -> Result:
        """Waits for the end. Interrupted, with what was measured, on Ctrl-C."""
        while True:
            try:
                while not self.wait(_TICK_S):
                    if progress is not None:
                        progress(self.sent, self.answered)
                result = self.result()
                break
            except KeyboardInterrupt:
                if self._interrupted:
                    raise
                self._interrupted = True
                self.stop()
        if progress is not None:
            progress(self.sent, self.answered)
        if self._interrupted:
            raise Interrupted(result)
        return result

    def result(self) -> Result:
        """When the run is over."""
        load = self._load
        return Result.of(
            self._run.report(),
            rate=load.rate,
            threads=load.threads,
            traced=load.trace,
            interrupted=self._interrupted,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        while not self.wait(_TICK_S):
            pass


def measure(
    target: str,
    bodies: bytes | Body | Iterable[bytes | Body],
    load: Load | None = None,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs one load on the server at `target` and waits for its end.

    `bodies` are serialized ModelInferRequests (or of whatever message `load.method` takes), sent in turns; a
    Body may say which answers are right. ConfigError, StatusError as `Load.start`; Interrupted on Ctrl-C.
    """
    return (load or Load()).start(target, bodies).finish(progress)


_UNITS = (("n", 10**9), ("u", 10**6), ("m", 10**3), ("S", 1))
_MOST_DIGITS = 8


def grpc_timeout(seconds: float) -> str:
    """A duration as gRPC has it in that header (grpc/doc/PROTOCOL-HTTP2.md), rounded up to what fits."""
    for unit, per_second in _UNITS:
        count = math.ceil(seconds * per_second)
        if len(str(count)) <= _MOST_DIGITS:
            return f"{count}{unit}"
    return "9" * _MOST_DIGITS + "S"


def _check_metadata(name: str, value: str) -> None:
    if not _METADATA_NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is no name of metadata: letters, digits, '_', '.' and '-' are")
    if name.lower().startswith("grpc-"):
        raise ConfigError(f"'{name}' is gRPC's own: metadata of that name cannot be sent")
    if name.lower().endswith("-bin"):
        raise ConfigError(f"'{name}' names binary metadata, which the load generator does not send")
    if not _METADATA_VALUE.fullmatch(value):
        raise ConfigError(f"the value of the metadata '{name}' has characters other than printable ASCII")


def _headers(load: Load, target: Target) -> list[tuple[str, str]]:
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", load.method),
        (":authority", target.authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", f"penstock-bench/{__version__}"),
    ]
    if load.deadline is not None:
        headers.append(("grpc-timeout", grpc_timeout(load.deadline)))
    return [*headers, *((name.lower(), value) for name, value in load.metadata)]


def _listed(bodies: bytes | Body | Iterable[bytes | Body]) -> list[Body]:
    given = [bodies] if isinstance(bodies, (bytes, Body)) else list(bodies)
    if not given:
        raise ConfigError("a load needs a request to send")
    return [Body(each) if isinstance(each, bytes) else each for each in given]
