"""Lifecycle: brings what is served in line with what is wanted, without ever serving less on the way.

Every change goes the same way: note what changed, let each model plan (model.py), start the loads that are
missing, drop what nobody wants any more, publish the whole as one snapshot. A wanted version is loaded,
checked and warm before an unwanted one of the same model goes. A load that fails changes nothing but its own
version's state.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from penstock import schedules
from penstock.bundle.verify import DEFAULT_LIMITS, Limits
from penstock.config import ModelSection
from penstock.errors import UNAVAILABLE, NotFoundError, PenstockError, ServerError, StatusError
from penstock.log import Event, Value, failing_into
from penstock.niceness import yield_to_serving
from penstock.repository import layout
from penstock.repository.layout import ModelFolder, VersionFolder
from penstock.repository.model import ManagedModel
from penstock.repository.policy import version_order
from penstock.repository.states import Attempt, Loaded, VersionSlot
from penstock.repository.view import PublishedModel, RepositoryView, unknown_model, unknown_version

Loader = Callable[[VersionFolder], Loaded]
Publish = Callable[[Sequence[PublishedModel], bool], None]
Report = Callable[[Event], None]
_log = logging.getLogger("penstock.repository")


class Lifecycle:
    """The versions of a repository. Every method may be called from any thread.

    `load` turns a folder into something that serves, on one of `threads` threads. `publish` is given every
    snapshot, in order, one call at a time. `report` is given what an operator should know, in order, one call
    at a time; it must neither wait nor call back. `limits` are those that `load` holds bundles to.
    """

    def __init__(
        self,
        root: Path,
        *,
        settings: Callable[[str], ModelSection],
        load: Loader,
        publish: Publish,
        report: Report,
        limits: Limits = DEFAULT_LIMITS,
        threads: int = 2,
    ) -> None:
        self._root = root
        self._settings = settings
        self._load = load
        self._publish = publish
        self._report = failing_into(_log, "reporting", report)  # serving does not depend on it
        self._limits = limits
        self._pool = ThreadPoolExecutor(threads, "penstock-load", yield_to_serving)
        # Of its own: what was unloaded to make room must not wait behind the loads that need it.
        self._releases = ThreadPoolExecutor(1, "penstock-release", yield_to_serving)
        # Taken in this order. While the disk is read and what was found is taken over, nobody else does the
        # same: an older look never undoes a newer one.
        self._disk = threading.Lock()
        self._telling = threading.Lock()
        # Of everything below; _view is also read without it, as it is replaced whole.
        self._lock = threading.Lock()
        self._models: dict[str, ManagedModel] = {}
        self._events: list[Event] = []
        self._dropped: list[tuple[Loaded, VersionSlot | None]] = []  # still published
        self._loading = 0
        self._scanned = False
        self._closed = False
        self._view: RepositoryView | None = None
        self._ready = False
        self._was_settled = False
        self._settled = threading.Event()

    @property
    def view(self) -> RepositoryView:
        """The snapshot that was published last."""
        return self._view or RepositoryView()

    @property
    def loading(self) -> bool:
        """Whether a load is under way, wanted or not; one that is not has its outcome published."""
        with self._lock:
            return self._loading > 0

    def folders(self) -> dict[str, ModelFolder]:
        """The folders that the present state was worked out from."""
        with self._lock:
            return {name: model.folder for name, model in self._models.items()}

    def wait_settled(self, timeout: float | None = None) -> bool:
        """Waits until every version that the first scan wanted is ready or has failed, and that was told."""
        return self._settled.wait(timeout)

    def scan(self) -> None:
        """Reads the whole repository again and retries what failed. ServerError where it cannot be read."""
        with self.looking() as folders, self._change():
            for model in self._models.values():
                model.forget_failures()
            self._adopt(folders)

    @contextmanager
    def looking(self) -> Iterator[dict[str, ModelFolder]]:
        """What lies on disk now. Nobody else reads it and adopts what was found until the block ends.

        ServerError where it cannot be read.
        """
        with self._disk:
            yield layout.scan(self._root, self._limits)

    def adopt(self, folders: Mapping[str, ModelFolder]) -> None:
        """Takes these as what lies on disk: the watcher's way in, while it is looking()."""
        with self._change():
            self._adopt(folders)

    def load(self, name: str, version: str = "") -> None:
        """Loads a version, or without one all that the model's policy wants, and waits until they serve.

        Reads that model's folder again, and undoes an unload. Raises NotFoundError for what is not on disk,
        and a load's own error where one failed: what served before then serves on.
        """
        with self._disk:
            folder = layout.find_model(self._root, name, self._limits)
            if folder is None:
                raise unknown_model(name)
            with self._change():
                model, asked = self._ask_for(folder, version)
        while attempts := self._attempts(model, asked):
            for attempt in attempts:
                attempt.done.result()
        with self._lock:
            slots = {v: model.slots[v] for v in asked if v in model.slots}
            failures = [slot.failure for slot in slots.values() if slot.failure is not None]
            missing = [v for v in asked if v not in slots or slots[v].serving is None]
        if failures:  # since it was asked for: earlier ones are forgotten then
            raise failures[0].told() from failures[0].error
        if missing:
            raise StatusError(UNAVAILABLE, f"{name}:{missing[0]} was unloaded again, or the server stops")

    def unload(self, name: str, version: str = "") -> None:
        """Drops a version, or without one all of the model, at once; requests that are being answered finish.

        It stays down until it is loaded by name again, whatever the policy says. NotFoundError for an unknown
        one.
        """
        with self._change():
            model = self._models.get(name)
            if model is None:
                raise unknown_model(name)
            asked, version = version, model.aliases.get(version, version)
            if version and version not in model.slots:
                raise unknown_version(name, asked, {*model.slots, *model.aliases})
            model.request_unload(version)

    def stop_taking(self) -> None:
        """Tells callers that the server is not ready any more, and publishes nothing after that.

        What is published already goes on answering.
        """
        with self._change():
            self._closed = True

    def close(self) -> None:
        """Gives up the loads that wait for a thread. One that is under way goes on; see `loading`."""
        self.stop_taking()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._releases.shutdown(wait=False)

    def _attempts(self, model: ManagedModel, versions: Iterable[str]) -> list[Attempt]:
        with self._lock:
            slots = [model.slots[version] for version in versions if version in model.slots]
            return [slot.attempt for slot in slots if slot.attempt is not None]

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Holds the lock around a change, brings all in line and publishes it; then tells of it."""
        try:
            with self._lock:
                yield
                for name, model in list(self._models.items()):
                    self._carry_out(model)
                    if not model.slots:
                        del self._models[name]
                self._show()
                self._let_go_of_dropped()
        finally:
            self._tell()

    def _tell(self) -> None:
        """Reports what there is to tell, and only then that the start is over."""
        with self._telling:
            with self._lock:
                events, self._events = self._events, []
                settled = self._was_settled
            for event in events:
                self._report(event)
            if settled:
                self._settled.set()

    # Under the lock from here on.

    def _ask_for(self, folder: ModelFolder, version: str) -> tuple[ManagedModel, set[str]]:
        """Notes that an operator wants a version, "" for all of the policy; the versions that it means."""
        name = folder.name
        known = self._models[name].folder if name in self._models else ModelFolder(name)
        if folder.problem:  # what cannot be read now stays as it was known
            versions, aliases = folder.versions or known.versions, known.aliases
        else:
            versions, aliases = folder.versions, folder.aliases
        names = {**self._settings(name).aliases, **aliases}
        target = version if version in versions else names.get(version, version)
        if target and target not in versions:
            if folder.problem:
                raise ServerError(
                    f"the folder of model '{name}' cannot be read; the server's output says why"
                )
            raise unknown_version(name, version, {*versions, *names})
        model = self._managed(name)
        model.adopt(folder)
        model.request_load(target)
        asked = {target} if target else set(model.wanted())
        if not asked:
            there = ", ".join(sorted(versions, key=version_order)) or "none"
            raise NotFoundError(f"model '{name}' has no version that its policy wants; it has {there}")
        return model, asked

    def _managed(self, name: str) -> ManagedModel:
        if name not in self._models:
            self._models[name] = ManagedModel(name, self._settings(name))
        return self._models[name]

    def _adopt(self, folders: Mapping[str, ModelFolder]) -> None:
        for name in {*self._models, *folders}:
            self._managed(name).adopt(folders.get(name, ModelFolder(name)))
        self._scanned = True

    def _carry_out(self, model: ManagedModel) -> None:
        plan = model.plan()
        for folder in plan.load:
            if not self._closed:
                self._start(model.slots[folder.version], folder)
        for version, reason in plan.drop:
            slot = model.slots[version]
            self._events.append(
                Event(
                    "version_unloaded",
                    f"{model.name}:{version} unloaded ({reason})",
                    model=model.name,
                    version=version,
                    reason=reason,
                )
            )
            self._drop(slot.drop(reason), slot)
        model.settle()
        self._events += model.take_complaints()

    def _start(self, slot: VersionSlot, folder: VersionFolder) -> None:
        attempt = Attempt(folder, Future())
        slot.begin(attempt)
        self._loading += 1
        job = self._pool.submit(self._run, attempt)
        job.add_done_callback(lambda done: self._give_up(attempt) if done.cancelled() else None)

    def _drop(self, before: Loaded | None, slot: VersionSlot | None) -> None:
        """Notes what is to be let go of, and the slot that is told then."""
        if before is not None:
            self._dropped.append((before, slot))

    def _let_go_of_dropped(self) -> None:
        """After what took its place is published: on a thread that nobody waits for, as a large model takes
        its time to free.
        """
        dropped, self._dropped = self._dropped, []
        if dropped and not self._closed:  # else the process ends, and takes it along
            self._releases.submit(self._let_go, dropped)

    def _show(self) -> None:
        """Publishes the whole, if anything is different from what callers see now."""
        if self._closed:
            if self._ready:
                self._publish([model.published() for model in self.view.models.values()], False)
                self._ready = False
            return
        slots = [slot for model in self._models.values() for slot in model.slots.values()]
        settled = self._scanned and not any(
            slot.attempt is not None and slot.serving is None for slot in slots
        )
        ready = self._was_settled or settled
        view = RepositoryView({name: self._models[name].view() for name in sorted(self._models)})
        if view != self._view or ready != self._ready:
            self._publish([model.published() for model in view.models.values()], ready)
            self._view, self._ready = view, ready
        self._was_settled = ready

    # Not under the lock.

    def _let_go(self, dropped: list[tuple[Loaded, VersionSlot | None]]) -> None:
        slots = [slot for _, slot in dropped if slot is not None]
        dropped.clear()  # the last hold on them, but for requests that are being answered
        if slots:  # else another content took their place, and the memory is soon used again
            _return_memory()
            with self._change():
                for slot in slots:
                    slot.released()

    def _give_up(self, attempt: Attempt) -> None:
        """close() was faster than a thread for this load."""
        with self._change():
            self._loading -= 1
            self._models[attempt.folder.model].slots[attempt.folder.version].abandon()
        attempt.done.set_result(None)

    # On a loading thread.

    def _run(self, attempt: Attempt) -> None:
        """Loads, and takes the outcome over. `attempt.done` resolves last, whatever happens."""
        defect: BaseException | None = None
        try:
            started = time.monotonic()
            try:
                loaded = self._load(attempt.folder)
            except BaseException as error:  # a library's panic is no Exception
                self._refuse(attempt, error)
            else:
                self._accept(attempt, loaded, time.monotonic() - started)
        except BaseException as error:
            _log.exception("what became of loading %s could not be published", _label(attempt.folder))
            defect = error
        finally:
            if defect is None:
                attempt.done.set_result(None)
            else:
                attempt.done.set_exception(defect)

    def _accept(self, attempt: Attempt, loaded: Loaded, seconds: float) -> None:
        folder = attempt.folder
        with self._change():
            self._loading -= 1
            model = self._models[folder.model]  # still there: a slot with an attempt is never forgotten
            slot = model.slots[folder.version]
            if folder.version not in model.wanted():
                slot.abandon()
                return
            self._drop(slot.succeed(loaded), None)
            self._events.append(_ready_event(folder, loaded, seconds))

    def _refuse(self, attempt: Attempt, error: BaseException) -> None:
        if not isinstance(error, PenstockError):
            _log.error("loading %s failed unexpectedly", _label(attempt.folder), exc_info=error)
        error.__traceback__ = error.__cause__ = error.__context__ = (
            None  # their frames would keep the half-loaded model alive
        )
        folder = attempt.folder
        with self._change():
            self._loading -= 1
            slot = self._models[folder.model].slots[folder.version]
            failure = slot.fail(error)
            serving = slot.serving is not None
            kept = "; what served goes on serving" if serving else ""
            self._events.append(
                Event(
                    "version_refused",
                    f"{_label(folder)} refused: {failure.reason}{kept}",
                    model=folder.model,
                    version=folder.version,
                    reason=failure.reason,
                    still_serving=serving,
                )
            )


def _ready_event(folder: VersionFolder, loaded: Loaded, seconds: float) -> Event:
    inputs = len(loaded.core.inputs)
    facts: dict[str, Value] = {"executor": loaded.description, "inputs": inputs}
    requests = ""
    if loaded.schedule is not None:
        schedule = asdict(loaded.schedule)
        requests = f"; {schedules.described(schedule)}"
        facts |= {
            "execution": schedules.execution(schedule),
            "merges": schedule["merges"],
            "min_batch_rows": schedule["min_batch_rows"],
            "fixed_ns": schedule["fixed_ns"],
            "row_ns": schedule["row_ns"],
            "reason": schedule["reason"],
        }
    return Event(
        "version_ready",
        f"{_label(folder)} ready in {seconds * 1000:.0f} ms ({loaded.description}, "
        f"{inputs} input{'s' if inputs != 1 else ''}, digest {loaded.digest[:8]}{requests})",
        model=folder.model,
        version=folder.version,
        ms=round(seconds * 1000, 3),
        digest=loaded.digest,
        **facts,
    )


def _return_memory() -> None:
    """Gives what was freed back to the system, which glibc would keep in its heaps for this process alone.

    See malloc_trim(3): all but the top of each heap, which the next load uses again. Takes milliseconds.
    Other C libraries have no such call and no such heaps.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _label(folder: VersionFolder) -> str:
    return f"{folder.model}:{folder.version}"
