"""What several threads tell at once stays one line each: operators and their tools read it by lines."""

from __future__ import annotations

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
sys.setswitchinterval(1e-5)
def tell(name):
    for _ in range({LINES}):
        serve.{{announce}}(f"m{{{{name}}}}:1 ready in 3 ms")
threads = [threading.Thread(target=tell, args=(name,)) for name in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize(
    ("announce", "form"),
    [("_announce", "m{}:1 ready in 3 ms"), ("_announce_json", '{{"event": "m{}:1 ready in 3 ms"}}')],
)
def test_lines_of_several_threads_do_not_run_into_one_another(announce: str, form: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(announce=announce)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=True)

    expected = {form.format(name): LINES for name in range(THREADS)}
    seen: dict[str, int] = {}
    for line in done.stdout.split("\n")[:-1]:
        seen[line] = seen.get(line, 0) + 1
    assert seen == expected
