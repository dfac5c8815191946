"""Addresses, and what a load asks for that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.bench import Load, measure
from penstock.bench.load import grpc_timeout
from penstock.bench.target import Target
from penstock.errors import ConfigError, StatusError


@pytest.mark.parametrize(
    ("address", "host", "port", "path"),
    [
        ("localhost:8001", "localhost", "8001", ""),
        ("dns:///model.example:80", "model.example", "80", ""),
        ("dns:model.example:80", "model.example", "80", ""),
        ("ipv4:10.0.0.1:9", "10.0.0.1", "9", ""),
        ("[::1]:8001", "::1", "8001", ""),
        ("ipv6:[::1]:8001", "::1", "8001", ""),
        ("unix:/run/penstock.sock", "", "", "/run/penstock.sock"),
        ("unix:///run/penstock.sock", "", "", "/run/penstock.sock"),
    ],
)
def test_addresses_are_taken_as_grpc_writes_them(address: str, host: str, port: str, path: str) -> None:
    assert Target.of(address) == Target(address, host, port, path)


def test_the_authority_is_the_host_and_port_as_urls_write_them() -> None:
    found = [Target.of(address).authority for address in ("a:1", "ipv6:[::1]:8001", "unix:/x")]
    assert found == ["a:1", "[::1]:8001", "localhost"]


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", ":80", "a:99999", "http://a:80", "unix:", "a b:1", "::1:80"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT or unix:/path"):
        Target.of(address)


@pytest.mark.parametrize("address", ["https://model.example:443", "grpcs://model.example:443"])
def test_tls_is_refused_by_name(address: str) -> None:
    with pytest.raises(ConfigError, match="asks for TLS"):
        Target.of(address)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 0}, "rate is 0"),
        ({"rate": -1}, "rate is -1"),
        ({"connections": 0}, "connections is 0"),
        ({"streams": 0}, "streams is 0"),
        ({"threads": 9}, "8 connections for 9 threads"),
        ({"schedule": "bursts"}, "schedule is 'bursts'"),
        ({"seconds": -1}, "seconds is -1"),
        ({"deadline": 0}, "deadline is 0"),
        ({"metadata": [(":path", "/x")]}, "':path' is no name"),
        ({"metadata": [("a b", "x")]}, "'a b' is no name"),
        ({"metadata": [("x-bin", "x")]}, "'x-bin' names binary metadata"),
        ({"metadata": [("grpc-timeout", "1S")]}, "'grpc-timeout' is gRPC's own"),
        ({"metadata": [("a", "two\nlines")]}, "value of the metadata 'a'"),
        ({"metadata": [("a", "\u00fc")]}, "value of the metadata 'a'"),
    ],
)
def test_loads_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Load(**options)


def test_a_load_needs_a_request() -> None:
    with pytest.raises(ConfigError, match="needs a request"):
        measure("localhost:1", [])


def test_nobody_at_the_address_is_said() -> None:
    with pytest.raises(StatusError, match=r"127\.0\.0\.1:1: Connection refused"):
        measure("127.0.0.1:1", b"x")


@given(st.floats(1e-6, 9.9e8))
def test_a_deadline_is_told_in_at_most_eight_digits_and_never_too_short(seconds: float) -> None:
    text = grpc_timeout(seconds)
    assert len(text) <= 9
    per_second = {"n": 1e9, "u": 1e6, "m": 1e3, "S": 1.0}[text[-1]]
    told = int(text[:-1]) / per_second
    if seconds <= 99_999_999:
        assert seconds * (1 - 1e-9) <= told <= seconds * (1 + 1e-4) + 1e-9
