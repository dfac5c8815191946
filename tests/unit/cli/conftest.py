from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_program import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))

from inference_peer import PeerServer, started

from penstock.cli import main


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process; exit status, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        logger = logging.getLogger("penstock")
        before = (logger.handlers, logger.level, logger.propagate)
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        logger.handlers, logger.level, logger.propagate = before
        out, err = capfd.readouterr()
        return int(stopped.value.code or 0), out, err

    return call


@pytest.fixture
def peer() -> PeerServer:
    return PeerServer()


@pytest.fixture
def address(peer: PeerServer) -> Iterator[str]:
    server, port = started(peer, "127.0.0.1:0")
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()
