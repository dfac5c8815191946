"""What a server says before it is put under load, over grpcio: a model's metadata, and one answer to each
request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc

from penstock.bench.bodies import Body
from penstock.bench.load import INFER
from penstock.client import Client
from penstock.client.answers import ModelMetadata
from penstock.client.channel import OPTIONS
from penstock.client.status import status_error
from penstock.errors import UNIMPLEMENTED, InputError, StatusError


def metadata_of(client: Client, model: str, version: str) -> ModelMetadata:
    """What the model takes. InputError where the server does not know ModelMetadata."""
    try:
        return client.model_metadata(model, version)
    except StatusError as error:
        if error.status == UNIMPLEMENTED:
            raise InputError(
                "the server does not tell a model's metadata; give a whole request as a file"
            ) from error
        raise


def answered(
    address: str,
    bodies: Sequence[Body],
    *,
    timeout: float = 60.0,
    metadata: Sequence[tuple[str, str]] = (),
    method: str = INFER,
) -> list[Body]:
    """The bodies, each with the answer that the server gave to it now.

    StatusError, in the server's words, where it refuses one: a load of refusals would measure nothing.
    """
    sent = tuple((name.lower(), value) for name, value in metadata) or None
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        ask: Any = channel.unary_unary(method)
        try:
            return [
                replace(
                    body,
                    answers=(bytes(ask(body.message, timeout=timeout, metadata=sent)),),
                )
                for body in bodies
            ]
        except grpc.RpcError as error:
            raise status_error(error.code().value[0], error.details() or "", address) from None
