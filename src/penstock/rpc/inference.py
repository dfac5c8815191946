"""What a server and its models are: ServerMetadata, ModelMetadata, ModelConfig, ModelStatistics."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from google.protobuf.message import Message

import penstock
from penstock import _proto, contributions
from penstock.repository.states import Loaded
from penstock.repository.view import RepositoryView
from penstock.rpc.dispatch import Method

SERVICE = "inference.GRPCInferenceService"
# As Triton names them; what is listed here is served.
EXTENSIONS = ("model_repository", "model_configuration", "statistics", "schedule_policy", "parameters")

_BACKENDS = {
    "onnx": ("onnxruntime_onnx", "onnxruntime"),
    "lightgbm": ("lightgbm", "lightgbm"),
    "forest": ("forest", "penstock"),
    "linear": ("linear", "penstock"),
}  # platform, backend
_ELEMENT_BYTES = {
    **dict.fromkeys(("BOOL", "INT8", "UINT8"), 1),
    **dict.fromkeys(("INT16", "UINT16", "FP16", "BF16"), 2),
    **dict.fromkeys(("INT32", "UINT32", "FP32", "BYTES"), 4),  # a string takes at least its length
    **dict.fromkeys(("INT64", "UINT64", "FP64"), 8),
}

Spec = tuple[str, str, tuple[int, ...]]


class ModelInformation:
    """Answers from the present view. `max_message_bytes` bounds a batch where the model does not."""

    def __init__(self, view: Callable[[], RepositoryView], *, max_message_bytes: int) -> None:
        self._view = view
        self._max_message_bytes = max_message_bytes

    def methods(self) -> dict[str, Method]:
        """By path."""
        return {
            f"/{SERVICE}/ServerMetadata": Method(_proto.ServerMetadataRequest, self.server_metadata),
            f"/{SERVICE}/ModelMetadata": Method(_proto.ModelMetadataRequest, self.model_metadata),
            f"/{SERVICE}/ModelConfig": Method(_proto.ModelConfigRequest, self.model_config),
            f"/{SERVICE}/ModelStatistics": Method(_proto.ModelStatisticsRequest, self.model_statistics),
        }

    def server_metadata(self, request: Any) -> Message:
        """The server's name, version and extensions."""
        return _message(
            _proto.ServerMetadataResponse,
            name="penstock",
            version=penstock.__version__,
            extensions=EXTENSIONS,
        )

    def model_metadata(self, request: Any) -> Message:
        """Inputs and outputs as they travel; the rows are the first dimension, -1."""
        view = self._view()
        _, loaded = view.resolve(request.name, request.version)
        tensor = _proto.ModelMetadataResponse.TensorMetadata
        return _message(
            _proto.ModelMetadataResponse,
            name=request.name,
            versions=view.model(request.name).ready_versions(),
            platform=_platform(loaded)[0],
            inputs=[
                tensor(name=name, datatype=dtype, shape=shape) for name, dtype, shape in loaded.core.inputs
            ],
            outputs=[
                tensor(name=name, datatype=dtype, shape=shape) for name, dtype, shape in loaded.core.outputs
            ],
        )

    def model_config(self, request: Any) -> Message:
        """The model in Triton's terms, for its clients. Its parameters have the version, the aliases, what
        runs the model and how its requests are scheduled; of a forest, what it is; of a model that gives
        contributions, what they are of.

        Where every tensor has rows as its first dimension, max_batch_size is the most rows of one request and
        `dims` leave the rows out, so that [max_batch_size] + dims is always a shape of the metadata. A column
        of shape [n] thus has no dims at all. Triton's own configuration files would write dims [1] and
        reshape them to []; but then what a client computes for an output, [n, 1], is not what it gets, [n].
        Triton's load generator takes shapes from the metadata and leaves the first dimension out when
        max_batch_size is positive, so it sends [n] here, which is right.
        """
        view = self._view()
        version, loaded = view.resolve(request.name, request.version)
        platform, backend = _platform(loaded)
        inputs: Sequence[Spec] = loaded.core.inputs
        outputs: Sequence[Spec] = loaded.core.outputs
        batched = all(shape and shape[0] == -1 for _, _, shape in [*inputs, *outputs])
        skip = 1 if batched else 0
        config = _proto.ModelConfig(
            name=request.name,
            platform=platform,
            backend=backend,
            max_batch_size=self._most_rows(loaded) if batched else 0,
            input=[
                _proto.ModelInput(name=name, data_type=_config_type(dtype), dims=shape[skip:])
                for name, dtype, shape in inputs
            ],
            output=[
                _proto.ModelOutput(name=name, data_type=_config_type(dtype), dims=shape[skip:])
                for name, dtype, shape in outputs
            ],
            default_model_filename=loaded.manifest.model.file,
        )
        config.parameters["penstock_version"].string_value = version
        config.parameters["penstock_digest"].string_value = loaded.digest
        config.parameters["penstock_executor"].string_value = loaded.description
        if loaded.forest is not None:
            config.parameters["penstock_forest"].string_value = json.dumps(asdict(loaded.forest))
        if any(name == contributions.OUTPUT for name, _, _ in loaded.core.optional_outputs):
            names = json.dumps(loaded.matrix_columns, ensure_ascii=False)
            config.parameters["penstock_contributions"].string_value = names
        if loaded.schedule is not None:
            config.parameters["penstock_schedule"].string_value = json.dumps(asdict(loaded.schedule))
        aliases = dict(sorted(view.model(request.name).aliases.items()))
        config.parameters["penstock_aliases"].string_value = json.dumps(aliases)
        return _message(_proto.ModelConfigResponse, config=config)

    def model_statistics(self, request: Any) -> Message:
        """Counters since load: of one version, of a model's ready versions, or of all."""
        chosen = self._view().ready(request.name, request.version)
        return _message(_proto.ModelStatisticsResponse, model_stats=[_statistics(*one) for one in chosen])

    def _most_rows(self, loaded: Loaded) -> int:
        """The bundle's limit; without one, as many rows as a message could hold."""
        limit = int(loaded.manifest.max_rows)
        if limit:
            return min(limit, 2**31 - 1)
        row = sum(_row_bytes(dtype, shape) for _, dtype, shape in loaded.core.inputs)
        return max(1, self._max_message_bytes // max(1, row))


def _message(kind: Any, **fields: Any) -> Message:
    made: Message = kind(**fields)
    return made


def _platform(loaded: Loaded) -> tuple[str, str]:
    kind = str(loaded.manifest.model.kind)
    return _BACKENDS.get(kind, (kind, kind))


def _config_type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def _row_bytes(datatype: str, shape: Sequence[int]) -> int:
    elements = 1
    for dimension in shape[1:]:
        elements *= max(1, dimension)
    return elements * _ELEMENT_BYTES[datatype]


def _statistics(model: str, version: str, loaded: Loaded) -> Message:
    """In Triton's sense: inference_count is rows, execution_count runs of the model, the durations count
    requests: of those that share a run, each has all of it. `queue` is the wait from a request's arrival to
    its turn, on the loop or in the pool. `batch_stats` count runs, by a power of two that their rows do not
    exceed. Of `response_stats`, the key of a model that answers once is "0". What Triton has no field for is
    in penstock.v1.Operations.
    """
    total = loaded.core.counters()
    answered = total["requests"]
    duration = _proto.StatisticDuration
    return _message(
        _proto.ModelStatistics,
        name=model,
        version=version,
        last_inference=total["last_unix_ms"],
        inference_count=total["rows"],
        execution_count=total["executions"],
        inference_stats=_proto.InferStatistics(
            success=duration(count=answered, ns=total["request_ns"]),
            fail=duration(count=total["failures"], ns=total["failure_ns"]),
            queue=duration(count=answered, ns=total["queue_ns"]),
            compute_input=duration(count=answered, ns=total["decode_ns"] + total["transform_ns"]),
            compute_infer=duration(count=answered, ns=total["execute_ns"]),
            compute_output=duration(count=answered, ns=total["encode_ns"]),
        ),
        batch_stats=[
            _proto.InferBatchStatistics(
                batch_size=rows,
                compute_input=duration(count=runs, ns=transform_ns),
                compute_infer=duration(count=runs, ns=execute_ns),
                compute_output=duration(count=runs, ns=encode_ns),
            )
            for rows, runs, transform_ns, execute_ns, encode_ns in loaded.core.runs()
        ],
        response_stats={
            "0": _proto.InferResponseStatistics(
                success=duration(count=answered, ns=total["request_ns"]),
                fail=duration(count=total["failures"], ns=total["failure_ns"]),
                cancel=duration(count=total["cancelled"]),
            )
        },
    )
