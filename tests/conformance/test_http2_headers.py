"""A call's headers, frame by frame: which are taken, and how the rest is refused."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import unquote

import pytest
from generated_stubs import Generated
from good_call import assert_good
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PriorityFrame,
)

from wire_peer import INFER, WirePeer, request_headers

INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 3, 4, 8, 12, 13  # of gRPC


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (request_headers(content_type="application/json"), "415"),
        (request_headers(content_type="application/grpcx"), "415"),
        (request_headers(content_type="application/grpc+json"), "415"),
        (request_headers(content_type=None), "415"),
        (request_headers(method="GET"), "405"),
        (request_headers(method="PUT"), "405"),
    ],
    ids=["json", "almost grpc", "grpc+json", "no content-type", "GET", "PUT"],
)
def test_what_is_no_grpc_is_refused_by_an_http_status(
    peer: WirePeer, check_good: None, good: bytes, headers: list[tuple[str, str]], status: str
) -> None:
    answer = peer.call(1, good, headers)

    assert answer.headers[":status"] == status
    assert answer.ended


@pytest.mark.parametrize("content", ["application/grpc+proto", "application/grpc;charset=utf-8"])
def test_the_content_types_of_grpc_are_taken(
    peer: WirePeer, good: bytes, generated: Generated, content: str
) -> None:
    assert_good(peer.call(1, good, request_headers(content_type=content)), generated)


@pytest.mark.parametrize(
    "path",
    ["/", "/inference.GRPCInferenceService/", "/inference.GRPCInferenceService/Modelinfer", INFER + "/"],
)
def test_an_unknown_path_is_unimplemented_and_named(
    peer: WirePeer, check_good: None, good: bytes, path: str
) -> None:
    answer = peer.call(1, good, request_headers(path))

    assert answer.status == UNIMPLEMENTED
    assert path in unquote(answer.message)


@pytest.mark.parametrize("value", ["", "1", "S", "1x", "-1S", "123456789S", "1.5S", "1 S", "1SS", "0x1S"])
def test_a_malformed_timeout_is_refused(peer: WirePeer, check_good: None, good: bytes, value: str) -> None:
    answer = peer.call(1, good, request_headers(INFER, ("grpc-timeout", value)))

    assert answer.status in (INVALID, INTERNAL)
    assert "grpc-timeout" in unquote(answer.message)


@pytest.mark.parametrize("value", ["99999999H", "1M", "30S", "60000m", "99999999u", "99999999n"])
def test_every_unit_of_a_timeout_is_read(
    peer: WirePeer, good: bytes, generated: Generated, value: str
) -> None:
    assert_good(peer.call(1, good, request_headers(INFER, ("grpc-timeout", value))), generated)


@pytest.mark.parametrize("value", ["0n", "1n", "0S"])
def test_a_timeout_that_has_passed_is_exceeded(peer: WirePeer, good: bytes, value: str) -> None:
    assert peer.call(1, good, request_headers(INFER, ("grpc-timeout", value))).status == DEADLINE


def test_a_call_whose_body_never_comes_ends_at_its_deadline(peer: WirePeer, check_good: None) -> None:
    peer.open(1, request_headers(INFER, ("grpc-timeout", "200m")))

    assert peer.answer(1, timeout=3).status == DEADLINE


def test_headers_beyond_the_limit_end_the_call_and_leave_the_connection(
    peer: WirePeer, good: bytes, generated: Generated
) -> None:
    huge = request_headers(INFER, *((f"x-{index}", "v" * 1000) for index in range(60)))
    frame = peer.headers_frame(1, huge)
    blocks = [frame.data[at : at + 16000] for at in range(0, len(frame.data), 16000)]
    peer.send(HeadersFrame(1, blocks[0]), *(ContinuationFrame(1, block) for block in blocks[1:-1]))
    peer.send(ContinuationFrame(1, blocks[-1], flags=["END_HEADERS"]))

    answer = peer.answer(1)

    assert answer.reset is not None or answer.headers[":status"] == "431" or answer.status == EXHAUSTED
    assert_good(peer.call(3, good), generated)


def test_headers_split_over_continuations_are_taken(
    peer: WirePeer, good: bytes, generated: Generated
) -> None:
    block = peer.headers_frame(1, request_headers()).data
    cuts = [0, 1, 2, 20, len(block) - 1, len(block)]
    parts = [block[begin:end] for begin, end in pairwise(cuts)]
    peer.send(HeadersFrame(1, parts[0]), *(ContinuationFrame(1, part) for part in parts[1:-1]))
    peer.send(ContinuationFrame(1, parts[-1], flags=["END_HEADERS"]))
    peer.data(1, good, end=True)

    assert_good(peer.answer(1), generated)


def test_padding_and_priority_are_taken(peer: WirePeer, good: bytes, generated: Generated) -> None:
    headers = peer.headers_frame(1, request_headers(), "PADDED", "PRIORITY")
    headers.pad_length = 200
    headers.stream_weight = 5
    peer.send(headers, PriorityFrame(3, stream_weight=9))
    for at in range(0, len(good), 7):
        peer.send(DataFrame(1, good[at : at + 7], pad_length=255, flags=["PADDED"]))
    peer.send(DataFrame(1, b"", pad_length=17, flags=["PADDED", "END_STREAM"]))

    assert_good(peer.answer(1), generated)
