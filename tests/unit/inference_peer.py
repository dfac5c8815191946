"""A grpcio server of the protocol's messages for the client's tests: independent of Penstock's own server."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from penstock import _proto

SERVICE = "inference.GRPCInferenceService"


def strings(raw: bytes) -> list[bytes]:
    """The elements of a raw BYTES tensor, read the plain way."""
    found, at = [], 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return found


@dataclass
class PeerServer:
    """Serves `delay`: total = a + b for each row, and label = the string column, upside down in case.

    Tests change `inputs` and `version` to play a server whose model changes.
    """

    inputs: list[tuple[str, str, list[int]]] = field(
        default_factory=lambda: [("a", "FP32", [-1]), ("b", "FP64", [-1]), ("word", "BYTES", [-1])]
    )
    version: str = "1"
    requests: list[Any] = field(default_factory=list)
    metadata_requests: int = 0
    metadata: list[tuple[str, str]] = field(default_factory=list)
    wait: Any = None
    metadata_takes_s: float = 0.0
    stream_time_left_s: float | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    parameters: dict[str, str] = field(default_factory=dict)  # of the configuration, beside the usual

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata_requests += 1
        if self.metadata_takes_s:
            self.ended.wait(self.metadata_takes_s)
        if request.name != "delay":
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model '{request.name}'; there is: delay")
        reply = _proto.ModelMetadataResponse(name="delay", versions=[self.version], platform="test")
        for name, datatype, shape in self.inputs:
            reply.inputs.add(name=name, datatype=datatype, shape=shape)
        reply.outputs.add(name="total", datatype="FP64", shape=[-1])
        return reply

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        self.metadata = list(context.invocation_metadata())
        if self.wait is not None:
            self.wait.wait()
        try:
            return self.answer(request)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def ModelStreamInfer(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        left = context.time_remaining()
        self.stream_time_left_s = None if left is None or left > 1e6 else left
        for request in requests:
            try:
                yield _proto.ModelStreamInferResponse(infer_response=self.answer(request))
            except ValueError as error:
                yield _proto.ModelStreamInferResponse(error_message=str(error))

    def answer(self, request: Any) -> Any:
        sent = [(tensor.name, tensor.datatype) for tensor in request.inputs]
        known = [(name, datatype) for name, datatype, _ in self.inputs]
        if sent != known and [name for name, _ in sent] != ["features"]:
            raise ValueError(f"got the inputs {sent}; expected {known}")
        reply = _proto.ModelInferResponse(model_name="delay", model_version=self.version, id=request.id)
        reply.parameters["penstock_arm"].string_param = "stable"
        reply.parameters["penstock_digest"].string_param = "d1"
        numbers: list[np.ndarray[Any, Any]] = []
        words: list[bytes] | None = None
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
            if tensor.datatype == "BYTES":
                words = strings(raw)
            else:
                array = np.frombuffer(raw, {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8"}[tensor.datatype])
                numbers.append(array.reshape(tensor.shape).astype("f8"))
        total = (
            numbers[0].sum(axis=1)
            if numbers[0].ndim == 2 and numbers[0].shape[1] > 1
            else np.sum(numbers, axis=0)
        )
        if words is not None and b"no" in words:
            raise ValueError(f'one_hot(word) refused row {words.index(b"no")}: "no"')
        if np.any(total < 0):
            raise ValueError("input 'a' is negative")
        outputs = {"total": ("FP64", total)} | ({} if words is None else {"label": ("BYTES", words)})
        for name, (datatype, value) in outputs.items():
            if request.outputs and name not in [output.name for output in request.outputs]:
                continue
            reply.outputs.add(name=name, datatype=datatype, shape=[len(value)])
            raw = (
                b"".join(struct.pack("<I", len(w)) + w.swapcase() for w in value)
                if datatype == "BYTES"
                else np.ascontiguousarray(value).tobytes()
            )
            reply.raw_output_contents.append(raw)
        return reply

    def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return _proto.ServerLiveResponse(live=True)

    def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return _proto.ServerReadyResponse(ready=True)

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name != "delay":
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model '{request.name}'")
        return _proto.ModelReadyResponse(ready=request.version in ("", self.version))

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return _proto.ServerMetadataResponse(name="peer", version="9", extensions=["statistics"])

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        reply = _proto.ModelConfigResponse()
        reply.config.name = request.name
        reply.config.max_batch_size = 4
        reply.config.input.add(name="a", data_type=11, dims=[-1])
        reply.config.parameters["penstock_version"].string_value = self.version
        aliases = f'{{"good one": "{self.version}", "champion": "{self.version}"}}'
        reply.config.parameters["penstock_aliases"].string_value = aliases
        for name, value in self.parameters.items():
            reply.config.parameters[name].string_value = value
        return reply

    def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        reply = _proto.ModelStatisticsResponse()
        entry = reply.model_stats.add(name="delay", version=self.version, inference_count=2**40)
        entry.inference_stats.success.count = 3
        return reply

    def Counters(self, request: Any, context: Any) -> Any:  # noqa: N802
        reply = _proto.CountersResponse(
            server={"pool_waiting": 3, "pool_running": 1, "open_connections": 2, "open_streams": 1200}
        )
        names = ("requests", "rows", "executions", "failures", "waiting", "refused", "expired", "cancelled")
        counters = {name: 1000 + number for number, name in enumerate(names)}
        if request.model in ("", "delay"):
            reply.versions.add(model="delay", version=self.version, counters=counters)
        return reply

    def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        reply = _proto.RepositoryIndexResponse()
        reply.models.add(name="delay", version=self.version, state="READY")
        if not request.ready:
            reply.models.add(
                name="delay", version="0", state="UNAVAILABLE", reason="digest of model.txt differs"
            )
        return reply

    def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        return _proto.RepositoryModelLoadResponse()

    def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        context.abort(
            grpc.StatusCode.PERMISSION_DENIED, "unloading is not allowed; set repository.allow_load_unload"
        )


UNARY = [
    "ModelMetadata",
    "ModelInfer",
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
]


def started(peer: PeerServer, address: str) -> tuple[Any, int]:
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(peer, name),
            getattr(_proto, f"{name}Request").FromString,
            getattr(_proto, f"{name}Response").SerializeToString,
        )
        for name in UNARY
    }
    handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        peer.ModelStreamInfer,
        _proto.ModelInferRequest.FromString,
        _proto.ModelStreamInferResponse.SerializeToString,
    )
    counters = grpc.unary_unary_rpc_method_handler(
        peer.Counters, _proto.CountersRequest.FromString, _proto.CountersResponse.SerializeToString
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, handlers),
            grpc.method_handlers_generic_handler("penstock.v1.Operations", {"Counters": counters}),
        )
    )
    port = server.add_insecure_port(address)
    server.start()
    return server, port
