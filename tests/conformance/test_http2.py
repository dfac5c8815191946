"""gRPC's rules on HTTP/2, and HTTP/2's own, frame by frame: what is taken, and how the rest is refused."""

from __future__ import annotations

import contextlib
import http.client
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import pytest
from generated_stubs import Generated
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from infer_requests import network_request

from server_process import ServerProcess, StartServer
from wire_peer import (
    INFER,
    LIVE,
    PREFACE,
    STREAM_INFER,
    Answer,
    WirePeer,
    prefixed,
    raw_exchange,
    request_headers,
)

OK, CANCELLED, INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 1, 3, 4, 8, 12, 13
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM = 0, 1, 7, 11


@pytest.fixture
def peer(server: ServerProcess) -> Iterator[WirePeer]:
    with WirePeer(server.port) as peer:
        yield peer


@pytest.fixture(scope="module")
def good(generated: Generated) -> bytes:
    """A request of one row, with its prefix."""
    request, _ = network_request(generated.messages)
    request.id = "wire"
    return prefixed(request.SerializeToString())


@pytest.fixture
def check_good(server: ServerProcess, good: bytes, generated: Generated) -> Iterator[None]:
    """Behind the test, the server still answers a good request."""
    yield
    with WirePeer(server.port) as peer:
        assert_good(peer.call(1, good), generated)


def assert_good(answer: Answer, generated: Generated) -> None:
    assert answer.headers[":status"] == "200"
    assert answer.headers["content-type"].startswith("application/grpc")
    assert answer.status == OK, unquote(answer.message)
    (message,) = answer.messages
    response = generated.messages.ModelInferResponse.FromString(message)
    assert response.id == "wire"
    assert list(response.outputs[0].shape) == [1, 4]


def test_an_answer_is_headers_one_message_and_trailers(
    peer: WirePeer, good: bytes, generated: Generated
) -> None:
    answer = peer.call(1, good)

    assert_good(answer, generated)
    assert answer.blocks == 2
    assert answer.reset is None
    assert peer.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 1024


def test_an_error_is_one_header_block_with_a_percent_encoded_message(
    peer: WirePeer, generated: Generated
) -> None:
    request = generated.messages.ModelInferRequest(model_name="Zürich 100%\n")
    answer = peer.call(1, prefixed(request.SerializeToString()))

    assert (answer.blocks, answer.status, answer.body) == (1, 5, b"")
    assert answer.message.isascii()
    assert "'Zürich 100%\n'" in unquote(answer.message)


