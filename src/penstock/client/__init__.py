"""The Python client of the callers' port, for ordinary code and for asyncio.

`tensors` turns arrays into the protocol's bytes and back, `layout` fits a caller's data to a model's inputs,
`session` says which calls an operation makes; `sync` and `aio` carry them over grpcio.
"""

from penstock.client.aio import AsyncClient
from penstock.client.answers import InferResult, ModelMetadata, ModelState, ServerMetadata, TensorSpec
from penstock.client.sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "InferResult",
    "ModelMetadata",
    "ModelState",
    "ServerMetadata",
    "TensorSpec",
]
