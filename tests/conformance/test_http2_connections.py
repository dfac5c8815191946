"""Connections that speak another protocol, or HTTP/2 against its rules, or more of it than is allowed."""

from __future__ import annotations

import contextlib
import http.client
import random

import pytest
from generated_stubs import Generated
from good_call import assert_good
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from server_process import ServerProcess, StartServer
from wire_peer import LIVE, PREFACE, WirePeer, prefixed, raw_exchange, request_headers

OK = 0  # of gRPC
HELLO = PREFACE + SettingsFrame(0, {}).serialize()
PROTOCOL_ERROR, REFUSED_STREAM = 1, 7  # of HTTP/2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_http_1_is_answered_505_and_says_what_is_spoken_here(
    server: ServerProcess, check_good: None, method: str
) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    client.request(method, "/", body=b"x" * 1000 if method == "POST" else None)
    answer = client.getresponse()

    assert answer.status == 505
    assert b"gRPC" in answer.read()
    client.close()


def test_an_upgrade_to_h2c_is_answered_505(server: ServerProcess) -> None:
    got = raw_exchange(
        server.port,
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    )

    assert b"HTTP/1.1 505 " in got


@pytest.mark.parametrize(
    "sent",
    [
        bytes.fromhex("16030100c8010000c40303") + bytes(200),
        random.Random(1).randbytes(5000),
        b"\0" * 100,
        PREFACE[:20] + b"XX\r\n\r\n" + bytes(50),
        PREFACE + b"\0\0\x04\x01\0\0\0\0\0abcd",
        HELLO + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        PREFACE + SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: 1}).serialize(),
        HELLO + DataFrame(1, b"x").serialize(),
        HELLO + WindowUpdateFrame(0, window_increment=1).serialize()[:9] + bytes(4),
        HELLO + HeadersFrame(2, b"\x82", flags=["END_HEADERS"]).serialize(),
        HELLO + HeadersFrame(1, b"\xff" * 6, flags=["END_HEADERS"]).serialize(),
    ],
    ids=[
        "TLS hello", "random", "zeros", "almost a preface", "no SETTINGS first", "frame of 16 MiB",
        "bad SETTINGS", "DATA on an idle stream", "window update of 0", "even stream", "bad HPACK",
    ],
)  # fmt: skip
def test_what_is_no_http2_is_closed_on(server: ServerProcess, check_good: None, sent: bytes) -> None:
    got = raw_exchange(server.port, sent)

    assert b"HTTP/1.1" not in got


def test_random_frames_behind_a_good_preface_never_end_the_server(
    server: ServerProcess, check_good: None
) -> None:
    chance = random.Random(5)
    for _ in range(150):
        frames = b""
        for _ in range(chance.randrange(1, 8)):
            body = chance.randbytes(chance.randrange(40))
            kind, flags, stream = chance.randrange(11), chance.randrange(256), chance.randrange(4)
            frames += len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
        with WirePeer(server.port, greet=False) as peer:
            peer.send_bytes(HELLO + frames)


def test_a_connection_that_ends_within_a_frame_is_forgotten(
    server: ServerProcess, check_good: None, good: bytes
) -> None:
    for cut in range(1, len(good) + 9, 5):
        with WirePeer(server.port) as peer:
            peer.open(1)
            peer.send_bytes(DataFrame(1, good, flags=["END_STREAM"]).serialize()[:cut])


def test_a_reset_in_the_middle_of_a_request_cancels_it(
    peer: WirePeer, good: bytes, generated: Generated
) -> None:
    for index, cut in enumerate(range(0, len(good), 9)):
        stream = 1 + 2 * index
        peer.open(stream)
        peer.data(stream, good[:cut])
        peer.reset(stream)
    last = 1 + 2 * len(range(0, len(good), 9))
    assert_good(peer.call(last, good), generated)
    assert list(peer.answers) == [last]


def test_a_ping_is_answered_with_its_payload(peer: WirePeer) -> None:
    answer = peer.ping(b"penstock")

    assert answer.opaque_data == b"penstock"
    assert "ACK" in answer.flags


def test_streams_over_the_limit_are_refused_and_the_others_answered(
    start_server: StartServer, good: bytes, generated: Generated
) -> None:
    server = start_server(settings={"limits": {"max_concurrent_streams": 10}})
    with WirePeer(server.port, settle=False) as peer:
        for stream in range(1, 41, 2):
            peer.open(stream)
        for stream in range(1, 21, 2):
            peer.data(stream, good, end=True)
        for stream in range(1, 21, 2):
            assert_good(peer.answer(stream), generated)
        for stream in range(21, 41, 2):
            assert peer.answer(stream).reset == REFUSED_STREAM
        assert peer.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 10
        assert_good(peer.call(41, good), generated)
        # Who has acknowledged the limit and breaks it all the same is not talked to any more.
        peer.ping()
        with contextlib.suppress(ConnectionError):
            for stream in range(43, 83, 2):
                peer.open(stream)
        assert peer.read_to_end()
        assert peer.goaway is not None
        assert peer.goaway.error_code == PROTOCOL_ERROR
    with WirePeer(server.port) as peer:
        assert_good(peer.call(1, good), generated)


def test_thousands_of_streams_come_and_go_on_one_connection(peer: WirePeer) -> None:
    body = prefixed(b"")
    for first in range(1, 4001, 200):
        streams = range(first, first + 200, 2)
        peer.send(
            *(
                frame
                for stream in streams
                for frame in (
                    peer.headers_frame(stream, request_headers(LIVE)),
                    DataFrame(stream, body, flags=["END_STREAM"]),
                )
            )
        )
        for stream in streams:
            assert peer.answer(stream).status == OK


def test_an_endless_header_block_ends_the_connection(server: ServerProcess, check_good: None) -> None:
    with WirePeer(server.port) as peer:
        peer.send(HeadersFrame(1, peer.headers_frame(1, request_headers()).data))
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                peer.send(ContinuationFrame(1, b""))
        assert peer.read_to_end()


@pytest.mark.parametrize(
    "frame", [PingFrame(0, b"12345678"), SettingsFrame(0, {SettingsFrame.ENABLE_PUSH: 0})]
)
def test_a_flood_of_frames_that_want_an_answer_ends_the_connection_or_holds_little_memory(
    server: ServerProcess, check_good: None, frame: Frame
) -> None:
    before = server.memory_bytes()
    with WirePeer(server.port) as peer:
        peer.socket.settimeout(0.5)
        # Nothing is read: the answers pile up on the server's side.
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(400):
                peer.send_bytes(frame.serialize() * 1000)
        assert server.memory_bytes() - before < (64 << 20)


def test_two_thousand_cancelled_calls_are_no_offence(server: ServerProcess, check_good: None) -> None:
    """Callers with short deadlines reset many streams; nghttp2's own bound is 1,000."""
    with WirePeer(server.port) as peer:
        for stream in range(1, 4_001, 2):
            peer.open(stream)
            peer.reset(stream)
        assert peer.call(4_001, prefixed(b""), request_headers(path=LIVE)).status == OK


def test_resetting_streams_as_fast_as_they_open_ends_the_connection(
    server: ServerProcess, check_good: None
) -> None:
    with WirePeer(server.port) as peer:
        with contextlib.suppress(ConnectionError):
            for stream in range(1, 20_001, 2):
                peer.open(stream)
                peer.reset(stream)
        assert peer.read_to_end()
