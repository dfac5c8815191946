"""Tells when versions begin to refuse requests because their lines are full: the server is asked for more
than it can do.

Callers are told at once, each of its own request. An operator is told when it begins, and once a minute how
many there were while it goes on.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from penstock.log import Event, failing_into
from penstock.niceness import yield_to_serving
from penstock.repository.states import Loaded
from penstock.repository.view import RepositoryView

LOOK_S = 5.0  # reading the counters of a thousand versions takes some milliseconds
TELL_S = 60.0  # at least, between two lines about one version
_log = logging.getLogger("penstock.repository")


@dataclass(slots=True)
class _Seen:
    """A version as it was at the last look."""

    digest: str
    refused: int = 0
    untold: int = 0  # of those
    since: float = 0.0  # when the untold ones began, at the earliest
    told_at: float = -math.inf


class LineWatch:
    """A thread that looks at the counters of a view's ready versions, from start() to stop()."""

    def __init__(self, view: Callable[[], RepositoryView], *, report: Callable[[Event], None]) -> None:
        self._view = view
        self._report = failing_into(_log, "reporting", report)
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._looked_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="penstock-lines", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it, after a last look: what was refused at the end is told too."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self, now: float, *, last: bool = False) -> list[Event]:
        """What there is to tell, `now` on the monotonic clock. The `last` time, all that is left."""
        events: list[Event] = []
        kept: dict[tuple[str, str], _Seen] = {}
        for model, version, loaded in self._view().ready():
            total = loaded.core.counters()
            refused = total["refused"]
            seen = self._seen.get((model, version))
            if seen is None or seen.digest != loaded.digest or refused < seen.refused:
                seen = _Seen(loaded.digest)  # loaded anew, it counts from 0
            kept[model, version] = seen
            if refused > seen.refused:
                seen.since = seen.since if seen.untold else self._looked_at
                seen.untold += refused - seen.refused
                seen.refused = refused
            if seen.untold and (last or now - seen.told_at >= TELL_S):
                events.append(
                    _refusals(model, version, loaded, seen.untold, now - seen.since, total["waiting"])
                )
                seen.untold, seen.told_at = 0, now
        self._seen, self._looked_at = kept, now
        return events

    def _watch(self) -> None:
        yield_to_serving()
        ends = False
        while not ends:
            ends = self._stopping.wait(LOOK_S)
            for event in self.look(time.monotonic(), last=ends):
                self._report(event)


def _refusals(model: str, version: str, loaded: Loaded, count: int, seconds: float, waiting: int) -> Event:
    most = loaded.schedule.queue_limit
    return Event(
        "requests_refused",
        f"{model}:{version} refused {count:,} request{'' if count == 1 else 's'} within {seconds:.0f} s, as "
        f"its line was full: {most:,} may wait for the pool (pool.queue_limit), {waiting:,} do now",
        model=model,
        version=version,
        count=count,
        seconds=round(seconds, 3),
        waiting=waiting,
        queue_limit=most,
    )
