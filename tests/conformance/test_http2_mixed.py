"""Many streams at once, messages of all sizes, windows that open by drips, calls that end in the middle."""

from __future__ import annotations

import random
import time
from typing import Any

import grpc
import numpy as np
import pytest
from generated_stubs import Generated
from good_call import assert_good
from hyperframe.frame import DataFrame, WindowUpdateFrame
from infer_requests import add_raw, raw_output

from server_process import ServerProcess
from wire_peer import INFER, STREAM_INFER, WirePeer, prefixed, request_headers

OK, EXHAUSTED = 0, 8
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
METADATA = "/inference.GRPCInferenceService/ModelMetadata"


def wide_request(generated: Generated, floats: int, name: str) -> tuple[Any, np.ndarray]:
    """Answered by as many floats, negated."""
    x = np.random.default_rng(floats).normal(size=(1, floats)).astype(np.float32)
    request = generated.messages.ModelInferRequest(model_name="wide", id=name)
    add_raw(request, "x", "FP32", x)
    return request, x


@pytest.mark.parametrize("seed", range(4))
def test_answers_of_all_sizes_come_whole_through_windows_that_open_by_drips(
    server: ServerProcess, generated: Generated, seed: int
) -> None:
    chance = random.Random(seed)
    sizes = [1, 300, 3_000, 4_096, 5_000, 20_000, 60_000]
    sent: dict[int, list[tuple[str, np.ndarray]]] = {}
    with WirePeer(server.port, window=0) as peer:
        for stream in range(1, 13, 2):
            sent[stream] = []
            peer.open(stream, request_headers(STREAM_INFER))
            for index in range(6):
                request, x = wide_request(generated, chance.choice(sizes), f"{stream}-{index}")
                sent[stream].append((request.id, x))
                peer.data(stream, prefixed(request.SerializeToString()))
            peer.data(stream, b"", end=True)
        waiting = list(sent)
        while waiting:
            stream = chance.choice(waiting)
            step = chance.choice([1, 5, 9, 100, 5_000, 40_000, 200_000])
            peer.send(WindowUpdateFrame(stream, window_increment=step))
            peer.read(0.0005)
            waiting = [
                stream for stream in sent if stream not in peer.answers or not peer.answers[stream].done
            ]

    for stream, expected in sent.items():
        assert peer.answers[stream].status == OK
        messages = peer.answers[stream].messages
        assert len(messages) == len(expected)
        for message, (name, x) in zip(messages, expected, strict=True):
            answer = generated.messages.ModelStreamInferResponse.FromString(message)
            assert answer.infer_response.id == name
            assert raw_output(answer.infer_response, "y").tobytes() == (-x).tobytes()


def test_a_stream_that_is_read_late_is_answered_whole_and_in_order(stub: Any, generated: Generated) -> None:
    requests = [wide_request(generated, 25_000, str(index))[0] for index in range(300)]  # 30 MB each way
    stream = stub.ModelStreamInfer(iter(requests), timeout=60)
    time.sleep(0.5)

    assert [answer.infer_response.id for answer in stream] == [str(index) for index in range(300)]


@pytest.mark.parametrize("step", [1, 7, 1000, 16384])
def test_a_bridged_stream_answers_each_message_once_and_in_order_however_it_is_cut(
    server: ServerProcess, generated: Generated, step: int
) -> None:
    names = [f"no.such.Thing{index}" for index in range(120)]
    body = b"".join(
        prefixed(
            generated.reflection.ServerReflectionRequest(file_containing_symbol=name).SerializeToString()
        )
        for name in names
    )
    with WirePeer(server.port) as peer:
        peer.open(1, request_headers(REFLECTION))
        for at in range(0, len(body), step):
            peer.send(DataFrame(1, body[at : at + step]))
        peer.data(1, b"", end=True)
        answer = peer.answer(1)

    assert answer.status == OK
    replies = [generated.reflection.ServerReflectionResponse.FromString(one) for one in answer.messages]
    assert [reply.original_request.file_containing_symbol for reply in replies] == names


