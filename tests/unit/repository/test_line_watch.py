"""LineWatch: an operator is told when a version begins to refuse requests, and not of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from penstock.log import Event
from penstock.repository import line_watch
from penstock.repository.line_watch import LineWatch
from penstock.repository.states import State
from penstock.repository.view import ModelView, RepositoryView, VersionView


class Hosted:
    """One version, delay:3, whose counters the test sets."""

    def __init__(self) -> None:
        self.digest = "a"
        self.refused = self.waiting = 0
        self.told: list[Event] = []
        self.watch = LineWatch(self.view, report=self.told.append)
        self.start = self.watch._looked_at

    def counters(self) -> dict[str, int]:
        return {"refused": self.refused, "waiting": self.waiting}

    def view(self) -> RepositoryView:
        loaded: Any = SimpleNamespace(
            core=self, digest=self.digest, schedule=SimpleNamespace(queue_limit=256)
        )
        seen = VersionView("delay", "3", State.READY, "", loaded)
        return RepositoryView({"delay": ModelView("delay", "3", {}, {"3": seen})})

    def look(self, seconds: float, *, last: bool = False) -> list[Event]:
        """At so many seconds after the start."""
        return self.watch.look(self.start + seconds, last=last)


@pytest.fixture
def hosted() -> Hosted:
    return Hosted()


def test_nothing_is_told_of_a_version_that_refuses_nothing(hosted: Hosted) -> None:
    hosted.waiting = 200
    assert [hosted.look(seconds) for seconds in (5, 10, 1000)] == [[], [], []]


def test_the_first_refusals_are_told_at_the_next_look_with_their_number(hosted: Hosted) -> None:
    hosted.look(5)
    hosted.refused, hosted.waiting = 1214, 256
    (event,) = hosted.look(10)
    assert event.kind == "requests_refused"
    assert event == (
        "delay:3 refused 1,214 requests within 5 s, as its line was full: 256 may wait for the pool "
        "(pool.queue_limit), 256 do now"
    )
    assert event.fields == {
        "model": "delay", "version": "3", "count": 1214, "seconds": 5, "waiting": 256, "queue_limit": 256,
    }  # fmt: skip
    assert hosted.look(15) == []


def test_while_it_goes_on_there_is_one_line_a_minute_with_all_of_them(hosted: Hosted) -> None:
    counts = []
    for seconds in range(5, 245, 5):
        hosted.refused += 10
        counts += [(seconds, event.fields["count"]) for event in hosted.look(seconds)]
    assert counts == [(5, 10), (65, 120), (125, 120), (185, 120)]


def test_what_was_refused_within_the_minute_is_told_even_if_it_ended(hosted: Hosted) -> None:
    hosted.refused = 1
    assert len(hosted.look(5)) == 1
    hosted.refused = 4
    assert [hosted.look(seconds) for seconds in (10, 60)] == [[], []]
    (event,) = hosted.look(65)
    assert (event.fields["count"], event.fields["seconds"]) == (3, 60)
    hosted.refused = 5
    assert len(hosted.look(200)) == 1


def test_the_last_look_tells_what_is_left_whenever_the_line_before_was(hosted: Hosted) -> None:
    hosted.refused = 1
    hosted.look(5)
    hosted.refused = 4
    (event,) = hosted.look(10, last=True)
    assert event.fields["count"] == 3
    assert hosted.look(15, last=True) == []


@pytest.mark.parametrize("digest", ["a", "b"])
def test_a_version_that_is_loaded_anew_counts_from_nothing(hosted: Hosted, digest: str) -> None:
    hosted.refused = 50
    hosted.look(5)
    hosted.digest, hosted.refused = digest, 2
    (event,) = hosted.look(100)
    assert event.fields["count"] == 2


def test_the_thread_looks_until_it_is_stopped_and_once_more_then(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_watch, "LOOK_S", 3600.0)
    hosted.watch.start()
    hosted.refused = 9
    hosted.watch.stop()
    assert [event.fields["count"] for event in hosted.told] == [9]
