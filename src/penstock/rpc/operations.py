"""What the data plane counts, for operators: penstock.v1.Operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from penstock import _proto
from penstock.repository.view import RepositoryView
from penstock.rpc.dispatch import Method

SERVICE = "penstock.v1.Operations"


class Operations:
    """Answers from the present view. `counters` gives what the server counts, by name."""

    def __init__(self, view: Callable[[], RepositoryView], counters: Callable[[], Mapping[str, int]]) -> None:
        self._view = view
        self._counters = counters

    def methods(self) -> dict[str, Method]:
        """By path."""
        return {f"/{SERVICE}/Counters": Method(_proto.CountersRequest, self.counters)}

    def counters(self, request: Any) -> Message:
        """Of the server, and of one version, of a model's ready versions, or of all."""
        versions = [
            _proto.VersionCounters(model=model, version=version, counters=loaded.core.counters())
            for model, version, loaded in self._view().ready(request.model, request.version)
        ]
        found: Message = _proto.CountersResponse(server=self._counters(), versions=versions)
        return found
