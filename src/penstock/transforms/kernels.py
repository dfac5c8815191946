"""The compiled kernels (ext/kernels) by name, and the operations of chains."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

_AVX2 = "_avx2"


@cache
def _addresses() -> dict[str, int]:
    import penstock._kernels as package
    from penstock._kernels.cpu import has_avx2

    modules = [module.name for module in pkgutil.iter_modules(package.__path__)]
    found: dict[str, int] = {}
    # Those that are compiled for AVX2 too come last, and replace the others of their names where they run.
    for name in sorted(modules, key=lambda name: name.endswith(_AVX2)):
        if not name.endswith(_AVX2) or has_avx2():
            found |= getattr(importlib.import_module(f"{package.__name__}.{name}"), "KERNELS", {})
    return found


def kernel_address(name: str) -> int:
    """The address of a built-in kernel, a C function of ext/transform/column.h. KeyError for no such name."""
    return _addresses()[name]


def kernel_names() -> list[str]:
    """The names of all built-in kernels."""
    return sorted(_addresses())


def operation(name: str) -> int:
    """The code of an operation of the kernel `chain`. KeyError for no such name."""
    from penstock._kernels.chain import OPERATIONS

    return int(OPERATIONS[name][0])
