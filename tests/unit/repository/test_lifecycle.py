from __future__ import annotations

import contextlib
import threading

import pytest
from disk_world import WAIT_S, World, touch

from penstock.config import ModelSection
from penstock.errors import UNAVAILABLE, BundleError, NotFoundError, StatusError


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
    assert any(line.startswith("delay:1 unloaded") for line in world.lines)


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


def test_after_a_model_was_unloaded_only_the_version_that_is_named_comes_back(world: World) -> None:
    world.disk.put("delay", "1")
    world.disk.put("delay", "2")
    world.scan()
    world.lifecycle.unload("delay")
    world.lifecycle.load("delay", "1")
    assert sorted(world.now.serving("delay")) == ["1"]


def test_a_load_of_what_is_not_there_says_so(world: World) -> None:
    world.disk.put("delay", "1")
    world.scan()
    with pytest.raises(NotFoundError, match="there is no model 'fare'"):
        world.lifecycle.load("fare")
    with pytest.raises(NotFoundError, match=r"there is no model '\.\./delay'"):
        world.lifecycle.load("../delay")
    with pytest.raises(NotFoundError, match="model 'delay' has no version '7'"):
        world.lifecycle.load("delay", "7")
    with pytest.raises(NotFoundError, match="unknown model 'fare'"):
        world.lifecycle.unload("fare")
    with pytest.raises(NotFoundError, match="model 'delay' has no version '7'"):
        world.lifecycle.unload("delay", "7")


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
    import gc
    import weakref

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