def test_a_thousand_bridged_calls_at_once_are_answered_or_shed(
    server: ServerProcess, generated: Generated
) -> None:
    request = generated.messages.ModelMetadataRequest(name="network")
    body = prefixed(request.SerializeToString())
    with WirePeer(server.port) as peer:
        streams = range(1, 2001, 2)
        for stream in streams:
            peer.open(stream, request_headers(METADATA))
            peer.data(stream, body, end=True)
        statuses = [peer.answer(stream, timeout=30).status for stream in streams]
        assert set(statuses) <= {OK, EXHAUSTED}
        assert statuses.count(OK) >= 100
        assert peer.call(2001, body, request_headers(METADATA)).status == OK


@pytest.mark.parametrize("path", [REFLECTION, METADATA, STREAM_INFER, INFER])
def test_connections_that_vanish_with_calls_open_leave_nothing_behind(
    server: ServerProcess, generated: Generated, good: bytes, path: str
) -> None:
    body = good if path in (INFER, STREAM_INFER) else prefixed(b"")
    for _ in range(20):
        with WirePeer(server.port, settle=False) as peer:
            for stream in range(1, 41, 2):
                peer.open(stream, request_headers(path))
                peer.data(stream, body, end=stream % 4 == 1)
    with WirePeer(server.port) as peer:
        assert_good(peer.call(1, good), generated)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_else_happens_on_a_connection_complete_calls_are_answered(
    server: ServerProcess, generated: Generated, good: bytes, seed: int
) -> None:
    """Opens, sends, cuts, resets, pads and pings at random, within HTTP/2's rules."""
    chance = random.Random(seed)
    left: dict[int, bytes] = {}  # open streams, and what of their request is still to be sent
    complete: list[int] = []
    stream = -1
    with WirePeer(server.port) as peer:
        for _ in range(600):
            act = chance.randrange(10)
            if act < 3 or not left:
                stream += 2
                timeout = [("grpc-timeout", f"{chance.randrange(1, 9)}H")] * chance.randrange(2)
                peer.open(stream, request_headers(INFER, *timeout))
                left[stream] = good
            elif act < 8:
                chosen = chance.choice(list(left))
                size = chance.choice([0, 1, 4, 5, 6, 50, len(good)])
                part, left[chosen] = left[chosen][:size], left[chosen][size:]
                end = not left[chosen] and chance.random() < 0.7
                frame = DataFrame(chosen, part, flags=["END_STREAM"] if end else [])
                if chance.random() < 0.3:
                    frame.flags.add("PADDED")
                    frame.pad_length = chance.randrange(256)
                peer.send(frame)
                if end:
                    complete.append(chosen)
                    del left[chosen]
            elif act == 8:
                chosen = chance.choice(list(left))
                peer.reset(chosen)
                del left[chosen]
            else:
                peer.ping()
        for chosen, rest in left.items():
            peer.data(chosen, rest, end=True)
            complete.append(chosen)
        for chosen in complete:
            assert_good(peer.answer(chosen), generated)
        assert not set(peer.answers) - set(complete)


def test_two_clients_of_different_speed_do_not_wait_for_each_other(
    server: ServerProcess, generated: Generated, good: bytes
) -> None:
    request, _ = wide_request(generated, 200_000, "slow")
    with WirePeer(server.port, window=0) as slow, grpc.insecure_channel(server.address) as channel:
        slow.open(1)
        slow.data(1, prefixed(request.SerializeToString()), end=True)
        slow.ping()
        infer = channel.unary_unary(INFER)
        for _ in range(200):
            infer(good[5:], timeout=5)
        slow.read_until(lambda: 1 in slow.answers)  # of a large request, which runs in the pool
        assert not slow.answers[1].done
        slow.send(WindowUpdateFrame(1, window_increment=1 << 20))
        assert slow.answer(1).status == OK
