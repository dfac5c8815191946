"""Where the model libraries of the installed wheels lie, and what they say about a model that they refuse.

The wheels are found without importing them: importing lightgbm takes seconds, and the core needs only
the shared library inside.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from penstock.errors import ModelError, StatusError


def onnxruntime_library() -> str:
    """Path of `libonnxruntime.so*` in the onnxruntime wheel (also of onnxruntime-gpu, which has the
    same folder).
    """
    return _library("onnxruntime", "capi", "libonnxruntime.so*", "ONNX models")


def lightgbm_library() -> str:
    """Path of `lib_lightgbm.so` in the lightgbm wheel."""
    return _library("lightgbm", "lib", "lib_lightgbm.so", "LightGBM models")


def refusal(library: str, error: StatusError, path: str, file: str) -> ModelError:
    """The error for a model at `path` that did not load, told once and by the name of its `file` in the
    bundle. It names the `library` where that refused the model, and not where it was not even asked.
    """
    reason = str(error).replace(path, file)
    words = reason.removeprefix(f"{library} refuses the model '{file}': ")
    if words != reason:
        return ModelError(f"{library} cannot load the model: {words}")
    reason = reason.removeprefix(f"'{file}': ")
    return ModelError(f"{file} cannot be served: {reason}")


def _library(package: str, folder: str, pattern: str, what: str) -> str:
    spec = importlib.util.find_spec(package)
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not roots:
        raise ModelError(
            f"{what} need the Python package {package}, which is not installed: pip install {package}"
        )
    for root in roots:
        # The plain name sorts before the versioned ones, and the newest version last.
        found = sorted(path for path in (Path(root) / folder).glob(pattern) if path.is_file())
        if found:
            return str(found[-1])
    raise ModelError(
        f"The installed package {package} holds no {folder}/{pattern} (looked in {', '.join(roots)}). "
        f"Install its wheel for Linux: pip install --force-reinstall {package}"
    )
