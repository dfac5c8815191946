"""The compiled core: programs, executors, versions, the server. See ext/bindings/_core.pyx.

Everything that fails raises `penstock.errors.StatusError` with a gRPC status number. Datatypes are the
protocol's names ("FP32", "BYTES").
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

class ArrowText(Protocol):
    """Text that Arrow holds: [rows] or [rows, 1]."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __arrow_c_stream__(self) -> object: ...

Column = Array | Sequence[str | bytes | None] | ArrowText
Spec = tuple[str, str, tuple[int, ...]]  # name, datatype, shape with -1 for any size
# name, datatype, input or -1, output or -1, first column of the output, columns
Slot = tuple[str, str, int, int, int, int]
Read = tuple[int, int]  # slot, which of its columns
# name, kernel address, state arrays, what it reads, slots that it writes, scratch bytes
Step = tuple[str, int, Sequence[Array], Sequence[Read], Sequence[int], int]
Output = tuple[str, str, int, bool]  # name, datatype, width, whether [rows] rather than [rows, width]
# name, default version ("" for none), aliases to versions, versions: ready ones, or why one is not
Model = tuple[str, str, Mapping[str, str], Mapping[str, "Version | str"]]

def usable_cores() -> int:
    """The cores that this process may be scheduled on, or its control groups' quota, rounded up, where that
    is less.
    """

class Program:
    """A compiled list of transform steps (ext/transform/program.h). Immutable, usable from any thread."""

    def __init__(
        self,
        *,
        inputs: Sequence[tuple[str, str]],  # name, datatype
        slots: Sequence[Slot],
        steps: Sequence[Step],
        outputs: Sequence[Output],
    ) -> None: ...
    @property
    def inputs(self) -> list[Spec]: ...
    @property
    def outputs(self) -> list[Spec]: ...
    def run(self, columns: Mapping[str, Column]) -> dict[str, Array]:
        """Runs the steps on columns of equal length [rows]; numbers must have the declared dtype."""

    def durations(self, columns: Mapping[str, Column], runs: int) -> Array:
        """What each of so many runs takes, INT64 [runs] in ns: from decoded columns to the tensors."""

class Executor:
    """A loaded model (ext/executor/executor.h)."""

    @staticmethod
    def onnx(
        path: str,
        *,
        library: str,
        providers: Sequence[str] = ("cpu",),
        fallback: bool = False,
        intra_op_threads: int = 1,
        inter_op_threads: int = 1,
        optimization: str = "all",
    ) -> Executor: ...
    @staticmethod
    def lightgbm(
        path: str,
        *,
        library: str = "",
        engine: str = "auto",
        start_iteration: int = 0,
        num_iterations: int = -1,
        raw_score: bool = False,
    ) -> Executor:
        """As in ext/executor/lightgbm.h: compiled, or run by the library at the path `library`."""
    @staticmethod
    def linear(coefficients: Array, intercepts: Array, *, link: str, dtype: str = "FP64") -> Executor:
        """Of FP64 [outputs, features] and [outputs]; `link` as in ext/executor/linear.h."""

    @staticmethod
    def forest(
        arrays: Mapping[str, Array],
        *,
        features: int,
        link: str,
        origin: str,
        scale: float = 1.0,
        divisor: float = 1.0,
        single_precision: bool = False,
        dtype: str = "FP64",
    ) -> Executor:
        """Of the arrays of a forest's file (penstock/models/forest.py); the rest as in ext/executor/forest.h.

        StatusError, with tree and split, for arrays that are no forest.
        """

    @property
    def inputs(self) -> list[Spec]: ...
    @property
    def outputs(self) -> list[Spec]: ...
    @property
    def description(self) -> str: ...

class Version:
    """One servable version: inputs, optional program, executor. The same object runs here and in the server.

    With a program, `inputs` are its columns, each sent as [n] or [n, 1]; if all are numeric, one tensor
    `features` [n, columns] (FP32 or FP64) serves as well. Without one, `inputs` are the executor's.
    `empty_is_missing` names BYTES columns whose empty string means missing. `max_rows` 0: no limit.
    `matrix_passthrough`: the program only casts, so a `features` tensor goes to the executor as it is.
    """

    def __init__(
        self,
        *,
        model: str,
        version: str,
        digest: str,
        executor: Executor,
        program: Program | None = None,
        matrix_passthrough: bool = False,
        empty_is_missing: Sequence[str] = (),
        max_rows: int = 0,
    ) -> None: ...
    @property
    def inputs(self) -> list[Spec]: ...
    @property
    def outputs(self) -> list[Spec]:
        """Given to a request that names none."""

    @property
    def optional_outputs(self) -> list[Spec]:
        """Given to those alone that name them."""

    @property
    def takes_matrix(self) -> bool:
        """Whether one tensor `features` may stand for all columns."""

    def infer(self, request: bytes) -> bytes:
        """A ModelInferRequest to a ModelInferResponse, through the whole path, on the calling thread."""

    def run(
        self, inputs: Mapping[str, Column], outputs: Sequence[str] = (), *, first_row: int = 0
    ) -> dict[str, Array]:
        """Runs arrays by input name; gives arrays by output name (BYTES as object arrays of bytes).

        A missing string goes in as an empty one, as on the wire. BF16 goes in and comes out as its bits, in
        uint16 arrays. Refusals count rows from `first_row`.
        """

    def durations(self, inputs: Mapping[str, Column], runs: int) -> Array:
        """What each of so many runs takes, INT64 [runs] in ns: from decoded tensors to the outputs."""

    def set_schedule(
        self,
        *,
        fixed_ns: int,
        row_ns: int,
        inline_rows: int,
        merges: bool,
        min_batch_rows: int,
        max_batch_rows: int,
        max_wait_ns: int,
        queue_limit: int,
    ) -> None:
        """Where its requests run, as ext/engine/schedule.h says. Before it is published."""

    def counters(self) -> dict[str, int]:
        """Totals since load, by the names of ext/engine/counters.h; durations are nanoseconds."""

    def runs(self) -> list[tuple[int, int, int, int, int]]:
        """Runs of the model by their size: at most so many rows (a power of two, above half of that), runs,
        and their ns of transforms, model and encoding.
        """

class Call:
    """A request that the data plane hands to Python. Answer it exactly once with finish().

    One that is dropped unanswered is answered with INTERNAL.
    """

    @property
    def method(self) -> str: ...  # "/inference.GRPCInferenceService/ModelMetadata"
    @property
    def message(self) -> bytes: ...
    def finish(self, status: int, message: str, reply: bytes | None = None) -> None:
        """The status and, where it is OK, the reply's bytes. From any thread."""

class Server:
    """The data plane: listeners, loops, snapshot. The options are those of ext/net/options.h."""

    def __init__(self, options: Mapping[str, Any]) -> None: ...
    def start(self) -> None:
        """Binds and starts the loops. StatusError UNAVAILABLE names the address that cannot be bound."""

    @property
    def port(self) -> int: ...
    def publish(self, models: Sequence[Model], ready: bool) -> None:
        """Replaces what is served, atomically. `ready` is ServerReady's answer."""

    def take(self, timeout: float) -> Call | None:
        """The next bridged call, or None after `timeout` seconds or when stopped. Waits without the GIL."""

    def drain(self, timeout: float) -> bool:
        """GOAWAY on every connection, waits for the requests in flight; True when all finished in time."""

    def stop(self) -> None: ...
    def counters(self) -> dict[str, int]:
        """What the loops count, by the names of ext/net/traffic.h, and the requests that wait for the pool
        and run in it. From any thread.
        """
