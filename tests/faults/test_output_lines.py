"""What several threads tell at once stays one line each: operators and their tools read it by lines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from server_process import environment

LINES = 2000
THREADS = 4
# Versions get ready on several threads; the short interval only makes a switch between two writes likely.
SCRIPT = f"""
import sys, threading
from penstock.cli import serve
from penstock.log import Event
sys.setswitchinterval(1e-5)
def tell(name):
    for _ in range({LINES}):
        line = f"m{{{{name}}}}:1 ready in 3 ms"
        serve.{{announce}}(Event("version_ready", line, model=f"m{{{{name}}}}", ms=3))
threads = [threading.Thread(target=tell, args=(name,)) for name in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize("announce", ["_announce", "_announce_json"])
def test_lines_of_several_threads_do_not_run_into_one_another(announce: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(announce=announce)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=True)

    seen: dict[str, int] = {}
    for line in done.stdout.split("\n")[:-1]:
        text = line
        if announce == "_announce_json":
            found = json.loads(line)
            text = found["message"]
            assert found["event"] == "version_ready"
            assert (found["model"], found["ms"]) == (text.split(":")[0], 3)
        seen[text] = seen.get(text, 0) + 1
    assert seen == {f"m{name}:1 ready in 3 ms": LINES for name in range(THREADS)}
