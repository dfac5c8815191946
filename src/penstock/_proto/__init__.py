"""The protocol's messages for Python: built at import from a descriptor set, with no generated code.

The descriptors live in a pool of their own. Protobuf's default pool takes each symbol only once, and a user's
process may hold tritonclient's generated code, which declares `inference.ModelInferRequest` too.

Message classes are attributes by their short name: `_proto.ModelInferRequest`. A name that several packages
declare is an attribute of none: `message_class("grpc.reflection.v1.ErrorResponse")` takes the full name, and
`reflection_v1` and `reflection_v1alpha` hold the classes of the two reflection packages. Enum values are
attributes of their message's class, as everywhere in protobuf: `HealthCheckResponse.SERVING`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType, SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from penstock.errors import NotFoundError

_POOL = descriptor_pool.DescriptorPool()


def _load() -> tuple[Mapping[str, bytes], Mapping[str, list[str]]]:
    """Fills the pool; the files, serialized, and the full names behind each short message name."""
    path = resources.files(__name__).joinpath("descriptors.binpb")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path} is missing: this tree was not built. "
            "Run `make install`, or `python setup.py build_ext --inplace`."
        ) from error
    files: dict[str, bytes] = {}
    names: dict[str, list[str]] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        files[file.name] = file.SerializeToString()
        _POOL.AddSerializedFile(files[file.name])
        for message in file.message_type:
            names.setdefault(message.name, []).append(f"{file.package}.{message.name}")
    return MappingProxyType(files), names


_FILES, _NAMES = _load()


def file_descriptors() -> Mapping[str, bytes]:
    """Each file's name, as others import it, to its serialized FileDescriptorProto; imports come first."""
    return _FILES


def file_containing_symbol(symbol: str) -> str:
    """The name of the file that declares a fully qualified service, method, message, field or enum.

    Raises NotFoundError when no file does.
    """
    try:
        return str(_POOL.FindFileContainingSymbol(symbol).name)
    except KeyError:
        pass
    service, _, method = symbol.rpartition(".")  # the pool does not look methods up
    try:
        found = _POOL.FindServiceByName(service)
        if method in found.methods_by_name:
            return str(found.file.name)
    except KeyError:
        pass
    raise NotFoundError(
        f"No file declares '{symbol}'. Expected a full name such as 'inference.ModelInferRequest'."
    )


@cache
def file_with_imports(name: str) -> tuple[bytes, ...]:
    """The file of that name and all that it imports, directly or not, serialized: the asked one first.

    Raises NotFoundError for a name that file_descriptors() does not hold.
    """
    if name not in _FILES:
        raise NotFoundError(f"There is no file '{name}'. There are: {', '.join(sorted(_FILES))}.")
    found: dict[str, bytes] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = _FILES[current]
            waiting += [str(d.name) for d in _POOL.FindFileByName(current).dependencies]
    return tuple(found.values())


@cache
def message_class(full_name: str) -> Any:
    """The class of a message by its full name. Raises NotFoundError for one that no file declares."""
    try:
        return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full_name))
    except KeyError as error:
        raise NotFoundError(f"No file declares a message '{full_name}'.") from error


@cache
def _package(name: str) -> SimpleNamespace:
    prefix = f"{name}."
    full_names = [full for fulls in _NAMES.values() for full in fulls if full.startswith(prefix)]
    return SimpleNamespace(**{full.removeprefix(prefix): message_class(full) for full in full_names})


_PACKAGES = {
    "reflection_v1": "grpc.reflection.v1",
    "reflection_v1alpha": "grpc.reflection.v1alpha",
}


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        found: Any = _package(_PACKAGES[name])
    else:
        full_names = _NAMES.get(name, [])
        if len(full_names) > 1:
            raise AttributeError(
                f"'{name}' is declared by several packages; use message_class() with one of {full_names}"
            )
        if not full_names:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        found = message_class(full_names[0])
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PACKAGES, *(name for name, fulls in _NAMES.items() if len(fulls) == 1)})
