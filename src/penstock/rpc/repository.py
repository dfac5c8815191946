"""The model repository's RPCs: RepositoryIndex, RepositoryModelLoad, RepositoryModelUnload."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from penstock import _proto
from penstock.errors import INVALID_ARGUMENT, RefusedError, StatusError
from penstock.repository.lifecycle import Lifecycle
from penstock.repository.states import State
from penstock.rpc.dispatch import Method
from penstock.rpc.inference import SERVICE

# Triton's clients know READY, LOADING, UNLOADING and UNAVAILABLE; a failed version is the last, with its
# reason.
_INDEX_STATES = {State.FAILED: "UNAVAILABLE"}


class RepositoryControl:
    """Answers from a lifecycle. Loading and unloading are refused unless `allow_changes`."""

    def __init__(self, lifecycle: Lifecycle, *, allow_changes: bool) -> None:
        self._lifecycle = lifecycle
        self._allow_changes = allow_changes

    def methods(self) -> dict[str, Method]:
        """By path."""
        return {
            f"/{SERVICE}/RepositoryIndex": Method(_proto.RepositoryIndexRequest, self.index),
            f"/{SERVICE}/RepositoryModelLoad": Method(
                _proto.RepositoryModelLoadRequest, self.load, slow=True
            ),
            # Not slow: it waits for nothing, and what is unloaded to make room must not wait behind loads.
            f"/{SERVICE}/RepositoryModelUnload": Method(_proto.RepositoryModelUnloadRequest, self.unload),
        }

    def index(self, request: Any) -> Message:
        """Every version on disk or in service, its state and why."""
        _check_repository(request)
        entry = _proto.RepositoryIndexResponse.ModelIndex
        found: Message = _proto.RepositoryIndexResponse(
            models=[
                entry(
                    name=seen.model,
                    version=seen.version,
                    state=_INDEX_STATES.get(seen.state, seen.state.value),
                    reason=seen.reason,
                )
                for seen in self._lifecycle.view.versions()
                if seen.state is State.READY or not request.ready
            ]
        )
        return found

    def load(self, request: Any) -> Message:
        """Answers when the model, or the version that the parameter `version` names, is ready or failed."""
        version = self._permitted(request, "RepositoryModelLoad", {"version"})
        self._lifecycle.load(request.model_name, version)
        done: Message = _proto.RepositoryModelLoadResponse()
        return done

    def unload(self, request: Any) -> Message:
        """Answers when no new request reaches the model, or the version in the parameter `version`."""
        # Penstock serves no ensembles, so the clients' flag about a model's dependents has nothing to do.
        version = self._permitted(request, "RepositoryModelUnload", {"version", "unload_dependents"})
        self._lifecycle.unload(request.model_name, version)
        done: Message = _proto.RepositoryModelUnloadResponse()
        return done

    def _permitted(self, request: Any, method: str, known: set[str]) -> str:
        """The version that a request names, "" for none, if it may be carried out."""
        if not self._allow_changes:
            raise RefusedError(
                f"{method} is not allowed on this port; set repository.allow_load_unload = true to allow it"
            )
        _check_repository(request)
        unknown = sorted(set(request.parameters) - known)
        if unknown:
            raise StatusError(
                INVALID_ARGUMENT, f"{method} has no parameter '{unknown[0]}'; it takes {sorted(known)}"
            )
        if "version" not in request.parameters:
            return ""
        parameter = request.parameters["version"]
        if parameter.WhichOneof("parameter_choice") != "string_param" or not parameter.string_param:
            raise StatusError(
                INVALID_ARGUMENT, f"the parameter 'version' of {method} must be a string that is not empty"
            )
        return str(parameter.string_param)


def _check_repository(request: Any) -> None:
    if request.repository_name:
        raise StatusError(
            INVALID_ARGUMENT,
            f"repository_name '{request.repository_name}': this server has one repository, without a name",
        )
