"""penstock.v1.Operations: what the server and its versions count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from penstock import _proto
from penstock.errors import UNAVAILABLE, NotFoundError, StatusError
from penstock.repository.states import State
from penstock.repository.view import ModelView, RepositoryView, VersionView
from penstock.rpc.operations import Operations


def version(model: str, number: str, **counters: int) -> VersionView:
    if not counters:
        return VersionView(model, number, State.FAILED, "corrupt", None)
    loaded: Any = SimpleNamespace(core=SimpleNamespace(counters=lambda: counters))
    return VersionView(model, number, State.READY, "", loaded)


DELAY = {"1": version("delay", "1", waiting=3, refused=7), "2": version("delay", "2")}
FARE = {"1": version("fare", "1", waiting=0, refused=0)}
VIEW = RepositoryView({"delay": ModelView("delay", "1", {}, DELAY), "fare": ModelView("fare", "1", {}, FARE)})


def ask(**asked: str) -> Any:
    """Through bytes, as the data plane does."""
    operations = Operations(lambda: VIEW, lambda: {"pool_waiting": 3, "pool_running": 1})
    method = operations.methods()["/penstock.v1.Operations/Counters"]
    reply = method.reply(_proto.CountersRequest(**asked).SerializeToString())
    return _proto.CountersResponse.FromString(reply)


def test_counters_are_of_the_server_and_of_every_ready_version() -> None:
    reply = ask()
    assert dict(reply.server) == {"pool_waiting": 3, "pool_running": 1}
    assert [(entry.model, entry.version, dict(entry.counters)) for entry in reply.versions] == [
        ("delay", "1", {"waiting": 3, "refused": 7}),
        ("fare", "1", {"waiting": 0, "refused": 0}),
    ]


def test_counters_are_of_one_model_or_of_one_version() -> None:
    assert [entry.model for entry in ask(model="fare").versions] == ["fare"]
    assert [entry.version for entry in ask(model="delay", version="1").versions] == ["1"]
    with pytest.raises(NotFoundError):
        ask(model="other")
    with pytest.raises(StatusError, match="corrupt") as refused:
        ask(model="delay", version="2")
    assert refused.value.status == UNAVAILABLE
