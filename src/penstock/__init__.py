"""Penstock: a low-latency gRPC inference server with a compiled data plane.

`import penstock` loads nothing heavy; each name below is imported at its first use.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for it would take longer than all else here
if TYPE_CHECKING:
    from typing import Any

    from penstock import errors, transforms
    from penstock.bundle.build import build
    from penstock.client import AsyncClient, Client
    from penstock.runner import load

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "__version__", "build", "errors", "load", "transforms"]

# Public name -> the module that holds it, and its name there (None: the module itself).
_LAZY = {
    "AsyncClient": ("penstock.client", "AsyncClient"),
    "Client": ("penstock.client", "Client"),
    "build": ("penstock.bundle.build", "build"),
    "errors": ("penstock.errors", None),
    "load": ("penstock.runner", "load"),
    "transforms": ("penstock.transforms", None),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'penstock' has no attribute '{name}'")
    import importlib

    module_name, attribute = _LAZY[name]
    module = importlib.import_module(module_name)
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
