from __future__ import annotations

from typing import Any

import pytest

from penstock import _proto
from penstock.errors import INVALID_ARGUMENT, BundleError, RefusedError, StatusError
from penstock.repository.states import State
from penstock.repository.view import ModelView, RepositoryView, VersionView
from penstock.rpc.repository import RepositoryControl


class Lifecycle:
    """Records what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        states = {
            "1": State.FAILED,
            "2": State.READY,
            "3": State.LOADING,
            "4": State.UNLOADING,
            "5": State.UNAVAILABLE,
        }
        versions = {
            name: VersionView("delay", name, state, "" if state is State.READY else f"why {name}", None)
            for name, state in states.items()
        }
        self.view = RepositoryView({"delay": ModelView("delay", "2", {}, versions)})

    def load(self, model: str, version: str) -> None:
        self.asked.append(("load", model, version))
        if version == "13":
            raise BundleError("model.txt has the wrong digest")

    def unload(self, model: str, version: str) -> None:
        self.asked.append(("unload", model, version))


def control(*, allow: bool = True) -> tuple[RepositoryControl, Lifecycle]:
    lifecycle = Lifecycle()
    return RepositoryControl(lifecycle, allow_changes=allow), lifecycle  # type: ignore[arg-type]


def request(kind: Any, **parameters: Any) -> Any:
    made = kind(model_name="delay")
    for name, value in parameters.items():
        field = {str: "string_param", int: "int64_param", bool: "bool_param"}[type(value)]
        setattr(made.parameters[name], field, value)
    return made


LOAD, UNLOAD = _proto.RepositoryModelLoadRequest, _proto.RepositoryModelUnloadRequest


def test_the_index_lists_every_version_with_its_state_and_why() -> None:
    reply = control()[0].index(_proto.RepositoryIndexRequest())
    assert [(m.name, m.version, m.state, m.reason) for m in reply.models] == [
        ("delay", "1", "UNAVAILABLE", "why 1"),
        ("delay", "2", "READY", ""),
        ("delay", "3", "LOADING", "why 3"),
        ("delay", "4", "UNLOADING", "why 4"),
        ("delay", "5", "UNAVAILABLE", "why 5"),
    ]


def test_the_index_can_be_of_ready_versions_only() -> None:
    reply = control()[0].index(_proto.RepositoryIndexRequest(ready=True))
    assert [m.version for m in reply.models] == ["2"]


def test_load_and_unload_take_a_model_and_a_version_as_a_string_parameter() -> None:
    rpcs, lifecycle = control()
    rpcs.load(request(LOAD))
    rpcs.load(request(LOAD, version="2"))
    rpcs.unload(request(UNLOAD, unload_dependents=False))
    rpcs.unload(request(UNLOAD, version="2"))
    assert lifecycle.asked == [
        ("load", "delay", ""),
        ("load", "delay", "2"),
        ("unload", "delay", ""),
        ("unload", "delay", "2"),
    ]


def test_a_load_that_fails_is_answered_with_its_own_reason() -> None:
    with pytest.raises(BundleError, match="wrong digest"):
        control()[0].load(request(LOAD, version="13"))


def test_without_permission_nothing_is_done_and_the_setting_is_named() -> None:
    rpcs, lifecycle = control(allow=False)
    with pytest.raises(RefusedError, match=r"repository\.allow_load_unload"):
        rpcs.load(request(LOAD))
    with pytest.raises(RefusedError, match=r"repository\.allow_load_unload"):
        rpcs.unload(request(UNLOAD))
    assert lifecycle.asked == []


@pytest.mark.parametrize("parameters", [{"version": 2}, {"version": ""}, {"config": "{}"}])
def test_parameters_that_mean_nothing_here_are_refused(parameters: dict[str, Any]) -> None:
    rpcs, lifecycle = control()
    with pytest.raises(StatusError, match=next(iter(parameters))) as refused:
        rpcs.load(request(LOAD, **parameters))
    assert refused.value.status == INVALID_ARGUMENT
    assert lifecycle.asked == []


def test_another_repository_than_the_one_there_is_is_refused() -> None:
    with pytest.raises(StatusError, match="one repository"):
        control()[0].index(_proto.RepositoryIndexRequest(repository_name="other"))
