from __future__ import annotations

import io
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import log


@given(st.text())
def test_whatever_a_caller_sends_stays_on_one_line(text: str) -> None:
    assert log.one_line(text).splitlines() in ([log.one_line(text)], [])


@given(st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp"])))
def test_text_without_control_characters_is_left_as_it_is(text: str) -> None:
    assert log.one_line(text) == text


def test_a_record_is_a_line_with_its_time_and_a_traceback_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    logger = logging.getLogger("penstock")
    before = (logger.handlers, logger.level, logger.propagate)
    try:
        log.configure()
        logging.getLogger("penstock.rpc").warning("model %s", "a\nb")
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("penstock.rpc").exception("failed")
    finally:
        logger.handlers, logger.level, logger.propagate = before
    lines = out.getvalue().splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING penstock\.rpc model a\\x0ab", lines[0]
    )
    assert lines[1].endswith("ERROR penstock.rpc failed")
    assert lines[2] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: broken"
