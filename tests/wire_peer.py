"""A peer that speaks HTTP/2 frame by frame, so that it can say what no client library would."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
LIVE = "/inference.GRPCInferenceService/ServerLive"
Headers = list[tuple[str, str]]


def prefixed(message: bytes, flag: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its prefix, which may lie."""
    return bytes([flag]) + (len(message) if length is None else length).to_bytes(4, "big") + message


def request_headers(path: str = INFER, *more: tuple[str, str], **replaced: str | None) -> Headers:
    """Of a gRPC call. `replaced` changes a header by its name with _ for -, or takes it out."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    for name, value in replaced.items():
        key = next(key for key in headers if key.strip(":") == name.replace("_", "-"))
        if value is None:
            del headers[key]
        else:
            headers[key] = value
    return [*headers.items(), *more]


@dataclass
class Answer:
    """What has come on a stream."""

    headers: dict[str, str] = field(default_factory=dict)  # of all blocks: the trailers too
    blocks: int = 0
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None

    @property
    def done(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def status(self) -> int:
        """grpc-status; -1 without one."""
        return int(self.headers.get("grpc-status", "-1"))

    @property
    def message(self) -> str:
        """grpc-message as it travels, percent-encoded."""
        return self.headers.get("grpc-message", "")

    @property
    def messages(self) -> list[bytes]:
        """The whole gRPC messages of the body."""
        found, at = [], 0
        while len(self.body) >= at + 5:
            length = int.from_bytes(self.body[at + 1 : at + 5], "big")
            if len(self.body) < at + 5 + length:
                break
            found.append(bytes(self.body[at + 5 : at + 5 + length]))
            at += 5 + length
        return found


class WirePeer:
    """One connection. `window` is what the server may send on a stream before it is given more, and on the
    connection unless `wide` is false. `greet` sends preface and SETTINGS; `settle` waits until the
    server's own hold, which let this side send 1 MiB a stream.
    """

    def __init__(
        self,
        port: int,
        *,
        window: int = (1 << 31) - 1,
        wide: bool = True,
        greet: bool = True,
        settle: bool = True,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._received = b""
        self._block = b""
        self.answers: dict[int, Answer] = {}
        self.settings: dict[int, int] = {}
        self.pings: list[PingFrame] = []
        self.goaways: list[GoAwayFrame] = []
        self.closed = False
        self._greeted = greet
        if greet:
            self.send_bytes(PREFACE)
            self.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: window}))
            if wide:
                self.send(WindowUpdateFrame(0, window_increment=(1 << 31) - 1 - 65535))
            if settle:
                self.read_until(lambda: bool(self.settings))  # and they are acknowledged
                self.ping()

    @property
    def goaway(self) -> GoAwayFrame | None:
        """The last one."""
        return self.goaways[-1] if self.goaways else None

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, *frames: Frame) -> None:
        self.send_bytes(b"".join(frame.serialize() for frame in frames))

    def headers_frame(self, stream: int, headers: Headers, *flags: str) -> HeadersFrame:
        # Nothing is put into the peer's table, so that frames may be left out or sent twice.
        block = self._encoder.encode([(name, value, True) for name, value in headers])
        return HeadersFrame(stream, block, flags=["END_HEADERS", *flags])

    def open(self, stream: int, headers: Headers | None = None, *, end: bool = False) -> None:
        flags = ["END_STREAM"] if end else []
        self.send(self.headers_frame(stream, request_headers() if headers is None else headers, *flags))

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """In frames of at most 16 KiB. Waits for no window: what a test sends must fit."""
        parts = [data[at : at + 16384] for at in range(0, len(data), 16384)] or [b""]
        for index, part in enumerate(parts):
            last = end and index == len(parts) - 1
            self.send(DataFrame(stream, part, flags=["END_STREAM"] if last else []))

    def call(self, stream: int, body: bytes, headers: Headers | None = None) -> Answer:
        """A whole request, and its whole answer."""
        self.open(stream, headers)
        self.data(stream, body, end=True)
        return self.answer(stream)

    def answer(self, stream: int, timeout: float = 10) -> Answer:
        self.read_until(lambda: stream in self.answers and self.answers[stream].done, timeout)
        return self.answers[stream]

    def reset(self, stream: int, code: int = 8) -> None:
        self.send(RstStreamFrame(stream, error_code=code))

    def ping(self, payload: bytes = b"12345678") -> PingFrame:
        """A ping and its answer."""
        before = len(self.pings)
        self.send(PingFrame(0, payload))
        self.read_until(lambda: len(self.pings) > before)
        return self.pings[-1]

    def read_until(self, met: Callable[[], bool], timeout: float = 10) -> None:
        """Reads until it is so; AssertionError at the end of the connection or the time."""
        end = time.monotonic() + timeout
        while not met():
            assert not self.closed, "the server closed the connection"
            assert self.read(end - time.monotonic()), f"not in {timeout} s"

    def read_to_end(self, timeout: float = 10) -> bool:
        """Reads until the server closes; False when it does not."""
        end = time.monotonic() + timeout
        while not self.closed:
            if not self.read(end - time.monotonic()):
                return False
        return True

    def read(self, timeout: float) -> bool:
        """Takes what has come; False when nothing does in time."""
        if timeout <= 0:
            return False
        self.socket.settimeout(timeout)
        try:
            got = self.socket.recv(1 << 20)
        except TimeoutError:
            return False
        except ConnectionError:
            got = b""
        if not got:
            self.closed = True
            return True
        received = memoryview(self._received + got)
        while len(received) >= 9:
            frame, length = Frame.parse_frame_header(received[:9])
            if len(received) < 9 + length:
                break
            frame.parse_body(received[9 : 9 + length])
            received = received[9 + length :]
            self._take(frame)
        self._received = bytes(received)
        return True

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, SettingsFrame):
            if "ACK" not in frame.flags:
                self.settings.update(frame.settings)
                if not self._greeted:
                    return
                with contextlib.suppress(ConnectionError):  # what was sent before can still be read
                    self.send(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame):
            self.pings.append(frame)
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append(frame)
        elif isinstance(frame, HeadersFrame):
            answer = self.answers.setdefault(frame.stream_id, Answer())
            assert "END_HEADERS" in frame.flags, "the server's header blocks are small"
            for name, value in self._decoder.decode(frame.data):
                answer.headers[str(name)] = str(value)
            answer.blocks += 1
            answer.ended |= "END_STREAM" in frame.flags
        elif isinstance(frame, DataFrame):
            answer = self.answers.setdefault(frame.stream_id, Answer())
            answer.body += frame.data
            answer.ended |= "END_STREAM" in frame.flags
        elif isinstance(frame, RstStreamFrame):
            answer = self.answers.setdefault(frame.stream_id, Answer())
            answer.reset = frame.error_code

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> WirePeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def raw_exchange(port: int, sent: bytes | Iterable[bytes], timeout: float = 10) -> bytes:
    """Sends bytes that need be no HTTP/2, and reads until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        for part in [sent] if isinstance(sent, bytes) else sent:
            connection.sendall(part)
        received = b""
        try:
            while got := connection.recv(1 << 16):
                received += got
        except ConnectionResetError:
            pass
        return received
