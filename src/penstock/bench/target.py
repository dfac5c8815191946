"""Where the generator connects to: an address as gRPC writes it, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.errors import ConfigError

_HOST_PORT = re.compile(r"(?P<host>\[[^\]]+\]|[^/:\s]+):(?P<port>\d{1,5})")
_TLS = ("https://", "grpcs://")


@dataclass(frozen=True, slots=True)
class Target:
    """A server's address: a host and port, or the path of a Unix socket."""

    address: str
    host: str = ""
    port: str = ""
    unix_path: str = ""

    @property
    def authority(self) -> str:
        """What requests say in `:authority`."""
        if self.unix_path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @staticmethod
    def of(address: str) -> Target:
        """HOST:PORT, [IPV6]:PORT or unix:PATH, also with gRPC's dns:, ipv4: or ipv6: before it.

        ConfigError for anything else, TLS among it.
        """
        if address.startswith(_TLS):
            raise ConfigError(
                f"the address '{address}' asks for TLS, which the load generator does not speak. "
                "Measure the server's port without TLS."
            )
        if address.startswith("unix:") and (path := address.removeprefix("unix:").removeprefix("//")):
            return Target(address, unix_path=path)
        plain = re.sub(r"^(dns:(///)?|ipv4:|ipv6:)", "", address)
        found = _HOST_PORT.fullmatch(plain)
        if found is None or int(found["port"]) > 65535:
            raise ConfigError(
                f"the address '{address}' cannot be used: expected HOST:PORT or unix:/path/of/socket"
            )
        return Target(address, host=found["host"].strip("[]"), port=found["port"])
