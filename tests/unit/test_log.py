from __future__ import annotations

import io
import json
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import log


@given(st.text(st.characters()))
def test_whatever_a_caller_sends_stays_on_one_line(text: str) -> None:
    assert log.one_line(text).splitlines() in ([log.one_line(text)], [])


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_text_without_control_characters_is_left_as_it_is(text: str) -> None:
    assert log.one_line(text) == text


@given(st.text(st.characters(categories=["Cs", "L", "Cc"])))
def test_whatever_a_path_holds_can_be_written(text: str) -> None:
    log.one_line(text).encode()


@given(st.text(st.characters(categories=["Cs", "L", "Cc", "Zl"])))
def test_an_event_is_its_line_and_an_object_of_its_fields(text: str) -> None:
    event = log.Event("version_refused", f"delay:1 refused: {text}", model="delay", reason=text, kind=3)
    assert event == log.one_line(f"delay:1 refused: {text}")
    written = event.to_json()
    assert written.isascii()
    assert "\n" not in written
    found = json.loads(written)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "event": "version_refused",
        "message": str(event),
        "model": "delay",
        "reason": text,
        "kind": 3,
    }


def two_records(monkeypatch: pytest.MonkeyPatch, **form: bool) -> list[str]:
    """The lines of a warning and of an error with its traceback; the logger is as before behind it."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    logger = logging.getLogger("penstock")
    before = (logger.handlers, logger.level, logger.propagate)
    try:
        log.configure(**form)  # type: ignore[arg-type]
        logging.getLogger("penstock.rpc").warning("model %s", "a\nb")
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("penstock.rpc").exception("failed")
    finally:
        logger.handlers, logger.level, logger.propagate = before
    return out.getvalue().splitlines()


def test_a_record_is_a_line_with_its_time_and_a_traceback_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = two_records(monkeypatch)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING penstock\.rpc model a\\x0ab", lines[0]
    )
    assert lines[1].endswith("ERROR penstock.rpc failed")
    assert lines[2] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: broken"


def test_records_are_objects_on_demand_traceback_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = map(json.loads, two_records(monkeypatch, as_json=True))
    assert first.pop("time").endswith("Z")
    assert first == {"level": "WARNING", "logger": "penstock.rpc", "message": "model a\\x0ab"}
    assert (second["level"], second["message"]) == ("ERROR", "failed")
    assert second["traceback"].splitlines()[-1] == "ValueError: broken"
