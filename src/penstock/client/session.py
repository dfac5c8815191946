"""What every client does, without doing I/O: which calls an operation makes, and what comes of their answers.

An operation is a generator. It yields a Call, is sent the reply (or thrown the StatusError), and returns the
result; Client and AsyncClient only carry the bytes.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from penstock import _proto
from penstock.client import tensors
from penstock.client.answers import (
    InferResult,
    ModelMetadata,
    ModelState,
    Parameter,
    ServerMetadata,
    TensorSpec,
    as_dict,
)
from penstock.client.status import RemoteInputError, RemoteRowError
from penstock.errors import UNAVAILABLE, UNKNOWN, InputError, StatusError
from penstock.fitting import Fitted, fit, split

T = TypeVar("T")

# How a server names a string that is not UTF-8.
_ELEMENT = re.compile(r"(?P<before>input '(?P<input>.*)': element )(?P<number>\d+)(?P<behind> .*)", re.S)


class Method(NamedTuple):
    """An RPC: its path and the class of its reply."""

    path: str
    reply: Any


class Call(NamedTuple):
    """One RPC to make, with the serialized request."""

    method: Method
    request: bytes


Steps = Generator[Call, Any, T]


def _method(name: str, reply: str | None = None) -> Method:
    return Method(f"/inference.GRPCInferenceService/{name}", getattr(_proto, reply or f"{name}Response"))


SERVER_LIVE = _method("ServerLive")
SERVER_READY = _method("ServerReady")
MODEL_READY = _method("ModelReady")
SERVER_METADATA = _method("ServerMetadata")
MODEL_METADATA = _method("ModelMetadata")
MODEL_CONFIG = _method("ModelConfig")
MODEL_STATISTICS = _method("ModelStatistics")
MODEL_INFER = _method("ModelInfer")
MODEL_STREAM_INFER = _method("ModelStreamInfer")
REPOSITORY_INDEX = _method("RepositoryIndex")
MODEL_LOAD = _method("RepositoryModelLoad")
MODEL_UNLOAD = _method("RepositoryModelUnload")
COUNTERS = Method("/penstock.v1.Operations/Counters", _proto.CountersResponse)


def _call(method: Method, request: Any) -> Call:
    return Call(method, request.SerializeToString())


@dataclass(frozen=True, slots=True)
class _Known:
    """A model's metadata as last fetched, and the versions that have answered since."""

    metadata: ModelMetadata
    answered: frozenset[str]
    stale: bool = False  # to be fetched again before the next call


