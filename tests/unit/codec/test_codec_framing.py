"""grpc-timeout and grpc-message, as the gRPC over HTTP/2 specification writes them."""

from __future__ import annotations

import urllib.parse

import pytest
from codec_probe import Probe
from hypothesis import given, settings
from hypothesis import strategies as st

UNITS = {"H": 3600 * 10**9, "M": 60 * 10**9, "S": 10**9, "m": 10**6, "u": 10**3, "n": 1}


@given(amount=st.integers(0, 99_999_999), unit=st.sampled_from(list(UNITS)), digits=st.integers(1, 8))
@settings(max_examples=300, deadline=None)
def test_a_timeout_is_its_amount_in_nanoseconds_and_saturates(
    codec: Probe, amount: int, unit: str, digits: int
) -> None:
    header = f"{amount:0{digits}d}{unit}".encode()
    assert codec.parse_timeout(header) == min(amount * UNITS[unit], 2**63 - 1)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"S",
        b"1",
        b"12",
        b"123456789S",
        b"-1S",
        b"+1S",
        b"1 S",
        b" 1S",
        b"1.5S",
        b"1s",
        b"1h",
        b"1SS",
        b"\xff1S",
    ],
)
def test_a_malformed_timeout_is_none(codec: Probe, header: bytes) -> None:
    assert codec.parse_timeout(header) is None


@given(text=st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_percent_encoding_is_printable_ascii_and_decodes_to_the_same_bytes(codec: Probe, text: bytes) -> None:
    encoded = codec.percent_encode(text)
    assert all(" " <= char <= "~" for char in encoded)
    assert urllib.parse.unquote_to_bytes(encoded) == text


def test_percent_encoding_leaves_printable_text_alone(codec: Probe) -> None:
    assert codec.percent_encode(b"input 'x': [1, 2]!") == "input 'x': [1, 2]!"
    assert codec.percent_encode("100 % größer\n".encode()) == "100 %25 gr%C3%B6%C3%9Fer%0A"
