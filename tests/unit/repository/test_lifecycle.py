from __future__ import annotations

import contextlib
import gc
import logging
import re
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disk_world import WAIT_S, World, touch

from penstock.bundle.schedule import Schedule
from penstock.config import ModelSection
from penstock.errors import INTERNAL, UNAVAILABLE, BundleError, NotFoundError, ServerError, StatusError
from penstock.log import Event
from penstock.repository import layout
from penstock.repository.layout import VersionFolder


def test_the_highest_version_is_served_and_the_others_say_why_they_are_not(world: World) -> None:
    for version in ("2", "9", "10"):
        world.disk.put("delay", version, f"good {version}")
    world.scan()
    assert world.now.serving("delay") == {"10": "good 10"}
    assert world.now.versions("delay")["9"] == "not wanted by the model's policy"
    assert world.now.models["delay"][0] == "10"
    assert world.now.ready
    assert any(line.startswith("delay:10 ready in ") for line in world.lines)
    assert any(
        line.endswith(" ms (a test model, 1 input, digest " + _digest(world, "10") + ")")
        for line in world.lines
    )


def _digest(world: World, version: str) -> str:
    return world.lifecycle.view.resolve("delay", version)[1].digest[:8]


def test_the_server_is_not_ready_before_the_first_loads_are_settled(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.put("fare", "1", "bad")
    world.loader.hold("delay:1")
    world.lifecycle.scan()
    world.wait(lambda: any("fare:1 refused" in line for line in world.lines))
    assert not world.lifecycle.wait_settled(0)
    assert not any(snapshot.ready for snapshot in world.snapshots)
    world.loader.release("delay:1")
    assert world.lifecycle.wait_settled(WAIT_S)
    assert world.now.ready


def test_an_empty_repository_is_ready_at_once(world: World) -> None:
    world.lifecycle.scan()
    assert world.lifecycle.wait_settled(0)
    assert world.now.ready


def test_the_old_version_serves_until_the_new_one_is_loaded(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.scan()
    world.disk.put("delay", "2", "good 2")
    world.loader.hold("delay:2")
    world.lifecycle.scan()
    world.wait(lambda: "delay:2" in world.loader.loads)
    assert world.now.serving("delay") == {"1": "good 1"}
    world.loader.release("delay:2")
    world.quiet()
    assert world.now.serving("delay") == {"2": "good 2"}
    seen = [set(snapshot.serving("delay")) for snapshot in world.snapshots]
    assert set() not in seen[seen.index({"1"}) :]


def test_a_failed_load_leaves_what_served_and_says_why_in_one_line(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.scan()
    world.disk.put("delay", "2", "bad")
    world.scan()
    assert world.now.serving("delay") == {"1": "good 1"}
    assert world.now.versions("delay")["2"] == "model.bin of delay:2 is bad"
    assert world.states() == {"delay:1": "READY", "delay:2": "FAILED"}
    assert "delay:2 refused: model.bin of delay:2 is bad" in world.lines
    assert not any("delay:1 unloaded" in line for line in world.lines)


def test_at_the_start_the_best_version_that_can_be_loaded_is_served(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.disk.put("delay", "2", "bad")
    world.disk.put("delay", "3", "bad")
    world.scan()
    assert world.now.serving("delay") == {"1": "good 1"}
    assert world.now.models["delay"][0] == "1"


def test_changed_content_under_the_same_number_is_loaded_anew_and_swapped_in(world: World) -> None:
    world.disk.put("delay", "1", "first")
    world.scan()
    world.disk.put("delay", "1", "second")
    world.loader.hold("delay:1")
    world.lifecycle.scan()
    world.wait(lambda: world.loader.loads.count("delay:1") == 2)
    assert world.states() == {"delay:1": "READY"}
    assert world.now.serving("delay") == {"1": "first"}
    world.loader.release("delay:1")
    world.quiet()
    assert world.now.serving("delay") == {"1": "second"}


def test_changed_content_that_is_refused_leaves_the_old_content_serving(world: World) -> None:
    world.disk.put("delay", "1", "first")
    world.disk.put("delay", "0", "older")
    world.scan()
    world.disk.put("delay", "1", "bad")
    world.scan()
    assert world.now.serving("delay") == {"1": "first"}
    assert any(
        line.startswith("delay:1 refused") and line.endswith("what served goes on serving")
        for line in world.lines
    )
    view = world.lifecycle.view.models["delay"].versions["1"]
    assert view.reason == "the changed files were refused: model.bin of delay:1 is bad"


def test_touched_files_of_the_same_digest_are_not_loaded_again(world: World) -> None:
    folder = world.disk.put("delay", "1")
    world.scan()
    touch(folder / "model.bin", 1)
    world.scan()
    assert world.loader.loads == ["delay:1"]


def test_what_failed_is_not_tried_again_until_its_files_change_or_somebody_asks(world: World) -> None:
    world.disk.put("delay", "1", "bad")
    world.scan()
    world.lifecycle.adopt(world.lifecycle.folders())
    world.quiet()
    assert world.loader.loads == ["delay:1"]
    world.scan()
    assert world.loader.loads == ["delay:1", "delay:1"]
    with pytest.raises(BundleError, match="bad"):
        world.lifecycle.load("delay")
    assert len(world.loader.loads) == 3
    world.disk.put("delay", "1", "repaired")
    world.scan()
    assert world.now.serving("delay") == {"1": "repaired"}


def test_removed_folders_are_unloaded_and_forgotten(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.put("fare", "1")
    world.scan()
    world.disk.remove("delay", "1")
    world.scan()
    world.wait(lambda: "delay" not in world.now.models)
    assert set(world.now.models) == {"fare"}
    assert "delay:1 unloaded (its folder is gone)" in world.lines


def test_all_and_named_policies_and_a_count_are_followed(world: World) -> None:
    world.settings["every"] = ModelSection(policy="all")
    world.settings["named"] = ModelSection(policy=("1", "7"))
    world.settings["two"] = ModelSection(latest_count=2)
    for model in ("every", "named", "two"):
        for version in ("1", "2", "3"):
            world.disk.put(model, version, version)
    world.scan()
    assert {m: sorted(world.now.serving(m)) for m in world.now.models} == {
        "every": ["1", "2", "3"],
        "named": ["1"],
        "two": ["2", "3"],
    }


def test_an_alias_keeps_its_version_loaded_and_flips_in_one_snapshot(world: World) -> None:
    world.settings["delay"] = ModelSection(aliases={"champion": "1"})
    world.disk.put("delay", "1", "good 1")
    world.disk.put("delay", "2", "good 2")
    world.scan()
    assert sorted(world.now.serving("delay")) == ["1", "2"]
    assert world.now.models["delay"][:2] == ("2", {"champion": "1"})
    first = len(world.snapshots)
    world.disk.alias("delay", champion="2")
    world.scan()
    assert world.now.models["delay"][1] == {"champion": "2"}
    for snapshot in world.snapshots[first - 1 :]:
        target = snapshot.models["delay"][1]["champion"]
        assert target in snapshot.serving("delay")
    assert sorted(world.now.serving("delay")) == ["2"]


def test_an_alias_to_a_version_that_fails_stays_where_it_was(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.disk.alias("delay", champion="1")
    world.scan()
    world.disk.put("delay", "2", "bad")
    world.disk.alias("delay", champion="2")
    world.scan()
    assert world.now.models["delay"][1] == {"champion": "1"}
    assert world.now.serving("delay") == {"1": "good 1"}
    told = [line for line in world.lines if "alias champion names version 2, which is not ready" in line]
    assert told == [
        "delay: alias champion names version 2, which is not ready: model.bin of delay:2 is bad; it stays at 1"  # noqa: E501
    ]


def test_an_alias_to_no_version_at_all_is_told_once(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.alias("delay", champion="8")
    world.scan()
    world.lifecycle.adopt(world.lifecycle.folders())
    assert (
        world.lines.count(
            "delay: alias champion names version 8, which is not ready: there is no such version"
        )
        == 1
    )
    assert world.now.models["delay"][1] == {}


def test_unloading_a_version_that_an_alias_names_is_told_once(world: World) -> None:
    world.disk.put("delay", "1", "good 1")
    world.disk.alias("delay", champion="1")
    world.scan()
    world.lifecycle.unload("delay", "1")
    world.quiet()
    world.wait(lambda: len(world.lines) == 3)
    assert world.lines[1:] == [
        "delay:1 unloaded (unloaded on request)",
        "delay: alias champion names version 1, which is not ready: unloaded on request",
    ]


def test_unreadable_aliases_leave_the_ones_that_are_served(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.alias("delay", champion="1")
    world.scan()
    (world.disk.root / "delay" / "aliases.json").write_text("{")
    world.scan()
    assert world.now.models["delay"][1] == {"champion": "1"}
    assert any("aliases.json is not JSON" in line for line in world.lines)


def test_stable_says_which_version_answers_when_none_is_named(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.put("delay", "2")
    world.disk.alias("delay", stable="1")
    world.scan()
    assert world.now.models["delay"][0] == "1"


def test_a_version_can_be_loaded_by_name_and_unloaded_again(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.put("delay", "2")
    world.scan()
    world.lifecycle.load("delay", "1")
    assert sorted(world.now.serving("delay")) == ["1", "2"]
    world.lifecycle.unload("delay", "1")
    assert sorted(world.now.serving("delay")) == ["2"]
    world.quiet()
    assert world.now.versions("delay")["1"] == "unloaded on request"
    assert world.states()["delay:1"] == "UNAVAILABLE"


def test_an_unloaded_model_stays_down_through_scans_until_it_is_loaded(world: World) -> None:
    world.disk.put("delay", "1")
    world.scan()
    world.lifecycle.unload("delay")
    world.scan()
    assert world.now.serving("delay") == {}
    with pytest.raises(StatusError, match="unloaded on request") as refused:
        world.lifecycle.view.resolve("delay", "")
    assert refused.value.status == UNAVAILABLE
    world.lifecycle.load("delay")
    assert sorted(world.now.serving("delay")) == ["1"]


def test_the_versions_that_there_are_are_told_in_their_natural_order(world: World) -> None:
    for version in ("1", "2", "10"):
        world.disk.put("delay", version)
    world.disk.alias("delay", champion="1")
    world.scan()
    for change in (world.lifecycle.load, world.lifecycle.unload, world.lifecycle.view.resolve):
        with pytest.raises(NotFoundError, match=r"it has 1, 2, 10, champion$"):
            change("delay", "7")


def test_after_a_model_was_unloaded_only_the_version_that_is_named_comes_back(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.put("delay", "2")
    world.scan()
    world.lifecycle.unload("delay")
    world.lifecycle.load("delay", "1")
    assert sorted(world.now.serving("delay")) == ["1"]


def test_a_load_of_what_is_not_there_says_so_in_the_words_of_the_data_plane(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.alias("delay", champion="1")
    world.scan()
    for change in (world.lifecycle.load, world.lifecycle.unload):
        for name in ("fare", "../delay", ""):
            words = f"model '{name}' is not hosted here; RepositoryIndex lists what is"
            with pytest.raises(NotFoundError, match=f"^{re.escape(words)}$"):
                change(name)
        words = "model 'delay' has no version or alias '7'; it has 1, champion"
        with pytest.raises(NotFoundError, match=f"^{words}$"):
            change("delay", "7")
    (world.disk.root / "empty").mkdir()
    with pytest.raises(
        NotFoundError, match=r"^model 'empty' has no version that its policy wants; it has none$"
    ):
        world.lifecycle.load("empty")
    assert set(world.states()) == {"delay:1"}


def test_a_load_picks_up_a_folder_that_no_scan_saw(world: World) -> None:
    world.scan()
    world.disk.put("delay", "1")
    world.lifecycle.load("delay")
    assert sorted(world.now.serving("delay")) == ["1"]


def test_a_version_unloaded_while_it_is_loading_does_not_serve_and_its_load_says_so(world: World) -> None:
    world.disk.put("delay", "1")
    world.lifecycle.scan()
    world.quiet()
    world.disk.put("delay", "2")
    world.loader.hold("delay:2")
    errors: list[BaseException] = []

    def load() -> None:
        try:
            world.lifecycle.load("delay", "2")
        except StatusError as error:
            errors.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    world.wait(lambda: "delay:2" in world.loader.loads)
    world.lifecycle.unload("delay", "2")
    world.loader.release("delay:2")
    thread.join(WAIT_S)
    assert [str(error) for error in errors] == ["delay:2 was unloaded again, or the server stops"]
    assert sorted(world.now.serving("delay")) == ["1"]


def test_closing_ends_the_wait_for_a_load_that_never_began(world: World) -> None:
    for model in ("a", "b", "c"):
        world.disk.put(model, "1")
        world.loader.hold(f"{model}:1")
    world.lifecycle.scan()
    world.wait(lambda: len(world.loader.loads) == 3)
    world.disk.put("queued", "1")
    errors: list[BaseException] = []

    def load() -> None:
        try:
            world.lifecycle.load("queued")
        except StatusError as error:
            errors.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    world.wait(lambda: "queued:1" in world.states())
    world.lifecycle.close()
    for model in ("a", "b", "c"):
        world.loader.release(f"{model}:1")
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert not world.now.ready


def test_loads_unloads_and_scans_from_many_threads_end_in_one_consistent_state(world: World) -> None:
    for version in ("1", "2", "3"):
        world.disk.put("delay", version, version)
    world.settings["delay"] = ModelSection(policy="all")
    world.scan()

    def churn(version: str) -> None:
        for _ in range(20):
            world.lifecycle.unload("delay", version)
            with contextlib.suppress(StatusError):  # another thread's change may come between
                world.lifecycle.load("delay", version)
            world.lifecycle.scan()

    threads = [threading.Thread(target=churn, args=(version,)) for version in ("1", "2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.scan()
    assert world.now.serving("delay") == {"1": "1", "2": "2", "3": "3"}
    view = world.lifecycle.view.models["delay"]
    assert view.ready_versions() == ["1", "2", "3"]


def test_five_hundred_reloads_keep_nothing_of_the_versions_before(world: World) -> None:
    kept: list[weakref.ref[object]] = []
    for number in range(500):
        world.disk.put("delay", "1", f"content {number}")
        world.lifecycle.load("delay")
        core = world.lifecycle.view.resolve("delay", "")[1].core
        assert core.content == f"content {number}"
        kept.append(weakref.ref(core))
        del core
        world.snapshots.clear()
        world.lines.clear()
    world.wait(lambda: not world.lifecycle.loading)
    world.lifecycle.close()
    gc.collect()
    assert sum(ref() is not None for ref in kept) <= 1


def started(work: Callable[[], Any]) -> tuple[threading.Thread, list[Exception]]:
    """Does it on a thread of its own; its error, if it raised one."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="asker")
    thread.start()
    return thread, errors


def freed_on(world: World, version: str) -> list[str]:
    """Gets the name of the thread that frees what serves, once it does."""
    names: list[str] = []
    serving = world.lifecycle.view.resolve("delay", version)[1]
    weakref.finalize(serving, lambda: names.append(threading.current_thread().name))
    return names


def test_what_is_unloaded_is_freed_after_it_is_unpublished_and_on_a_thread_nobody_waits_for(
    world: World,
) -> None:
    world.disk.put("delay", "1")
    world.disk.put("delay", "2")
    world.scan()
    freed = freed_on(world, "2")
    freed_when_published: list[bool] = []
    publish = world.publish

    def slow_publish(models: Any, ready: bool) -> None:
        if "2" not in {v for m in models for v, core in m[3].items() if not isinstance(core, str)}:
            threading.Event().wait(0.2)  # long enough for another thread to free it too early
            freed_when_published.append(bool(freed))
        publish(models, ready)

    world.lifecycle._publish = slow_publish
    world.lifecycle.unload("delay", "2")
    world.quiet()
    gc.collect()
    assert freed_when_published[0] is False
    assert freed == ["penstock-release_0"]
    assert world.states()["delay:2"] == "UNAVAILABLE"


def test_what_is_unloaded_does_not_wait_behind_loads(world: World) -> None:
    world.disk.put("delay", "1")
    world.scan()
    freed = freed_on(world, "1")
    for model in ("a", "b", "c"):
        world.disk.put(model, "1")
        world.loader.hold(f"{model}:1")
    world.lifecycle.scan()
    world.wait(lambda: len(world.loader.loads) == 4)  # every loading thread is taken
    world.lifecycle.unload("delay")
    world.wait(lambda: world.states()["delay:1"] == "UNAVAILABLE")
    assert freed == ["penstock-release_0"]


def test_a_version_that_is_replaced_is_freed_the_same_way(world: World) -> None:
    world.disk.put("delay", "1", "first")
    world.scan()
    freed = freed_on(world, "1")
    world.disk.put("delay", "1", "second")
    world.scan()
    world.wait(lambda: bool(freed))
    assert freed == ["penstock-release_0"]


def test_the_start_is_over_only_when_all_of_it_was_told(world: World) -> None:
    world.disk.put("delay", "1")
    told = threading.Event()
    report = world.report

    def slow_report(event: Event) -> None:
        assert told.wait(WAIT_S)
        report(event)

    world.lifecycle._report = slow_report
    world.lifecycle.scan()
    world.wait(lambda: world.now.ready)
    assert not world.lifecycle.wait_settled(0.05)
    told.set()
    assert world.lifecycle.wait_settled(WAIT_S)
    assert world.event("version_ready").startswith("delay:1 ready in ")


def test_events_are_told_in_the_order_in_which_they_happened(world: World) -> None:
    world.disk.put("delay", "1")
    world.scan()
    report = world.report
    first = threading.Event()

    def report_that_holds_up_the_first(event: Event) -> None:
        if event.kind == "version_unloaded" and not first.is_set():
            first.set()
            threading.Event().wait(0.2)  # long enough for another thread to overtake
        report(event)

    world.lifecycle._report = report_that_holds_up_the_first
    thread, errors = started(lambda: world.lifecycle.unload("delay"))
    assert first.wait(WAIT_S)
    world.lifecycle.load("delay")
    thread.join(WAIT_S)
    world.quiet()
    assert errors == []
    assert [event.kind for event in world.lines[-2:]] == ["version_unloaded", "version_ready"]


def test_events_carry_what_their_lines_say_as_fields(world: World) -> None:
    folder = world.disk.put("delay", "1")
    world.disk.put("fare", "1", "bad")
    world.scan()
    digest = world.lifecycle.view.resolve("delay", "1")[1].digest
    ready = world.event("version_ready")
    assert {**ready.fields, "ms": 0} == {
        "model": "delay",
        "version": "1",
        "ms": 0,
        "digest": digest,
        "executor": "a test model",
        "inputs": 1,
    }
    assert f"ready in {float(str(ready.fields['ms'])):.0f} ms" in ready
    assert world.event("version_refused").fields == {
        "model": "fare",
        "version": "1",
        "reason": "model.bin of fare:1 is bad",
        "still_serving": False,
    }
    world.lifecycle.unload("delay")
    assert world.event("version_unloaded").fields == {
        "model": "delay",
        "version": "1",
        "reason": "unloaded on request",
    }
    assert folder.exists()


def test_a_version_that_is_ready_says_where_its_requests_run_and_why(world: World) -> None:
    world.disk.put("delay", "1")
    world.loader.schedule = Schedule(
        fixed_ns=2000, row_ns=500, inline_rows=496, merges=True, min_batch_rows=32, max_batch_rows=256,
        max_wait_ns=0, queue_limit=64,
        reason="on the loops up to 496 rows; runs are shared by 32 to 256 rows",
    )  # fmt: skip
    world.scan()
    ready = world.event("version_ready")
    assert ready.endswith(
        "; on the loops up to 496 rows; runs are shared by 32 to 256 rows; 2 us a run and 0.5 us a row)"
    )
    said = {key: ready.fields[key] for key in ("execution", "merges", "min_batch_rows", "fixed_ns", "row_ns")}
    assert said == {
        "execution": "inline up to 496 rows",
        "merges": True,
        "min_batch_rows": 32,
        "fixed_ns": 2000,
        "row_ns": 500,
    }
    assert ready.fields["reason"] == world.loader.schedule.reason


def test_a_load_reads_the_folder_of_its_model_alone(world: World) -> None:
    for model in ("delay", "fare"):
        world.disk.put(model, "1")
    world.scan()
    world.looks.clear()
    world.lifecycle.load("delay")
    assert world.looks == [world.disk.root, world.disk.root / "delay"]


@pytest.mark.parametrize("how", ["scan", "load"])
def test_a_disk_that_takes_its_time_holds_up_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    world.disk.put("delay", "1")
    world.disk.put("fare", "1")
    world.scan()
    reading, go_on = threading.Event(), threading.Event()
    really = layout.scan_model

    def slow_scan(path: Path, *limits: Any) -> layout.ModelFolder:
        reading.set()
        assert go_on.wait(WAIT_S)
        return really(path, *limits)

    monkeypatch.setattr(layout, "scan_model", slow_scan)
    asker, _ = started(world.lifecycle.scan if how == "scan" else lambda: world.lifecycle.load("delay"))
    assert reading.wait(WAIT_S)
    other, errors = started(lambda: world.lifecycle.unload("fare"))
    other.join(WAIT_S / 2)
    stuck = other.is_alive()
    go_on.set()
    asker.join(WAIT_S)
    other.join(WAIT_S)
    assert not stuck
    assert errors == []


def test_a_look_from_before_a_load_does_not_undo_it(world: World) -> None:
    world.disk.put("delay", "1")
    world.scan()
    with world.lifecycle.looking() as folders:
        world.disk.put("delay", "2", "new")
        asker, errors = started(lambda: world.lifecycle.load("delay"))
        asker.join(0.1)
        world.lifecycle.adopt(folders)
    asker.join(WAIT_S)
    assert errors == []
    assert world.now.serving("delay") == {"2": "new"}


def test_a_folder_that_cannot_be_read_now_is_not_called_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.disk.put("delay", "1")
    world.disk.alias("delay", champion="1")
    world.scan()

    def unreadable(path: Path, *limits: Any) -> layout.ModelFolder:
        return layout.ModelFolder(path.name, problem=f"{path} cannot be read: Input/output error")

    monkeypatch.setattr(layout, "scan_model", unreadable)
    world.lifecycle.load("delay", "champion")  # it serves, and that is all that was asked for
    with pytest.raises(ServerError, match="folder of model 'delay' cannot be read") as refused:
        world.lifecycle.load("delay", "2")
    assert str(world.disk.root) not in str(refused.value)
    assert world.now.serving("delay") == {"1": "good"}
    assert world.now.models["delay"][1] == {"champion": "1"}


def test_a_version_hides_an_alias_of_its_name_from_loads_too(world: World) -> None:
    for version in ("1", "2"):
        world.disk.put("delay", version)
    world.disk.alias("delay", **{"1": "2"})
    world.scan()
    world.lifecycle.load("delay", "1")
    assert sorted(world.now.serving("delay")) == ["1", "2"]


def test_a_report_that_fails_changes_nothing_and_the_log_has_the_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.broken_pipe = True
    world.disk.put("delay", "1")
    with caplog.at_level(logging.ERROR, "penstock.repository"):
        world.scan()
        world.lifecycle.unload("delay")
    assert "delay:1 unloaded (unloaded on request) (reporting that failed: BrokenPipeError())" in caplog.text
    assert world.lifecycle.wait_settled(WAIT_S)
    world.lifecycle.load("delay")
    assert world.now.serving("delay") == {"1": "good"}


class Panic(BaseException):
    """What a library in Rust raises for a defect of its own: no Exception."""


@pytest.mark.parametrize("error", [Panic("index out of bounds"), KeyError("weights"), MemoryError()])
def test_a_load_that_ends_in_a_defect_is_refused_like_any_other(world: World, error: BaseException) -> None:
    def fail(folder: VersionFolder) -> None:
        if folder.model == "cursed":
            raise error

    world.loader.before = fail
    world.disk.put("cursed", "1")
    world.disk.put("delay", "1")
    world.scan()
    assert world.states() == {"cursed:1": "FAILED", "delay:1": "READY"}
    reason = world.now.versions("cursed")["1"]
    assert reason == ": ".join(filter(None, [type(error).__name__, str(error)]))
    assert world.event("version_refused").fields["reason"] == reason
    with pytest.raises(StatusError, match=re.escape(reason)) as refused:
        world.lifecycle.load("cursed")
    assert refused.value.status == INTERNAL


def test_a_load_whose_outcome_could_not_be_published_does_not_call_it_done(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.disk.put("delay", "1")
    world.scan()
    world.disk.put("delay", "2")
    world.loader.hold("delay:2")
    asker, errors = started(lambda: world.lifecycle.load("delay"))
    world.wait(lambda: "delay:2" in world.loader.loads)
    world.unpublishable = True
    with caplog.at_level(logging.ERROR, "penstock.repository"):
        world.loader.release("delay:2")
        asker.join(WAIT_S)
    world.unpublishable = False
    assert [str(error) for error in errors] == ["not to be published"]
    assert "what became of loading delay:2 could not be published" in caplog.text
    assert world.now.serving("delay") == {"1": "good"}
    world.scan()
    assert sorted(world.now.serving("delay")) == ["2"]


def test_files_that_change_between_the_look_and_the_load_are_not_loaded_over_and_over(world: World) -> None:
    def change(folder: VersionFolder) -> None:
        world.disk.put("delay", "1", f"content {len(world.loader.loads)}")

    world.disk.put("delay", "1")
    world.loader.before = change
    world.scan()
    world.lifecycle.adopt(world.lifecycle.folders())
    world.quiet()
    assert world.loader.loads == ["delay:1"]
    world.loader.before = None
    world.disk.put("delay", "1", "new")
    world.scan()
    assert world.now.serving("delay") == {"1": "new"}
