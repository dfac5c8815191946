"""Dependencies point one way: include edges in ext/, import edges in src/penstock."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# base <- {codec, transform, executor, route, stats} <- engine <- net <- bindings, and base <- loadgen <-
# bindings; those in braces do not include each other.
LEAVES = {"codec", "transform", "executor", "route", "stats"}
MAY_INCLUDE = {
    "base": {"base"},
    **{leaf: {"base", leaf} for leaf in LEAVES},
    "kernels": {"base", "kernels", "transform"},
    "engine": {"base", "engine"} | LEAVES,
    "net": {"base", "engine", "net"} | LEAVES,
    "loadgen": {"base", "loadgen"},
    "bindings": {"base", "engine", "net", "loadgen", "bindings"} | LEAVES,
}

# Each module or package of penstock, and what it may import besides itself.
FLOOR = {
    *("errors", "arrow_text", "frames", "fitting", "bfloat16", "log", "niceness", "progress", "parquet"),
    *("instants", "_proto", "_core", "_kernels"),
}
MAY_IMPORT = {
    "errors": set(),
    "_proto": {"errors"},
    "_kernels": set(),
    "_core": {"errors"},
    "_loadgen": {"errors"},
    "log": {"errors"},
    "arrow_text": set(),
    "progress": set(),
    "parquet": {"errors"},
    "instants": set(),
    "frames": {"errors", "arrow_text", "instants"},
    "bfloat16": set(),
    "niceness": set(),
    "fitting": {"errors", "arrow_text", "frames", "bfloat16"},
    "scoring": FLOOR,
    "contributions": set(),
    "schedules": set(),
    "config": FLOOR,
    "transforms": FLOOR,
    "models": FLOOR | {"config"},
    "bundle": FLOOR | {"config", "transforms", "models"},
    "client": FLOOR,
    "bench": FLOOR | {"_loadgen", "client"},
    "runner": FLOOR | {"bundle", "scoring", "transforms"},
    "repository": FLOOR | {"config", "bundle", "schedules"},
    "rpc": FLOOR | {"config", "contributions", "bundle", "repository"},
    "server": FLOOR | {"config", "bundle", "repository", "rpc"},
}
# On top of the rest: the package's front (lazy names), the command line, the demo.
ANYTHING = {"__init__", "__main__", "cli", "demo"}


def includes(path: Path) -> set[str]:
    pattern = (
        r'^\s*#include "([a-z_]+)/'
        if path.suffix in {".h", ".cc"}
        else r"^\s*from ([a-z_]+)\.[a-z_]+ cimport|extern from \"([a-z_]+)/"
    )
    found = re.findall(pattern, path.read_text(), re.MULTILINE)
    rooms = {name for match in found for name in ([match] if isinstance(match, str) else match) if name}
    return rooms - {"libc", "libcpp", "cpython", "cython"}


def sources(room: str) -> list[Path]:
    return [p for p in sorted((ROOT / "ext" / room).iterdir()) if p.suffix in {".h", ".cc", ".pyx", ".pxd"}]


@pytest.mark.parametrize("room", sorted(p.name for p in (ROOT / "ext").iterdir() if p.is_dir()))
def test_a_room_includes_only_what_it_stands_on(room: str) -> None:
    assert room in MAY_INCLUDE, f"ext/{room} is new: say here what it may include"
    for path in sources(room):
        may = MAY_INCLUDE[room]
        stray = sorted(includes(path) - may)
        assert not stray, f"{path.relative_to(ROOT)} includes {stray}; ext/{room} may include {sorted(may)}"


def test_only_net_and_loadgen_open_sockets_and_only_bindings_know_python() -> None:
    for path in (ROOT / "ext").rglob("*"):
        if path.suffix not in {".h", ".cc"}:
            continue
        text = path.read_text()
        if path.parent.name not in ("net", "loadgen"):
            assert "sys/socket.h" not in text, path
        if path.parent.name != "bindings":
            assert "Python.h" not in text, path


def imports(path: Path, package: tuple[str, ...]) -> set[str]:
    """First-level names under penstock that a file imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = ["penstock", *package][: len(package) + 2 - node.level]
                names = [
                    ".".join([*base, *([node.module] if node.module else []), alias.name])
                    for alias in node.names
                ]
            elif node.module == "penstock":
                names = [f"penstock.{alias.name}" for alias in node.names]
            elif node.module:
                names = [node.module]
        found |= {name.split(".")[1] for name in names if name.startswith("penstock.")}
    return found


def modules() -> list[Path]:
    return sorted((ROOT / "src" / "penstock").rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT / "src" / "penstock")))
def test_a_module_imports_only_what_it_stands_on(path: Path) -> None:
    parts = path.relative_to(ROOT / "src" / "penstock").with_suffix("").parts
    top = parts[0]
    if top in ANYTHING:
        return
    assert top in MAY_IMPORT, f"penstock.{top} is new: say here what it may import"
    may = MAY_IMPORT[top]
    stray = sorted(imports(path, parts[:-1]) - may - {top, "__version__"})
    assert not stray, f"{path.relative_to(ROOT)} imports {stray}; penstock.{top} may import {sorted(may)}"


def test_the_rule_itself_has_no_cycle() -> None:
    order: list[str] = []
    left = dict(MAY_IMPORT)
    while left:
        free = [name for name, needs in left.items() if not needs - set(order) - {name}]
        assert free, f"a cycle among {sorted(left)}"
        order += free
        for name in free:
            del left[name]