class Session:
    """The operations of one client, and the models' metadata that it remembers between them.

    Threads may share it. What it remembers are immutable entries, which are replaced under a lock that nobody
    holds while a call is under way.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of everything below
        self._known: dict[tuple[str, str], _Known] = {}
        self._changes = 0  # times that a model was loaded or unloaded, and with that forgotten

    def infer(
        self,
        model: str,
        data: Any,
        *,
        version: str,
        outputs: Sequence[str],
        id: str,  # noqa: A002
        parameters: Mapping[str, Parameter] | None,
        max_rows: int | None,
    ) -> Steps[InferResult]:
        """Runs the model on `data`, in parts of at most `max_rows` rows.

        Data that does not fit (here or in the server's eyes) is tried once more when the model's metadata
        turns out to have changed. All parts are answered by the version that answered the first.
        """
        known = self._current(model, version)
        fresh = known is None
        if known is None:
            known = yield from self._fetch(model, version)
        while True:
            try:
                results: list[InferResult] = []
                for before, part in split(_fit(data, known.metadata), max_rows):
                    request = tensors.encode_request(
                        model,
                        results[0].version if results else version,
                        [tensors.tensor(fitted) for fitted in part],
                        outputs=tuple(outputs),
                        id=id,
                        parameters=parameters,
                    )
                    try:
                        reply = yield Call(MODEL_INFER, request)
                    except RemoteInputError as error:
                        raise _of_rows(error, part, before) from None
                    results.append(tensors.decode_response(reply))
                break
            except InputError:
                if fresh:
                    raise
                fresh = True
                renewed = yield from self._fetch(model, version)
                if renewed.metadata.inputs == known.metadata.inputs:
                    raise
                known = renewed
        self._note(model, version, results[0].version)
        return results[0] if len(results) == 1 else _joined(results)

    def _current(self, model: str, version: str) -> _Known | None:
        with self._lock:
            known = self._known.get((model, version))
        return None if known is None or known.stale else known

    def _fetch(self, model: str, version: str) -> Steps[_Known]:
        with self._lock:
            changes, before = self._changes, self._answered(model, version)
        metadata = yield from self.model_metadata(model, version)
        with self._lock:
            answered = self._answered(model, version)
            # Whoever answered another caller meanwhile may be newer than what was fetched.
            known = _Known(metadata, answered, stale=answered != before)
            if self._changes == changes:
                self._known[model, version] = known
        return known

    def _answered(self, model: str, version: str) -> frozenset[str]:
        known = self._known.get((model, version))
        return frozenset() if known is None else known.answered

    def _note(self, model: str, version: str, answered: str) -> None:
        """A version answered. One that had not before may have other inputs than those that were fetched."""
        with self._lock:
            known = self._known.get((model, version))
            if known is not None and answered not in known.answered:
                self._known[model, version] = replace(
                    known,
                    answered=known.answered | {answered},
                    stale=known.stale or bool(known.answered),
                )

    def layout(self, model: str, version: str) -> Steps[ModelMetadata]:
        """The model's metadata, from memory where it is known."""
        known = self._current(model, version)
        if known is None:
            known = yield from self._fetch(model, version)
        return known.metadata

    def is_live(self) -> Steps[bool]:
        """Whether a server answers and says that it lives."""
        try:
            reply = yield _call(SERVER_LIVE, _proto.ServerLiveRequest())
        except StatusError as error:
            return _unreachable(error)
        return bool(reply.live)

    def is_ready(self, model: str | None, version: str) -> Steps[bool]:
        """Whether the server (None) or a model is ready."""
        try:
            if model is None:
                reply = yield _call(SERVER_READY, _proto.ServerReadyRequest())
            else:
                reply = yield _call(MODEL_READY, _proto.ModelReadyRequest(name=model, version=version))
        except StatusError as error:
            return _unreachable(error)
        return bool(reply.ready)

    def server_metadata(self) -> Steps[ServerMetadata]:
        """The server's name, version and extensions."""
        reply = yield _call(SERVER_METADATA, _proto.ServerMetadataRequest())
        return ServerMetadata(reply.name, reply.version, tuple(reply.extensions))

    def model_metadata(self, model: str, version: str) -> Steps[ModelMetadata]:
        """A model's metadata, fetched anew."""
        reply = yield _call(MODEL_METADATA, _proto.ModelMetadataRequest(name=model, version=version))
        return ModelMetadata(
            name=reply.name,
            versions=tuple(reply.versions),
            platform=reply.platform,
            inputs=tuple(TensorSpec(t.name, t.datatype, tuple(t.shape)) for t in reply.inputs),
            outputs=tuple(TensorSpec(t.name, t.datatype, tuple(t.shape)) for t in reply.outputs),
        )

    def model_config(self, model: str, version: str) -> Steps[dict[str, Any]]:
        """A model's configuration, by field name."""
        reply = yield _call(MODEL_CONFIG, _proto.ModelConfigRequest(name=model, version=version))
        return as_dict(reply.config)

    def statistics(self, model: str, version: str) -> Steps[list[dict[str, Any]]]:
        """Counts and durations of each version asked for."""
        reply = yield _call(MODEL_STATISTICS, _proto.ModelStatisticsRequest(name=model, version=version))
        return [as_dict(entry) for entry in reply.model_stats]

    def counters(self, model: str, version: str) -> Steps[dict[str, Any]]:
        """What the server counts, and each version asked for."""
        reply = yield _call(COUNTERS, _proto.CountersRequest(model=model, version=version))
        return {"server": dict(reply.server), "versions": [as_dict(entry) for entry in reply.versions]}

    def index(self, ready: bool) -> Steps[list[ModelState]]:
        """The repository's versions."""
        reply = yield _call(REPOSITORY_INDEX, _proto.RepositoryIndexRequest(ready=ready))
        return [ModelState(entry.name, entry.version, entry.state, entry.reason) for entry in reply.models]

    def load(self, model: str, version: str) -> Steps[None]:
        """Makes the server load; what was known of the model is forgotten."""
        request = _proto.RepositoryModelLoadRequest(model_name=model)
        yield self._change(MODEL_LOAD, request, model, version)

    def unload(self, model: str, version: str) -> Steps[None]:
        """Makes the server unload; what was known of the model is forgotten."""
        request = _proto.RepositoryModelUnloadRequest(model_name=model)
        yield self._change(MODEL_UNLOAD, request, model, version)

    def _change(self, method: Method, request: Any, model: str, version: str) -> Call:
        if version:
            request.parameters["version"].string_param = version
        with self._lock:
            self._changes += 1
            for key in [key for key in self._known if key[0] == model]:
                del self._known[key]
        return _call(method, request)


def stream_request(
    metadata: ModelMetadata, model: str, version: str, data: Any, outputs: Sequence[str]
) -> bytes:
    """One message of a stream, serialized."""
    fitted = _fit(data, metadata)
    return tensors.encode_request(
        model, version, [tensors.tensor(one) for one in fitted], outputs=tuple(outputs)
    )


def _fit(data: Any, metadata: ModelMetadata) -> list[Fitted]:
    # Of Penstock's models these always have columns of names; one with an ONNX model's own inputs, or one of
    # another server, would refuse `features`.
    return fit(data, metadata.inputs, matrix=metadata.platform in ("lightgbm", "forest", "linear"))


def _of_rows(error: RemoteInputError, part: Sequence[Fitted], before: int) -> RemoteInputError:
    """What the server said of a request whose first row is `before` of the caller's data."""
    if isinstance(error, RemoteRowError):
        return error.after(before)
    if not before:
        return error
    element = _ELEMENT.match(str(error))
    if element is not None:
        shape = next(
            (tensor.shape for tensor in part if tensor.name == element["input"] and tensor.batched), (0,)
        )
        number = before * math.prod(shape[1:]) + int(element["number"])
        message = f"{element['before']}{number}{element['behind']}"
        return RemoteInputError(error.status, message)
    rows = max(len(tensor.values) for tensor in part if tensor.batched)
    return RemoteInputError(error.status, f"in rows {before} to {before + rows - 1} of the data: {error}")


def stream_result(reply: Any) -> InferResult | StatusError:
    """What one answer of a stream says. The protocol carries a failure's text but not its status, which is
    UNKNOWN then.
    """
    if reply.error_message:
        return StatusError(UNKNOWN, reply.error_message)
    return tensors.decode_response(reply.infer_response)


def _unreachable(error: StatusError) -> bool:
    """False for a server or version that is not there to answer; raises any other failure."""
    if error.status == UNAVAILABLE:
        return False
    raise error


def _joined(results: Sequence[InferResult]) -> InferResult:
    first = results[0]
    return InferResult(
        {name: np.concatenate([result[name] for result in results]) for name in first},
        model=first.model,
        version=first.version,
        id=first.id,
        parameters=first.parameters,
    )
