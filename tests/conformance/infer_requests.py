"""ModelInferRequests by hand, for clients that speak the protocol without tritonclient."""

from __future__ import annotations

from typing import Any

import numpy as np

from sample_bundles import NUMPY

FIELD = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}

Array = np.ndarray[Any, Any]


def raw_bytes(values: Array) -> bytes:
    """As `raw_input_contents` has it."""
    if values.dtype != object:
        return values.tobytes()
    return b"".join(len(item).to_bytes(4, "little") + item for item in values.reshape(-1).tolist())


def add_raw(request: Any, name: str, datatype: str, values: Array) -> None:
    request.inputs.add(name=name, datatype=datatype, shape=values.shape)
    request.raw_input_contents.append(raw_bytes(values))


def add_typed(request: Any, name: str, datatype: str, values: Array) -> None:
    made = request.inputs.add(name=name, datatype=datatype, shape=values.shape)
    getattr(made.contents, FIELD[datatype]).extend(values.reshape(-1).tolist())


def raw_output(response: Any, name: str) -> Array:
    """An output of numbers out of `raw_output_contents`."""
    index = [output.name for output in response.outputs].index(name)
    output = response.outputs[index]
    return np.frombuffer(response.raw_output_contents[index], NUMPY[output.datatype]).reshape(output.shape)


def network_request(messages: Any, rows: int = 1, seed: int = 0) -> tuple[Any, Array]:
    """A good request for the sample `network`, and its numbers."""
    x = np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)
    request = messages.ModelInferRequest(model_name="network")
    add_raw(request, "x", "FP32", x)
    return request, x


def loop_request(messages: Any, rounds: int) -> Any:
    """A request that keeps the server busy: about a microsecond a round."""
    request = messages.ModelInferRequest(model_name="loop")
    add_raw(request, "rounds", "INT64", np.array([rounds]))
    return request
