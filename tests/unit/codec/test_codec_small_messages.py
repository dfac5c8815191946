"""Readiness and health messages, against Google's protobuf."""

from __future__ import annotations

import struct

import pytest
from codec_probe import Probe, StatusError
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import _proto

thorough = settings(max_examples=300, deadline=None)


@given(
    message=st.binary(max_size=24)
    | st.tuples(st.text(), st.text()).map(
        lambda texts: _proto.ModelReadyRequest(name=texts[0], version=texts[1]).SerializeToString()
    )
)
@thorough
def test_model_ready_request_is_read_as_protobuf_reads_it(codec: Probe, message: bytes) -> None:
    try:
        expected = _proto.ModelReadyRequest.FromString(message)
    except DecodeError:
        with pytest.raises(StatusError, match=r"ModelReadyRequest") as caught:
            codec.model_ready(message)
        assert caught.value.code == 3
        return
    assert codec.model_ready(message) == (expected.name, expected.version)


@given(
    message=st.binary(max_size=24)
    | st.text().map(lambda text: _proto.HealthCheckRequest(service=text).SerializeToString())
)
@thorough
def test_health_check_request_is_read_as_protobuf_reads_it(codec: Probe, message: bytes) -> None:
    try:
        expected = _proto.HealthCheckRequest.FromString(message)
    except DecodeError:
        with pytest.raises(StatusError, match=r"HealthCheckRequest"):
            codec.health_check(message)
        return
    assert codec.health_check(message) == expected.service


def unframed(reply: bytes) -> bytes:
    assert reply[:5] == struct.pack(">BI", 0, len(reply) - 5)
    return reply[5:]


@pytest.mark.parametrize("ready", [True, False])
def test_readiness_replies(codec: Probe, ready: bool) -> None:
    message = unframed(codec.framed_ready(ready))
    assert message == _proto.ModelReadyResponse(ready=ready).SerializeToString()
    assert _proto.ServerLiveResponse.FromString(message).live is ready
    assert _proto.ServerReadyResponse.FromString(message).ready is ready


@pytest.mark.parametrize("status", ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"])
def test_health_replies(codec: Probe, status: str) -> None:
    number = _proto.HealthCheckResponse.ServingStatus.Value(status)
    expected = _proto.HealthCheckResponse(status=number)
    assert unframed(codec.framed_health(number)) == expected.SerializeToString()
