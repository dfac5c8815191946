"""Requests that a server finds waiting all at once, and how many runs they took."""

from __future__ import annotations

import signal
import time
from typing import Any

from server_process import ServerProcess


def all_at_once(server: ServerProcess, stubs: list[Any], requests: list[Any]) -> list[Any]:
    """Sends while the server stands still, so that it reads them in few turns. Futures."""
    server.signal(signal.SIGSTOP)
    try:
        futures = [stubs[i % len(stubs)].ModelInfer.future(request) for i, request in enumerate(requests)]
        time.sleep(0.03)
    finally:
        server.signal(signal.SIGCONT)
    return futures


class Runs:
    """What a model counts from now on, of requests that were answered and of runs."""

    def __init__(self, stub: Any, messages: Any, model: str) -> None:
        self._ask = lambda: stub.ModelStatistics(messages.ModelStatisticsRequest(name=model)).model_stats[0]
        self._before = self._ask()

    @property
    def requests(self) -> int:
        counted = self._ask().inference_stats.success.count - self._before.inference_stats.success.count
        return int(counted)

    @property
    def rows(self) -> int:
        return int(self._ask().inference_count - self._before.inference_count)

    @property
    def runs(self) -> int:
        return int(self._ask().execution_count - self._before.execution_count)
