from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import log

WAIT_S = 20.0


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


class Reader:
    """Writes what an outlet gives it; `hold` keeps it within the next write until `release` is set."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.stuck = threading.Event()
        self.release = threading.Event()
        self.release.set()

    def hold(self) -> None:
        self.release.clear()
        self.stuck.clear()

    def __call__(self, item: str) -> None:
        self.stuck.set()
        assert self.release.wait(WAIT_S)
        self.written.append(item)


def test_an_outlet_writes_all_in_order_before_it_closes() -> None:
    reader = Reader()
    outlet = log.Outlet(reader, str, most=5000)
    for number in range(5000):
        outlet.put(str(number))
    assert outlet.close(WAIT_S)
    assert reader.written == [str(number) for number in range(5000)]
    outlet.put("late")
    assert outlet.close(WAIT_S)
    assert "late" not in reader.written


def test_nobody_waits_for_a_reader_that_does_not_read_and_what_it_missed_is_counted() -> None:
    reader = Reader()
    reader.hold()
    outlet = log.Outlet(reader, log.lines_lost, most=3)
    outlet.put("a")
    assert reader.stuck.wait(WAIT_S)
    for item in "bcdefg":  # three of them may wait
        outlet.put(item)
    began = time.monotonic()
    assert not outlet.close(0.05)
    assert time.monotonic() - began < WAIT_S / 2
    reader.release.set()
    assert outlet.close(WAIT_S)
    assert reader.written == ["a", "b", "c", "d", "3 lines dropped, as nobody read them"]


def test_a_reader_that_comes_back_hears_of_what_it_missed_before_what_comes_next() -> None:
    reader = Reader()
    reader.hold()
    outlet = log.Outlet(reader, log.lines_lost, most=1)
    outlet.put("a")
    assert reader.stuck.wait(WAIT_S)
    outlet.put("b")
    outlet.put("c")
    reader.release.set()
    end = time.monotonic() + WAIT_S
    while reader.written != ["a", "b"]:
        assert time.monotonic() < end
        time.sleep(0.001)
    outlet.put("d")
    assert outlet.close(WAIT_S)
    assert reader.written == ["a", "b", "1 line dropped, as nobody read them", "d"]


class Pipe(io.StringIO):
    """A stream that is a pipe: full until `room` is set, and broken where `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.room = threading.Event()
        self.broken = False

    def write(self, text: str) -> int:
        assert self.room.wait(WAIT_S)
        if self.broken:
            raise BrokenPipeError
        return super().write(text)


@pytest.mark.parametrize("broken", [False, True])
def test_a_queued_handler_holds_up_nobody_who_logs(broken: bool) -> None:
    pipe = Pipe()
    pipe.broken = broken
    handler = log.QueuedHandler(pipe)
    logger = logging.getLogger("penstock")
    before = (logger.handlers, logger.level, logger.propagate)
    began = time.monotonic()
    try:
        log.configure(handler=handler)
        for number in range(3000):
            logging.getLogger("penstock.rpc").warning("call %d", number)
    finally:
        logger.handlers, logger.level, logger.propagate = before
    assert time.monotonic() - began < WAIT_S / 2
    assert not handler.outlet.close(0.0)
    pipe.room.set()
    assert handler.outlet.close(WAIT_S)
    lines = pipe.getvalue().splitlines()
    if broken:
        assert lines == []
    else:
        assert lines[0].endswith("WARNING penstock.rpc call 0")
        told = re.fullmatch(r"\S+ WARNING penstock\.log (\d+) lines dropped, as nobody read them", lines[-1])
        assert told
        assert len(lines) - 1 + int(told[1]) == 3000
