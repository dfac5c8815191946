"""The compiled executors through tests/native/executor/probe, until and beside the Python extension."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DTYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BF16": np.uint16,
}
OK, INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, INTERNAL = 0, 3, 5, 9, 13


class ProbeTensor(ctypes.Structure):
    _fields_ = (
        ("dtype", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_int64),
        ("elements", ctypes.c_int64),
        ("data", ctypes.c_void_p),
    )


class StringRef(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_int64))


class Failure(Exception):  # noqa: N818
    """A Status that is not ok."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Spec(NamedTuple):
    name: str
    dtype: str
    shape: tuple[int, ...]


def onnxruntime_library() -> Path:
    """Without importing it: that would load a second copy with state of its own."""
    return one_file("onnxruntime", "capi/libonnxruntime.so*")


def lightgbm_library() -> Path:
    return one_file("lightgbm", "lib/lib_lightgbm.so")


def one_file(package: str, pattern: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    found = sorted(Path(spec.origin).parent.glob(pattern))
    assert found, f"{package} holds no {pattern}"
    return found[0]


def child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own, where a crash is a return code."""
    paths = [str(Path(__file__).parent), *sys.path]
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )


class Probe:
    """ ""The loaded probe library."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.probe_describe.restype = ctypes.c_char_p
        self.library.probe_specs.restype = ctypes.c_char_p
        self.library.probe_default_outputs.restype = ctypes.c_size_t
        self.library.probe_arena_bytes.restype = ctypes.c_size_t

    def call(self, name: str, *arguments: Any) -> None:
        message = ctypes.create_string_buffer(4096)
        code = getattr(self.library, name)(*arguments, message, ctypes.c_size_t(len(message)))
        if code != OK:
            raise Failure(code, message.value.decode(errors="replace"))

    def onnx(
        self,
        path: Path,
        *,
        library: Path | None = None,
        providers: tuple[str, ...] = ("cpu",),
        fallback: bool = False,
        intra: int = 1,
        inter: int = 1,
        optimization: str = "all",
    ) -> Model:
        handle = ctypes.c_void_p()
        names = (ctypes.c_char_p * len(providers))(*(p.encode() for p in providers))
        library = library or onnxruntime_library()
        self.call(
            "probe_load_onnx",
            str(path).encode(),
            str(library).encode(),
            names,
            len(providers),
            int(fallback),
            intra,
            inter,
            optimization.encode(),
            ctypes.byref(handle),
        )
        return Model(self, handle)

    def lightgbm(
        self,
        path: Path,
        *,
        library: Path | str | None = None,
        engine: str = "auto",
        start_iteration: int = 0,
        num_iterations: int = -1,
        raw_score: bool = False,
    ) -> Model:
        handle = ctypes.c_void_p()
        self.call(
            "probe_load_lightgbm",
            str(path).encode(),
            str(lightgbm_library() if library is None else library).encode(),
            engine.encode(),
            start_iteration,
            num_iterations,
            int(raw_score),
            ctypes.byref(handle),
        )
        return Model(self, handle)

    def check_lightgbm_text(self, text: bytes) -> None:
        self.call("probe_check_lightgbm_text", text, ctypes.c_size_t(len(text)))


class Model:
    """A loaded executor; free it after its sessions."""

    def __init__(self, probe: Probe, handle: ctypes.c_void_p) -> None:
        self.probe = probe
        self.handle = handle
        self.description = str(probe.library.probe_describe(handle).decode())
        self.inputs = self.specs(outputs=False)
        self.outputs = self.specs(outputs=True)
        self.default_outputs = int(probe.library.probe_default_outputs(handle))

    def free(self) -> None:
        self.probe.library.probe_free(self.handle)

    def specs(self, outputs: bool) -> list[Spec]:
        lines = self.probe.library.probe_specs(self.handle, int(outputs)).decode().splitlines()
        fields = [line.split("\t") for line in lines]
        return [Spec(name, dtype, tuple(map(int, shape))) for name, dtype, *shape in fields]

    def session(self) -> Session:
        handle = ctypes.c_void_p()
        self.probe.call("probe_open", self.handle, ctypes.byref(handle))
        return Session(self, handle)

    def run(
        self, *inputs: np.ndarray[Any, Any], wanted: tuple[int, ...] | None = None
    ) -> list[np.ndarray[Any, Any]]:
        session = self.session()
        try:
            return session.run(*inputs, wanted=wanted)
        finally:
            session.close()


class Session:
    """One thread's context and arena."""

    def __init__(self, model: Model, handle: ctypes.c_void_p) -> None:
        self.model = model
        self.handle = handle
        self.nanoseconds = 0
        self.specs = model.inputs

    def close(self) -> None:
        self.model.probe.library.probe_close(self.handle)

    @property
    def arena_bytes(self) -> int:
        return int(self.model.probe.library.probe_arena_bytes(self.handle))

    @property
    def holds(self) -> bool:
        return bool(self.model.probe.library.probe_holds(self.handle))

    def run(
        self,
        *inputs: np.ndarray[Any, Any],
        wanted: tuple[int, ...] | None = None,
        repeats: int = 1,
        dtypes: tuple[str, ...] = (),
    ) -> list[np.ndarray[Any, Any]]:
        """Arrays by position; BYTES as object arrays of bytes. `dtypes` overrides the model's."""
        if wanted is None:
            wanted = tuple(range(self.model.default_outputs))
        keep: list[Any] = []
        tensors = (ProbeTensor * len(inputs))()
        for i, array in enumerate(inputs):
            dtype = dtypes[i] if dtypes else self.specs[i].dtype
            tensors[i] = tensor_of(array, dtype, keep)
        chosen = (ctypes.c_uint32 * len(wanted))(*wanted)
        took = ctypes.c_int64()
        self.model.probe.call(
            "probe_run", self.handle, tensors, len(inputs), chosen, len(wanted), repeats, ctypes.byref(took)
        )
        self.nanoseconds = took.value
        return [self.output(i) for i in range(len(wanted))]

    def output(self, index: int) -> np.ndarray[Any, Any]:
        tensor = ProbeTensor()
        self.model.probe.library.probe_output(self.handle, index, ctypes.byref(tensor))
        shape = tuple(tensor.shape[i] for i in range(tensor.rank))
        dtype = tensor.dtype.decode()
        if dtype == "BYTES":
            refs = (StringRef * tensor.elements).from_address(tensor.data) if tensor.elements else ()
            strings = [ctypes.string_at(ref.data, ref.size) if ref.size else b"" for ref in refs]
            return np.array(strings, dtype=object).reshape(shape)
        size = tensor.elements * np.dtype(DTYPES[dtype]).itemsize
        data = ctypes.string_at(tensor.data, size) if size else b""
        return np.frombuffer(data, dtype=DTYPES[dtype]).reshape(shape)


def tensor_of(array: np.ndarray[Any, Any], dtype: str, keep: list[Any]) -> ProbeTensor:
    rank = array.ndim
    shape = (ctypes.c_int64 * max(rank, 1))(*array.shape)
    if dtype == "BYTES":
        values = [v.encode() if isinstance(v, str) else v for v in array.reshape(-1)]
        buffers = [None if v is None else ctypes.create_string_buffer(v, len(v) + 1) for v in values]
        refs = (StringRef * max(len(values), 1))()
        for i, (value, buffer) in enumerate(zip(values, buffers, strict=True)):
            if buffer is not None:
                refs[i] = StringRef(ctypes.addressof(buffer), len(value))
        keep += [shape, buffers, refs]
        data = ctypes.addressof(refs)
    else:
        array = np.ascontiguousarray(array, dtype=DTYPES[dtype])
        keep += [shape, array]
        data = array.ctypes.data if array.size else None
    return ProbeTensor(dtype.encode(), shape, rank, array.size, data)
