from __future__ import annotations

import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from penstock.repository import aliases

NAMES = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.isprintable)


@given(st.dictionaries(NAMES, NAMES))
def test_what_is_written_is_read_again(tmp_path_factory, wanted: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("model")
    aliases.write(folder, wanted)
    assert aliases.read(folder) == wanted
    assert [path.name for path in folder.iterdir()] == ["aliases.json"]


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert aliases.read(tmp_path) == {}


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    old, new = {"champion": "1", "stable": "1"}, {"champion": "2" * 5000}
    aliases.write(tmp_path, old)
    done = threading.Event()

    def flip() -> None:
        for _ in range(100):
            aliases.write(tmp_path, new)
            aliases.write(tmp_path, old)
        done.set()

    thread = threading.Thread(target=flip)
    thread.start()
    reads = 0
    while not done.is_set():
        assert aliases.read(tmp_path) in (old, new)
        reads += 1
    thread.join()
    assert reads > 0


def test_writers_that_change_them_exclusively_lose_nothing(tmp_path: Path) -> None:
    def add(thread: int) -> None:
        for number in range(20):
            with aliases.exclusively(tmp_path):
                aliases.write(tmp_path, aliases.read(tmp_path) | {f"{thread}-{number}": "1"})

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(aliases.read(tmp_path)) == 80