class TestHeaders:
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
        self, peer: WirePeer, check_good: None, good: bytes, headers: list[tuple[str, str]], status: str
    ) -> None:
        answer = peer.call(1, good, headers)

        assert answer.headers[":status"] == status
        assert answer.ended

    @pytest.mark.parametrize("content", ["application/grpc+proto", "application/grpc;charset=utf-8"])
    def test_the_content_types_of_grpc_are_taken(
        self, peer: WirePeer, good: bytes, generated: Generated, content: str
    ) -> None:
        assert_good(peer.call(1, good, request_headers(content_type=content)), generated)

    @pytest.mark.parametrize(
        "path",
        ["/", "/inference.GRPCInferenceService/", "/inference.GRPCInferenceService/Modelinfer", INFER + "/"],
    )
    def test_an_unknown_path_is_unimplemented_and_named(
        self, peer: WirePeer, check_good: None, good: bytes, path: str
    ) -> None:
        answer = peer.call(1, good, request_headers(path))

        assert answer.status == UNIMPLEMENTED
        assert path in unquote(answer.message)

    @pytest.mark.parametrize("value", ["", "1", "S", "1x", "-1S", "123456789S", "1.5S", "1 S", "1SS", "0x1S"])
    def test_a_malformed_timeout_is_refused(
        self, peer: WirePeer, check_good: None, good: bytes, value: str
    ) -> None:
        answer = peer.call(1, good, request_headers(INFER, ("grpc-timeout", value)))

        assert answer.status in (INVALID, INTERNAL)
        assert "grpc-timeout" in unquote(answer.message)

    @pytest.mark.parametrize("value", ["99999999H", "1M", "30S", "60000m", "99999999u", "99999999n"])
    def test_every_unit_of_a_timeout_is_read(
        self, peer: WirePeer, good: bytes, generated: Generated, value: str
    ) -> None:
        assert_good(peer.call(1, good, request_headers(INFER, ("grpc-timeout", value))), generated)

    @pytest.mark.parametrize("value", ["0n", "1n", "0S"])
    def test_a_timeout_that_has_passed_is_exceeded(self, peer: WirePeer, good: bytes, value: str) -> None:
        assert peer.call(1, good, request_headers(INFER, ("grpc-timeout", value))).status == DEADLINE

    def test_a_call_whose_body_never_comes_ends_at_its_deadline(
        self, peer: WirePeer, check_good: None
    ) -> None:
        peer.open(1, request_headers(INFER, ("grpc-timeout", "200m")))

        assert peer.answer(1, timeout=3).status == DEADLINE

    def test_headers_beyond_the_limit_end_the_call_and_leave_the_connection(
        self, peer: WirePeer, good: bytes, generated: Generated
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
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        block = peer.headers_frame(1, request_headers()).data
        cuts = [0, 1, 2, 20, len(block) - 1, len(block)]
        parts = [block[begin:end] for begin, end in pairwise(cuts)]
        peer.send(HeadersFrame(1, parts[0]), *(ContinuationFrame(1, part) for part in parts[1:-1]))
        peer.send(ContinuationFrame(1, parts[-1], flags=["END_HEADERS"]))
        peer.data(1, good, end=True)

        assert_good(peer.answer(1), generated)

    def test_padding_and_priority_are_taken(self, peer: WirePeer, good: bytes, generated: Generated) -> None:
        headers = peer.headers_frame(1, request_headers(), "PADDED", "PRIORITY")
        headers.pad_length = 200
        headers.stream_weight = 5
        peer.send(headers, PriorityFrame(3, stream_weight=9))
        for at in range(0, len(good), 7):
            peer.send(DataFrame(1, good[at : at + 7], pad_length=255, flags=["PADDED"]))
        peer.send(DataFrame(1, b"", pad_length=17, flags=["PADDED", "END_STREAM"]))

        assert_good(peer.answer(1), generated)


class TestMessages:
    def test_a_message_split_at_every_point_is_put_together(
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        for index in range(len(good) + 1):
            stream = 1 + 2 * index
            peer.open(stream)
            peer.send(DataFrame(stream, good[:index]))
            peer.send(DataFrame(stream, good[index:], flags=["END_STREAM"]))
            assert_good(peer.answer(stream), generated)

    def test_a_message_split_at_every_point_and_read_in_two_turns_is_put_together(
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        for index in range(len(good) + 1):
            stream = 1 + 2 * index
            peer.open(stream)
            peer.send(DataFrame(stream, good[:index]))
            peer.ping()  # its answer says that all before it was read
            peer.send(DataFrame(stream, good[index:], flags=["END_STREAM"]))
            assert_good(peer.answer(stream), generated)

    def test_single_bytes_are_put_together(self, peer: WirePeer, good: bytes, generated: Generated) -> None:
        peer.open(1)
        peer.send(*(DataFrame(1, good[at : at + 1]) for at in range(len(good))))
        peer.data(1, b"", end=True)

        assert_good(peer.answer(1), generated)

    def test_frames_of_many_streams_mixed_byte_by_byte_do_not_mix_their_messages(
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        streams = range(1, 41, 2)
        for stream in streams:
            peer.open(stream)
        for at in range(0, len(good), 3):
            peer.send(*(DataFrame(stream, good[at : at + 3]) for stream in streams))
        for stream in streams:
            peer.data(stream, b"", end=True)

        for stream in streams:
            assert_good(peer.answer(stream), generated)

    def test_the_end_may_come_in_an_empty_frame_later(
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        peer.open(1)
        peer.data(1, good)
        peer.ping()
        assert 1 not in peer.answers  # a unary call is complete only at its end
        peer.data(1, b"", end=True)

        assert_good(peer.answer(1), generated)

    def test_trailers_of_the_caller_end_the_request(
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        peer.open(1)
        peer.data(1, good)
        peer.send(peer.headers_frame(1, [("x-checksum", "1")], "END_STREAM"))

        assert_good(peer.answer(1), generated)

    def test_several_messages_in_one_frame_are_answered_each_in_order(
        self, peer: WirePeer, generated: Generated
    ) -> None:
        messages = []
        for index in range(40):
            request, _ = network_request(generated.messages)
            request.id = str(index)
            messages.append(prefixed(request.SerializeToString()))
        peer.open(1, request_headers(STREAM_INFER))
        peer.data(1, b"".join(messages), end=True)

        answer = peer.answer(1)

        assert answer.status == OK
        ids = [
            generated.messages.ModelStreamInferResponse.FromString(one).infer_response.id
            for one in answer.messages
        ]
        assert ids == [str(index) for index in range(40)]

    def test_a_stream_without_messages_is_answered_by_none(self, peer: WirePeer) -> None:
        peer.open(1, request_headers(STREAM_INFER), end=True)

        assert (peer.answer(1).status, peer.answers[1].messages) == (OK, [])

    @pytest.mark.parametrize(
        ("body", "status", "fragments"),
        [
            (b"", INTERNAL, ("one message", "none came")),
            (b"\0\0\0", INTERNAL, ("within a message", "3 bytes")),
            (b"\0\0\0\0\x09abc", INTERNAL, ("within a message", "8 bytes")),
            (b"\x01\0\0\0\x03abc", INTERNAL, ("compressed flag", "no grpc-encoding")),
            (b"\x07\0\0\0\x03abc", INTERNAL, ("compressed flag is 7", "0 or 1")),
            (
                b"\0\x7f\xff\xff\xff",
                EXHAUSTED,
                ("2147483647 bytes", "at most 67108864", "limits.max_message_bytes"),
            ),
            (b"\0\xff\xff\xff\xffabc", EXHAUSTED, ("4294967295 bytes", "at most 67108864")),
        ],
        ids=["none", "half a prefix", "half a message", "flag 1", "flag 7", "2 GiB", "4 GiB"],
    )
    @pytest.mark.parametrize("ends", [True, False], ids=["ended", "going on"])
    def test_what_is_no_message_is_refused(
        self,
        peer: WirePeer,
        check_good: None,
        body: bytes,
        status: int,
        fragments: tuple[str, ...],
        ends: bool,
    ) -> None:
        if not ends and status == INTERNAL and "flag" not in fragments[0]:
            pytest.skip("what is not ended is not wrong yet")
        peer.open(1)
        peer.data(1, body, end=ends)

        answer = peer.answer(1)

        assert answer.status == status
        for fragment in fragments:
            assert fragment in unquote(answer.message)
        if not ends:
            peer.read_until(lambda: answer.reset is not None)
            assert answer.reset == NO_ERROR  # the rest of the request is not wanted

    @pytest.mark.parametrize(
        "path", [STREAM_INFER, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"]
    )
    @pytest.mark.parametrize(
        ("body", "status"),
        [(b"\0\0", INTERNAL), (b"\x07\0\0\0\0", INTERNAL), (b"\0\x7f\xff\xff\xff", EXHAUSTED)],
    )
    def test_streams_refuse_the_same(
        self, peer: WirePeer, check_good: None, path: str, body: bytes, status: int
    ) -> None:
        peer.open(1, request_headers(path))
        peer.data(1, body, end=True)

        assert peer.answer(1).status == status

    def test_compressed_messages_are_unimplemented_and_told_what_is_accepted(
        self, peer: WirePeer, check_good: None, good: bytes
    ) -> None:
        headers = request_headers(INFER, ("grpc-encoding", "gzip"))
        answer = peer.call(1, b"\x01" + good[1:], headers)

        assert answer.status == UNIMPLEMENTED
        assert answer.headers["grpc-accept-encoding"] == "identity"

    def test_an_encoding_that_no_message_uses_is_taken(
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        assert_good(peer.call(1, good, request_headers(INFER, ("grpc-encoding", "gzip"))), generated)

    @pytest.mark.parametrize("apart", [False, True])
    def test_two_messages_of_a_unary_call_are_refused(
        self, peer: WirePeer, check_good: None, good: bytes, apart: bool
    ) -> None:
        peer.open(1)
        if apart:
            peer.data(1, good)
            peer.ping()
            peer.data(1, good, end=True)
        else:
            peer.data(1, good + good, end=True)
        answer = peer.answer(1)

        assert answer.status == INTERNAL
        assert "a second one came" in unquote(answer.message)

    def test_a_refused_body_that_keeps_coming_holds_up_nothing(
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        peer.open(1)
        peer.data(1, b"\x07" + bytes(100_000))
        assert peer.answer(1).status == INTERNAL
        # More than the connection's window would let through if it were not given back.
        for _ in range(300):
            peer.data(1, bytes(65_536))
        assert_good(peer.call(3, good), generated)

    def test_a_body_may_be_larger_than_every_window(
        self, server: ServerProcess, generated: Generated
    ) -> None:
        request = generated.messages.ModelInferRequest(model_name="wide")
        request.inputs.add(name="x", datatype="FP32", shape=[1, 8_000_000])
        request.raw_input_contents.append(bytes(32_000_000))
        body = prefixed(request.SerializeToString())
        with WirePeer(server.port) as peer:
            peer.open(1)
            # The windows are respected: 1 MiB at a time, and a ping's answer says that it was taken.
            for at in range(0, len(body), 1 << 19):
                peer.data(1, body[at : at + (1 << 19)], end=at + (1 << 19) >= len(body))
                peer.ping()
            answer = peer.answer(1, timeout=20)
        assert answer.status == OK
        assert len(answer.body) > 32_000_000


class TestConnections:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_http_1_is_answered_505_and_says_what_is_spoken_here(
        self, server: ServerProcess, check_good: None, method: str
    ) -> None:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        client.request(method, "/", body=b"x" * 1000 if method == "POST" else None)
        answer = client.getresponse()

        assert answer.status == 505
        assert b"gRPC" in answer.read()
        client.close()

    def test_an_upgrade_to_h2c_is_answered_505(self, server: ServerProcess) -> None:
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
            PREFACE + SettingsFrame(0, {}).serialize() + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
            PREFACE + SettingsFrame(0, {SettingsFrame.MAX_FRAME_SIZE: 1}).serialize(),
            PREFACE + SettingsFrame(0, {}).serialize() + DataFrame(1, b"x").serialize(),
            PREFACE + SettingsFrame(0, {}).serialize() + WindowUpdateFrame(0, window_increment=1).serialize()[:9] + bytes(4),
            PREFACE + SettingsFrame(0, {}).serialize() + HeadersFrame(2, b"\x82", flags=["END_HEADERS"]).serialize(),
            PREFACE + SettingsFrame(0, {}).serialize() + HeadersFrame(1, b"\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"]).serialize(),
        ],
        ids=[
            "TLS hello", "random", "zeros", "almost a preface", "no SETTINGS first", "frame of 16 MiB",
            "bad SETTINGS", "DATA on an idle stream", "window update of 0", "even stream", "bad HPACK",
        ],
    )  # fmt: skip
    def test_what_is_no_http2_is_closed_on(
        self, server: ServerProcess, check_good: None, sent: bytes
    ) -> None:
        got = raw_exchange(server.port, sent)

        assert b"HTTP/1.1" not in got

    def test_random_frames_behind_a_good_preface_never_end_the_server(
        self, server: ServerProcess, check_good: None
    ) -> None:
        chance = random.Random(5)
        hello = PREFACE + SettingsFrame(0, {}).serialize()
        for _ in range(150):
            frames = b""
            for _ in range(chance.randrange(1, 8)):
                body = chance.randbytes(chance.randrange(40))
                kind, flags, stream = chance.randrange(11), chance.randrange(256), chance.randrange(4)
                frames += (
                    len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
                )
            with WirePeer(server.port, greet=False) as peer:
                peer.send_bytes(hello + frames)

    def test_a_connection_that_ends_within_a_frame_is_forgotten(
        self, server: ServerProcess, check_good: None, good: bytes
    ) -> None:
        for cut in range(1, len(good) + 9, 5):
            with WirePeer(server.port) as peer:
                peer.open(1)
                peer.send_bytes(DataFrame(1, good, flags=["END_STREAM"]).serialize()[:cut])

    def test_a_reset_in_the_middle_of_a_request_cancels_it(
        self, peer: WirePeer, good: bytes, generated: Generated
    ) -> None:
        for index, cut in enumerate(range(0, len(good), 9)):
            stream = 1 + 2 * index
            peer.open(stream)
            peer.data(stream, good[:cut])
            peer.reset(stream)
        last = 1 + 2 * len(range(0, len(good), 9))
        assert_good(peer.call(last, good), generated)
        assert list(peer.answers) == [last]

    def test_a_ping_is_answered_with_its_payload(self, peer: WirePeer) -> None:
        answer = peer.ping(b"penstock")

        assert answer.opaque_data == b"penstock"
        assert "ACK" in answer.flags

    def test_streams_over_the_limit_are_refused_and_the_others_answered(
        self, start_server: StartServer, good: bytes, generated: Generated
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

    def test_thousands_of_streams_come_and_go_on_one_connection(self, peer: WirePeer) -> None:
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

    def test_an_endless_header_block_ends_the_connection(
        self, server: ServerProcess, check_good: None
    ) -> None:
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
        self, server: ServerProcess, check_good: None, frame: Frame
    ) -> None:
        before = server.memory_bytes()
        with WirePeer(server.port) as peer:
            peer.socket.settimeout(0.5)
            # Nothing is read: the answers pile up on the server's side.
            with contextlib.suppress(ConnectionError, TimeoutError):
                for _ in range(400):
                    peer.send_bytes(frame.serialize() * 1000)
            assert server.memory_bytes() - before < (64 << 20)

    def test_resetting_streams_as_fast_as_they_open_ends_the_connection(
        self, server: ServerProcess, check_good: None
    ) -> None:
        with WirePeer(server.port) as peer:
            with contextlib.suppress(ConnectionError):
                for stream in range(1, 20_001, 2):
                    peer.open(stream)
                    peer.reset(stream)
            assert peer.read_to_end()


def test_the_answers_window_is_respected_to_the_byte(server: ServerProcess, generated: Generated) -> None:
    request: Any = generated.messages.ModelInferRequest(model_name="wide")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 50_000])
    request.raw_input_contents.append(bytes(200_000))
    with WirePeer(server.port, window=1000, wide=False) as peer:
        peer.open(1)
        peer.data(1, prefixed(request.SerializeToString()), end=True)
        for given in (1000, 1001, 1500, 60_000):
            peer.read_until(lambda: 1 in peer.answers and len(peer.answers[1].body) >= given)  # noqa: B023
            peer.ping()
            assert len(peer.answers[1].body) == given
            step = {1000: 1, 1001: 499, 1500: 58_500}.get(given)
            if step:
                peer.send(WindowUpdateFrame(1, window_increment=step))
        peer.send(
            WindowUpdateFrame(1, window_increment=1 << 20), WindowUpdateFrame(0, window_increment=1 << 20)
        )
        assert peer.answer(1).status == OK
        (message,) = peer.answers[1].messages
        assert (
            len(generated.messages.ModelInferResponse.FromString(message).raw_output_contents[0]) == 200_000
        )
