"""gRPC's messages in HTTP/2's DATA frames, split and joined in every way, and how broken ones are refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from generated_stubs import Generated
from good_call import assert_good
from hyperframe.frame import (
    DataFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from infer_requests import network_request

from server_process import ServerProcess
from wire_peer import INFER, STREAM_INFER, WirePeer, prefixed, request_headers

OK, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 8, 12, 13  # of gRPC
NO_ERROR = 0  # of HTTP/2


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


def test_a_message_split_at_every_point_is_put_together(
    peer: WirePeer, good: bytes, generated: Generated
) -> None:
    for index in range(len(good) + 1):
        stream = 1 + 2 * index
        peer.open(stream)
        peer.send(DataFrame(stream, good[:index]))
        peer.send(DataFrame(stream, good[index:], flags=["END_STREAM"]))
        assert_good(peer.answer(stream), generated)


def test_a_message_split_at_every_point_and_read_in_two_turns_is_put_together(
    peer: WirePeer, good: bytes, generated: Generated
) -> None:
    for index in range(len(good) + 1):
        stream = 1 + 2 * index
        peer.open(stream)
        peer.send(DataFrame(stream, good[:index]))
        peer.ping()  # its answer says that all before it was read
        peer.send(DataFrame(stream, good[index:], flags=["END_STREAM"]))
        assert_good(peer.answer(stream), generated)


def test_single_bytes_are_put_together(peer: WirePeer, good: bytes, generated: Generated) -> None:
    peer.open(1)
    peer.send(*(DataFrame(1, good[at : at + 1]) for at in range(len(good))))
    peer.data(1, b"", end=True)

    assert_good(peer.answer(1), generated)


def test_frames_of_many_streams_mixed_byte_by_byte_do_not_mix_their_messages(
    peer: WirePeer, good: bytes, generated: Generated
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


def test_the_end_may_come_in_an_empty_frame_later(peer: WirePeer, good: bytes, generated: Generated) -> None:
    peer.open(1)
    peer.data(1, good)
    peer.ping()
    assert 1 not in peer.answers  # a unary call is complete only at its end
    peer.data(1, b"", end=True)

    assert_good(peer.answer(1), generated)


def test_trailers_of_the_caller_end_the_request(peer: WirePeer, good: bytes, generated: Generated) -> None:
    peer.open(1)
    peer.data(1, good)
    peer.send(peer.headers_frame(1, [("x-checksum", "1")], "END_STREAM"))

    assert_good(peer.answer(1), generated)


def test_several_messages_in_one_frame_are_answered_each_in_order(
    peer: WirePeer, generated: Generated
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


def test_a_stream_without_messages_is_answered_by_none(peer: WirePeer) -> None:
    peer.open(1, request_headers(STREAM_INFER), end=True)

    assert (peer.answer(1).status, peer.answers[1].messages) == (OK, [])


BROKEN_AT_ONCE = [
    (b"\x01\0\0\0\x03abc", INTERNAL, ("compressed flag", "no grpc-encoding")),
    (b"\x07\0\0\0\x03abc", INTERNAL, ("compressed flag is 7", "0 or 1")),
    (
        b"\0\x7f\xff\xff\xff",
        EXHAUSTED,
        ("2147483647 bytes", "at most 67108864", "limits.max_message_bytes"),
    ),
    (b"\0\xff\xff\xff\xffabc", EXHAUSTED, ("4294967295 bytes", "at most 67108864")),
]
BROKEN_AT_THE_END = [
    (b"", INTERNAL, ("one message", "none came")),
    (b"\0\0\0", INTERNAL, ("within a message", "3 bytes")),
    (b"\0\0\0\0\x09abc", INTERNAL, ("within a message", "8 bytes")),
]


@pytest.mark.parametrize(("body", "status", "fragments"), [*BROKEN_AT_ONCE, *BROKEN_AT_THE_END])
def test_what_is_no_message_is_refused(
    peer: WirePeer, check_good: None, body: bytes, status: int, fragments: tuple[str, ...]
) -> None:
    peer.open(1)
    peer.data(1, body, end=True)

    answer = peer.answer(1)

    assert answer.status == status
    for fragment in fragments:
        assert fragment in unquote(answer.message)


@pytest.mark.parametrize(("body", "status", "fragments"), BROKEN_AT_ONCE)
def test_what_cannot_become_a_message_is_refused_before_its_end_and_the_rest_is_not_wanted(
    peer: WirePeer, check_good: None, body: bytes, status: int, fragments: tuple[str, ...]
) -> None:
    peer.open(1)
    peer.data(1, body)

    answer = peer.answer(1)

    assert answer.status == status
    for fragment in fragments:
        assert fragment in unquote(answer.message)
    peer.read_until(lambda: answer.reset is not None)
    assert answer.reset == NO_ERROR


@pytest.mark.parametrize("path", [STREAM_INFER, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"])
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\0\0", INTERNAL), (b"\x07\0\0\0\0", INTERNAL), (b"\0\x7f\xff\xff\xff", EXHAUSTED)],
)
def test_streams_refuse_the_same(
    peer: WirePeer, check_good: None, path: str, body: bytes, status: int
) -> None:
    peer.open(1, request_headers(path))
    peer.data(1, body, end=True)

    assert peer.answer(1).status == status


def test_compressed_messages_are_unimplemented_and_told_what_is_accepted(
    peer: WirePeer, check_good: None, good: bytes
) -> None:
    headers = request_headers(INFER, ("grpc-encoding", "gzip"))
    answer = peer.call(1, b"\x01" + good[1:], headers)

    assert answer.status == UNIMPLEMENTED
    assert answer.headers["grpc-accept-encoding"] == "identity"


def test_an_encoding_that_no_message_uses_is_taken(peer: WirePeer, good: bytes, generated: Generated) -> None:
    assert_good(peer.call(1, good, request_headers(INFER, ("grpc-encoding", "gzip"))), generated)


@pytest.mark.parametrize("apart", [False, True])
def test_two_messages_of_a_unary_call_are_refused(
    peer: WirePeer, check_good: None, good: bytes, apart: bool
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
    peer: WirePeer, good: bytes, generated: Generated
) -> None:
    peer.open(1)
    peer.data(1, b"\x07" + bytes(100_000))
    assert peer.answer(1).status == INTERNAL
    # More than the connection's window would let through if it were not given back.
    for _ in range(300):
        peer.data(1, bytes(65_536))
    assert_good(peer.call(3, good), generated)


def test_a_body_may_be_larger_than_every_window(server: ServerProcess, generated: Generated) -> None:
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
