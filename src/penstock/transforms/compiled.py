"""The kernels of custom transforms: compiled once for what they are, kept on disk, loaded once a process."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import threading
import time
from functools import cache
from importlib.metadata import version

from penstock.transforms import code_cache
from penstock.transforms.saved import to_json
from penstock.transforms.scalar_function import ScalarFunction

_REVISION = 2  # of the kernel around the function; to be raised with every change of numba_kernel.py
_log = logging.getLogger("penstock.transforms")
_lock = threading.Lock()
_addresses: dict[str, int] = {}


def kernel_of(function: ScalarFunction, outputs: int) -> int:
    """The address of the kernel that runs `function` on columns of doubles; see compile_kernel().

    It stays valid for the life of the process, whatever becomes of the objects that asked for it: a version
    that is being replaced may still have requests under way. So a process keeps every custom transform that
    it ever loaded, some kilobytes each. A content is compiled at most once, in one thread at a time, and not
    at all where an earlier process has. TransformError names the line that cannot be compiled.
    """
    key = _key(function, outputs)
    with _lock:
        if key not in _addresses:
            _addresses[key] = _loaded(key, function, outputs)
        return _addresses[key]


def _loaded(key: str, function: ScalarFunction, outputs: int) -> int:
    from penstock.transforms import machine_code

    stored = code_cache.read(key)
    if stored is not None:
        address = machine_code.load(stored)
        if address is not None:
            return address
    began = time.perf_counter()
    # From here on Numba's own functions are in the process, which the stored code may have lacked.
    from penstock.transforms.numba_kernel import compile_kernel

    if stored is not None:
        address = machine_code.load(stored)
        if address is not None:
            return address
    made = compile_kernel(function, outputs)
    address = machine_code.load(made.content)
    if address is None:
        raise function.error("it uses a part of Numba that needs Python at run time; use numbers and tuples")
    if made.portable:
        code_cache.write(key, made.content)
    _log.debug("compiled custom transform %s in %.1f s", function.main.name, time.perf_counter() - began)
    return address


def _key(function: ScalarFunction, outputs: int) -> str:
    """SHA-256 over all that the machine code follows from."""
    described = [to_json(function.to_saved()), outputs, _surroundings()]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@cache
def _surroundings() -> list[object]:
    from penstock.transforms.machine_code import processor

    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_"))
    versions = [version("numba"), version("llvmlite"), platform.python_version(), platform.libc_ver()]
    return [_REVISION, versions, platform.machine(), processor(), settings]
