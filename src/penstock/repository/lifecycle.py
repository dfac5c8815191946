"""Lifecycle: brings what is served in line with what is wanted, without ever serving less on the way.

Every change goes the same way: note what changed, let each model plan (model.py), start the loads that are
missing, drop what nobody wants any more, publish the whole as one snapshot. A wanted version is loaded,
checked and warm before an unwanted one of the same model goes. A load that fails changes nothing but its own
version's state.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock.config import ModelSection
from penstock.errors import UNAVAILABLE, NotFoundError, PenstockError, StatusError
from penstock.repository import layout
from penstock.repository.layout import ModelFolder, VersionFolder
from penstock.repository.model import ManagedModel
from penstock.repository.states import Attempt, Loaded, VersionSlot
from penstock.repository.view import PublishedModel, RepositoryView

Loader = Callable[[VersionFolder], Loaded]
Publish = Callable[[Sequence[PublishedModel], bool], None]
Report = Callable[[str], None]
_log = logging.getLogger("penstock.repository")


# A tenth of the processor where serving wants all of it; loads never starve.
_LOAD_NICENESS = 10


class Lifecycle:
    """The versions of a repository. Every method may be called from any thread.

    `load` turns a folder into something that serves, on one of `threads` threads. `publish` is given every
    snapshot, in order, one call at a time. `report` is given one line for each thing that an operator should
    know, outside the lock.
    """

    def __init__(
        self,
        root: Path,
        *,
        settings: Callable[[str], ModelSection],
        load: Loader,
        publish: Publish,
        report: Report,
        threads: int = 2,
    ) -> None:
        self._root = root
        self._settings = settings
        self._load = load
        self._publish = publish
        self._report = report
        self._pool = ThreadPoolExecutor(threads, "penstock-load", _yield_to_serving)
        self._lock = (
            threading.Lock()
        )  # of everything below; _view is also read without it, as it is replaced whole
        self._models: dict[str, ManagedModel] = {}
        self._lines: list[str] = []
        self._loading = 0
        self._scanned = False
        self._closed = False
        self._view: RepositoryView | None = None
        self._ready = False
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
        """Waits until every version that the first scan wanted is ready or has failed."""
        return self._settled.wait(timeout)

    def scan(self) -> None:
        """Reads the whole repository again and retries what failed. ServerError where it cannot be read."""
        with self._change():
            folders = layout.scan(self._root)
            for model in self._models.values():
                model.forget_failures()
            self._adopt(folders)

    def adopt(self, folders: Mapping[str, ModelFolder]) -> None:
        """Takes these as what lies on disk: the watcher's way in."""
        with self._change():
            self._adopt(folders)

    def load(self, name: str, version: str = "") -> None:
        """Loads a version, or without one all that the model's policy wants, and waits until they serve.

        Undoes an unload. Raises NotFoundError for what is not on disk, and a load's own error where one
        failed: what served before then serves on.
        """
        with self._change():
            folder = layout.scan(self._root).get(name)
            if folder is None:
                raise NotFoundError(f"there is no model '{name}' in {self._root}")
            settings = self._settings(name)
            version = {**settings.aliases, **folder.aliases}.get(version, version)
            if version and version not in folder.versions:
                raise NotFoundError(f"model '{name}' has no version '{version}' in {self._root / name}")
            model = self._managed(name)
            model.adopt(folder)
            model.request_load(version)
            asked = {version} if version else set(model.wanted())
            if not asked:
                raise NotFoundError(f"the policy of model '{name}' wants no version in {self._root / name}")
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
                raise NotFoundError(f"unknown model '{name}'")
            version = model.aliases.get(version, version)
            if version and version not in model.slots:
                raise NotFoundError(f"model '{name}' has no version '{version}'")
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

    # Under the lock from here on.

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
        finally:
            with self._lock:
                lines, self._lines = self._lines, []
            for line in lines:
                self._report(line)

    def _managed(self, name: str) -> ManagedModel:
        if name not in self._models:
            self._models[name] = ManagedModel(name, self._settings(name))
        return self._models[name]

    def _adopt(self, folders: Mapping[str, ModelFolder]) -> None:
        for name in {*self._models, *folders}:
            self._managed(name).adopt(folders.get(name, ModelFolder(name)))
        self._scanned = True

    def _attempts(self, model: ManagedModel, versions: Iterable[str]) -> list[Attempt]:
        with self._lock:
            slots = [model.slots[version] for version in versions if version in model.slots]
            return [slot.attempt for slot in slots if slot.attempt is not None]

    def _carry_out(self, model: ManagedModel) -> None:
        plan = model.plan()
        for folder in plan.load:
            if not self._closed:
                self._start(model.slots[folder.version], folder)
        for version, reason in plan.drop:
            slot = model.slots[version]
            self._lines.append(f"{model.name}:{version} unloaded ({reason})")
            self._release(slot.drop(reason), slot)
        model.settle()
        self._lines += model.take_complaints()

    def _start(self, slot: VersionSlot, folder: VersionFolder) -> None:
        attempt = Attempt(folder, Future())
        slot.begin(attempt)
        self._loading += 1
        job = self._pool.submit(self._run, attempt)
        job.add_done_callback(lambda done: self._give_up(attempt) if done.cancelled() else None)

    def _release(self, before: Loaded | None, slot: VersionSlot | None = None) -> None:
        """Lets go of what served on a thread that nobody waits for: a large model takes its time to free."""
        held = [before]

        def let_go() -> None:
            held.clear()
            if slot is not None:
                with self._change():
                    slot.releasing = False

        if not self._closed:  # else the process ends, and takes it along
            self._pool.submit(let_go)

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
        ready = self._settled.is_set() or settled
        view = RepositoryView({name: self._models[name].view() for name in sorted(self._models)})
        if view != self._view or ready != self._ready:
            self._publish([model.published() for model in view.models.values()], ready)
            self._view, self._ready = view, ready
        if settled:
            self._settled.set()

    def _give_up(self, attempt: Attempt) -> None:
        """close() was faster than a thread for this load."""
        with self._change():
            self._loading -= 1
            self._models[attempt.folder.model].slots[attempt.folder.version].abandon()
        attempt.done.set_result(None)

    # On a loading thread.

    def _run(self, attempt: Attempt) -> None:
        """Loads, and takes the outcome over. `attempt.done` resolves last, whatever happens."""
        try:
            started = time.monotonic()
            try:
                loaded = self._load(attempt.folder)
            except Exception as error:
                self._refuse(attempt, error)
            else:
                self._accept(attempt, loaded, time.monotonic() - started)
        except Exception:
            _log.exception("the snapshot could not be published")
        finally:
            attempt.done.set_result(None)

    def _accept(self, attempt: Attempt, loaded: Loaded, seconds: float) -> None:
        folder = attempt.folder
        with self._change():
            self._loading -= 1
            model = self._models[folder.model]  # still there: a slot with an attempt is never forgotten
            slot = model.slots[folder.version]
            if folder.version not in model.wanted():
                slot.abandon()
                return
            before = slot.succeed(loaded)
            if before is not None:
                self._release(before)
            self._lines.append(f"{_label(folder)} ready in {seconds * 1000:.0f} ms ({_summary(loaded)})")

    def _refuse(self, attempt: Attempt, error: Exception) -> None:
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
            kept = "; what served goes on serving" if slot.serving is not None else ""
            self._lines.append(f"{_label(folder)} refused: {failure.reason}{kept}")


def _yield_to_serving() -> None:
    """Lets serving threads go first: a load may take longer, a request may not."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOAD_NICENESS)


def _label(folder: VersionFolder) -> str:
    return f"{folder.model}:{folder.version}"


def _summary(loaded: Loaded) -> str:
    inputs = len(loaded.core.inputs)
    return f"{loaded.description}, {inputs} input{'s' if inputs != 1 else ''}, digest {loaded.digest[:8]}"
