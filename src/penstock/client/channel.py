"""The gRPC channel of a client: which addresses are taken, and with which options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from penstock.errors import ConfigError

Metadata = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]

_ADDRESS = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6|vsock):.+|[^/]+:\d+")

OPTIONS: tuple[tuple[str, int | str], ...] = (
    # Proxies named in the environment are meant for the web; a model server is addressed directly.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    # The server's limit is the one that counts.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC servers take more than one ping in five minutes for abuse. With keepalive on, grpcio also sets
    # TCP_USER_TIMEOUT to the second value, which finds a dead peer much sooner.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A restarted server is found again within a moment, not within grpcio's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A connection of its own for each client: grpcio would share one among all clients of a process.
    ("grpc.use_local_subchannel_pool", 1),
)


def checked_address(address: str) -> str:
    """The address as gRPC takes it. ConfigError for one that it would misread, such as a URL or a host
    without a port.
    """
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(
            f"the address '{address}' cannot be used: expected HOST:PORT or unix:/path/of/socket"
        )
    return address


def metadata_pairs(metadata: Metadata | None) -> tuple[tuple[str, str | bytes], ...] | None:
    """Request metadata as gRPC takes it, from a mapping or from pairs; None for none."""
    if metadata is None:
        return None
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
    return tuple((key, value) for key, value in pairs)
