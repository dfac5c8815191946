"""The composition root: puts data plane, repository and RPCs together, and ends them in order.

Nothing here waits on a caller's way: the data plane answers on its own threads, and this process's Python
only loads, publishes and explains.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from penstock import log
from penstock._core import Server as Core
from penstock.bundle.verify import Limits
from penstock.config import Settings
from penstock.errors import PenstockError, ServerError, StatusError
from penstock.log import Event, Outlet
from penstock.repository import preflight
from penstock.repository.lifecycle import Lifecycle
from penstock.repository.line_watch import LineWatch
from penstock.repository.loader import BundleLoader
from penstock.repository.watcher import Watcher
from penstock.rpc import operations
from penstock.rpc.dispatch import Dispatcher, Method
from penstock.rpc.inference import SERVICE, ModelInformation
from penstock.rpc.reflection import Reflection
from penstock.rpc.repository import RepositoryControl

Announce = Callable[[Event], None]
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STOPPED = -1
_CUT_OFF = -2
# How long a process waits beyond its drain. To close what is left takes an instant, unless a model runs.
_CLOSING_S = 3.0
_LAST_WORDS_S = 1.0  # how long the end waits for whoever reads the output
_log = logging.getLogger("penstock.server")


class Server:
    """One server in this process: start(), wait_ready(), `port`, stop(). Not to be started again."""

    def __init__(self, settings: Settings, *, announce: Announce) -> None:
        """`announce` is given each thing that an operator should know, from any thread; it must not wait."""
        self._settings = settings
        self._announce = announce
        repository = settings.repository
        limits = Limits(**settings.bundle.model_dump())
        self._lifecycle = Lifecycle(
            repository.path,
            settings=settings.model,
            load=BundleLoader(
                limits,
                settings.model,
                allow_custom=repository.allow_custom_transforms,
                pool=settings.pool,
            ),
            publish=lambda models, ready: self._core.publish(models, ready),
            report=announce,
            limits=limits,
            threads=repository.load_threads,
        )
        methods = self._methods()
        self._core = Core(_core_options(settings, methods))
        self._dispatcher = Dispatcher(self._core.take, methods)
        self._lines = LineWatch(lambda: self._lifecycle.view, report=announce)
        self._watcher = (
            Watcher(self._lifecycle, interval=repository.watch_interval_s, report=announce)
            if repository.watch
            else None
        )

    def start(self) -> None:
        """Listens, and begins to load. ServerError for an address or a repository that cannot be used."""
        try:
            self._core.start()
        except StatusError as error:
            raise ServerError(str(error)) from error
        self._dispatcher.start()
        self._lines.start()
        root = self._settings.repository.path
        try:
            preflight.refuse_bundle(root)
            self._lifecycle.scan()
            for warning in preflight.mismatches(root, self._lifecycle.folders(), self._settings.models):
                self._announce(warning)
        except BaseException:
            self.stop(0.0)
            raise
        if self._watcher is not None:
            self._watcher.start()

    @property
    def port(self) -> int:
        """The TCP port; the one that was chosen where the settings say 0."""
        return self._core.port

    @property
    def address(self) -> str:
        """Where it listens, for people."""
        host = self._settings.server.host
        tcp = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        unix = f"unix:{self._settings.server.unix_socket}" if self._settings.server.unix_socket else ""
        return " and ".join(part for part in (tcp if host else "", unix) if part)

    @property
    def lifecycle(self) -> Lifecycle:
        """The versions, to look at or to change."""
        return self._lifecycle

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Waits until every version that was found at the start is ready or has failed."""
        return self._lifecycle.wait_settled(timeout)

    def stop(self, drain_timeout: float | None = None) -> bool:
        """Not ready, then drained, then stopped. True when every request that was open finished in time.

        `drain_timeout` in seconds; the settings' where None. A run of a model that is under way cannot be cut
        off: this waits for its end, however long that takes.
        """
        timeout = self._settings.server.drain_timeout_s if drain_timeout is None else drain_timeout
        ends = time.monotonic() + timeout  # a disk that hangs takes of it
        if self._watcher is not None:
            self._watcher.stop()
        self._lifecycle.close()
        # The dispatcher goes on: its calls are among those that finish.
        drained = self._core.drain(max(0.0, ends - time.monotonic()))
        self._lines.stop()
        self._dispatcher.stop()
        self._core.stop()
        self._dispatcher.join()
        return drained

    def _methods(self) -> dict[str, Method]:
        information = ModelInformation(
            lambda: self._lifecycle.view, max_message_bytes=self._settings.limits.max_message_bytes
        )
        control = RepositoryControl(
            self._lifecycle, allow_changes=self._settings.repository.allow_load_unload
        )
        counted = operations.Operations(lambda: self._lifecycle.view, lambda: self._core.counters())
        reflection = Reflection([SERVICE, operations.SERVICE, "grpc.health.v1.Health"])
        answered = (information, control, counted, reflection)
        return {path: method for part in answered for path, method in part.methods().items()}


