"""Operations that overlap, as those of threads do: here a step of the one, then a step of the other."""

from __future__ import annotations

from typing import Any

from inference_peer import PeerServer

from penstock import _proto
from penstock.client.answers import InferResult
from penstock.client.session import Call, Session, Steps

DATA = {"a": [1.5, 2.0], "b": [10.0, 20.0], "word": ["Ab", "c"]}


class Caller:
    """One operation, a step at a time."""

    def __init__(self, session: Session, peer: PeerServer) -> None:
        self.peer = peer
        self.steps: Steps[InferResult] = session.infer(
            "delay", DATA, version="", outputs=(), id="", parameters=None, max_rows=None
        )
        self.asks: Call | None = next(self.steps)
        self.reply: Any = None

    @property
    def method(self) -> str:
        """What it asks for now."""
        assert self.asks is not None
        return self.asks.method.path.rpartition("/")[2]

    def answer(self) -> None:
        """The peer answers; the caller has not heard of it yet."""
        assert self.asks is not None
        request = getattr(_proto, f"{self.method}Request").FromString(self.asks.request)
        self.reply = getattr(self.peer, self.method)(request, Context())

    def hear(self) -> None:
        """The caller gets the answer, and asks for the next thing, if there is one."""
        try:
            self.asks = self.steps.send(self.reply)
        except StopIteration:
            self.asks = None

    def finish(self) -> None:
        while self.asks is not None:
            self.answer()
            self.hear()


class Context:
    """What the peer looks at of a call."""

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return []


def test_what_was_fetched_before_a_load_is_not_remembered_behind_it() -> None:
    session, peer = Session(), PeerServer()
    first = Caller(session, peer)
    assert first.method == "ModelMetadata"
    first.answer()
    next(session.load("delay", ""))
    first.hear()
    first.finish()
    assert Caller(session, peer).method == "ModelMetadata"


def test_a_version_that_answers_while_metadata_is_fetched_has_it_fetched_again() -> None:
    session, peer = Session(), PeerServer()
    Caller(session, peer).finish()
    slow = Caller(session, peer)  # asks with what is known of version 1
    assert slow.method == "ModelInfer"
    peer.version = "2"
    Caller(session, peer).finish()
    renewing = Caller(session, peer)
    assert renewing.method == "ModelMetadata"
    renewing.answer()  # still of version 2
    peer.version = "3"
    slow.finish()
    renewing.hear()
    renewing.finish()
    assert Caller(session, peer).method == "ModelMetadata"


def test_a_caller_that_fetches_beside_another_does_not_keep_both_fetching() -> None:
    session, peer = Session(), PeerServer()
    callers = [Caller(session, peer) for _ in range(3)]
    for caller in callers:
        caller.finish()
    Caller(session, peer).finish()
    assert Caller(session, peer).method == "ModelInfer"
