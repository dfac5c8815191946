"""The bare loop is a gRPC server: what the requests are sent to must count as answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import bench
from process import ServerProcess, echo_server

ANSWER = bytes(range(256))


def test_it_answers_every_request_of_any_size_with_the_same_message(tmp_path: Path) -> None:
    with echo_server(ANSWER, tmp_path / "echo.log") as server:
        for size in (0, 1, 100_000, 3_000_000):
            assert server.call("ModelInfer", b"x" * size) == ANSWER
        load = bench.Load(connections=4, streams=8, warmup=0, seconds=0.3)
        result = bench.measure(server.target, bench.Body(b"y" * 5000, (ANSWER,)), load)
        assert result.good > 100
        assert result.failed == 0


def test_it_says_what_it_cannot_send(tmp_path: Path) -> None:
    server: ServerProcess = echo_server(b"z" * 20_000, tmp_path / "echo.log")
    with pytest.raises(RuntimeError, match="20000 bytes; at most"):
        server.__enter__()