def _core_options(settings: Settings, methods: dict[str, Method]) -> dict[str, Any]:
    """As _core.Server takes them: see ext/net/options.h."""
    server = settings.server
    return {
        "host": server.host,
        "port": server.port,
        "unix_socket": server.unix_socket,
        "loops": server.loops,
        "pool_threads": settings.pool.threads,
        "spin_us": server.spin_us,
        **settings.limits.model_dump(),
        "bridged": {path: "stream" if method.stream else "unary" for path, method in methods.items()},
    }


def serve(settings: Settings, *, announce: Announce, json_log: bool = False) -> int:
    """Serves until a signal says otherwise; the process's exit status. To be called on the main thread.

    SIGTERM or SIGINT: not ready, drained for at most server.drain_timeout_s, 0; a model that still runs some
    seconds later is cut off. A second one: out at once, 128 + its number. SIGHUP: the repository is read
    again. Raises what keeps it from starting.
    `json_log`: records of the log on standard error are JSON objects.
    """
    began = time.monotonic()
    # Neither loading nor stopping depends on somebody who reads what is written here.
    records = log.QueuedHandler(sys.stderr)
    log.configure(as_json=json_log, handler=records)
    told = Outlet(log.failing_into(_log, "announcing", announce), _lost)
    outlets = (told, records.outlet)
    events: SimpleQueue[int] = SimpleQueue()  # its put() may interrupt another: a signal handler may call it
    before = {number: signal.signal(number, lambda got, _: events.put(got)) for number in _SIGNALS}
    try:
        server = Server(settings, announce=told.put)
        server.start()
    except BaseException:
        for number, handler in before.items():
            signal.signal(number, handler)
        _all_written(outlets)
        raise
    told.put(Event("listening", f"listening on {server.address}", address=server.address, port=server.port))
    threading.Thread(target=_announce_ready, args=(server, told.put, began), daemon=True).start()
    longest = settings.server.drain_timeout_s + _CLOSING_S
    end = _until_stopped(server, events, told.put, longest=longest)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the process is on its way out, and its exit status stands
    written = _all_written(outlets)
    if end != _STOPPED or server.lifecycle.loading or not written:
        # Python would wait for the thread that loads, for as long as that takes, and for the one that writes;
        # the end of the core for a model that runs.
        _exit_at_once(128 + end if end > 0 else 0, flush=written)
    return 0


def _lost(count: int) -> Event:
    return Event("events_lost", log.lines_lost(count), count=count)


def _all_written(outlets: Sequence[Outlet[Any]]) -> bool:
    """Closes them, in order: whether somebody read it all in time."""
    ends = time.monotonic() + _LAST_WORDS_S
    written = [outlet.close(max(0.0, ends - time.monotonic())) for outlet in outlets]
    return all(written)


def _announce_ready(server: Server, announce: Announce, began: float) -> None:
    server.wait_ready()
    versions = list(server.lifecycle.view.versions())
    ready = sum(seen.loaded is not None for seen in versions)
    models = len({seen.model for seen in versions if seen.loaded is not None})
    took = time.monotonic() - began
    line = f"ready after {took:.2f} s: {ready} version{_s(ready)} of {models} model{_s(models)}"
    announce(Event("server_ready", line, ms=round(took * 1000, 3), versions=ready, models=models))


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _until_stopped(server: Server, events: SimpleQueue[int], announce: Announce, *, longest: float) -> int:
    """Lives on the main thread, which only waits for signals, so that none of them has to wait.

    _STOPPED when the server has stopped, _CUT_OFF when it has not within `longest` seconds, the number of the
    signal that came while it was about to.
    """
    stopping: threading.Thread | None = None
    ends = math.inf
    while True:
        try:
            # The interpreter runs signal handlers on this thread; a wait with an end keeps that certain.
            event = events.get(timeout=max(0.0, min(1.0, ends - time.monotonic())))
        except Empty:
            if time.monotonic() < ends:
                continue
            line = "stopped; what still ran was cut off"
            announce(Event("stopped", line, drained=False))
            return _CUT_OFF
        if event == _STOPPED:
            return _STOPPED
        if event == signal.SIGHUP:
            if stopping is None:
                # Not here: a disk that hangs must not keep a SIGTERM waiting.
                threading.Thread(target=_rescan, args=(server, announce), daemon=True).start()
        elif stopping is not None:
            name = signal.Signals(event).name
            announce(Event("killed", f"{name} again: leaving at once", signal=name))
            return event
        else:
            name = signal.Signals(event).name
            announce(Event("stopping", f"{name}: finishing open requests", signal=name))
            stopping = threading.Thread(target=_stop, args=(server, events, announce), daemon=True)
            ends = time.monotonic() + longest
            stopping.start()


def _stop(server: Server, events: SimpleQueue[int], announce: Announce) -> None:
    try:
        drained = server.stop()
        line = "stopped" if drained else "stopped; requests that took too long were cut off"
        announce(Event("stopped", line, drained=drained))
    except Exception:
        _log.exception("stopping failed")
    finally:
        events.put(_STOPPED)


def _rescan(server: Server, announce: Announce) -> None:
    try:
        server.lifecycle.scan()
    except PenstockError as error:
        announce(Event("repository_unreadable", str(error), reason=str(error)))


def _exit_at_once(status: int, *, flush: bool) -> None:
    """`flush`: nobody writes to the standard streams, and they take what is left in them."""
    if flush:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
