from __future__ import annotations

import logging

import pytest
from cli_program import Run

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
