"""The addresses of the compiled kernels (ext/kernels) by name."""

from __future__ import annotations

import importlib
from functools import cache

_MODULES = ("cast", "cyclic", "impute", "log1p", "one_hot", "ordinal", "standardize")


@cache
def _addresses() -> dict[str, int]:
    found: dict[str, int] = {}
    for module in _MODULES:
        found |= importlib.import_module(f"penstock._kernels.{module}").KERNELS
    return found


def kernel_address(name: str) -> int:
    """The address of a built-in kernel, a C function of ext/transform/column.h. KeyError for no such name."""
    return _addresses()[name]
