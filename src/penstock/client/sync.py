"""The client for ordinary code: every call waits for its answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

import grpc

from penstock.client import session
from penstock.client.answers import InferResult, ModelMetadata, ModelState, Parameter, ServerMetadata
from penstock.client.channel import OPTIONS, Metadata, checked_address, metadata_pairs
from penstock.client.status import status_error
from penstock.errors import StatusError

T = TypeVar("T")


class Client:
    """A client of the Open Inference Protocol over one gRPC connection. Threads may share it.

    `address` is HOST:PORT or unix:/path. `timeout` is in seconds, for each operation as a whole; None waits
    for ever. `metadata` goes with every request. Failures are `penstock.errors.StatusError` with the gRPC
    number as `.status`; they are also NotFoundError, InputError or RefusedError where one of these fits.
    """

    def __init__(
        self,
        address: str = "localhost:8001",
        *,
        timeout: float | None = 60.0,
        metadata: Metadata | None = None,
    ) -> None:
        self.address = checked_address(address)
        self._timeout = timeout
        self._metadata = metadata_pairs(metadata)
        self._session = session.Session()
        self._channel: Any = grpc.insecure_channel(address, options=OPTIONS)
        self._stubs: dict[str, Any] = {}

    def infer(
        self,
        model: str,
        data: Any,
        *,
        version: str = "",
        outputs: Sequence[str] = (),
        id: str = "",  # noqa: A002
        parameters: Mapping[str, Parameter] | None = None,
        max_rows: int | None = None,
        timeout: float | None = None,
    ) -> InferResult:
        """Runs a model and returns its outputs by name.

        `data` holds the rows: a pandas, polars or Arrow frame, a mapping of input names to columns or arrays,
        or one array (the model's only input, or [n, columns] for a bundle whose columns are all numeric).
        Values are brought to the model's datatypes; columns that the model does not know are left out.
        `version` may be an alias, "" is the server's choice. `outputs` names those wanted; none means
        all of the metadata's. `contributions`, which some models give besides, comes to those who name it.
        With `max_rows`, more rows than that go in several requests, all answered by one version.

        Raises InputError when the data does not fit, NotFoundError for an unknown model or version, and
        StatusError for what else the server or the connection says.
        """
        steps = self._session.infer(
            model, data, version=version, outputs=outputs, id=id, parameters=parameters, max_rows=max_rows
        )
        return self._run(steps, timeout)

    def stream_infer(
        self,
        model: str,
        batches: Iterable[Any],
        *,
        version: str = "",
        outputs: Sequence[str] = (),
        return_errors: bool = False,
        timeout: float | None = None,
    ) -> Iterator[InferResult | StatusError]:
        """Runs a model on each of `batches` over one stream; yields the results in order, as they come.

        A batch that the server refuses raises its StatusError, which ends the stream; with `return_errors`
        the error is yielded in the result's place and the stream goes on. `batches` is read in another
        thread, ahead of the results. `timeout` (none by default) is for the whole stream, from its first
        result's being asked for on.
        """
        ends = None if timeout is None else monotonic() + timeout
        metadata = self._run(self._session.layout(model, version), timeout)
        failed: list[BaseException] = []

        def requests() -> Iterator[bytes]:
            try:
                for batch in batches:
                    yield session.stream_request(metadata, model, version, batch, outputs)
            except Exception as error:
                # grpcio would log it and cancel the stream; the caller gets it instead, after the answers to
                # what was sent.
                failed.append(error)

        method = session.MODEL_STREAM_INFER
        stub = self._channel.stream_stream(method.path, response_deserializer=method.reply.FromString)
        left = None if ends is None else max(ends - monotonic(), 0.0)
        replies = stub(requests(), timeout=left, metadata=self._metadata)
        try:
            for reply in replies:
                result = session.stream_result(reply)
                if isinstance(result, StatusError) and not return_errors:
                    raise result
                yield result
        except grpc.RpcError as error:
            raise self._error(error) from None
        finally:
            replies.cancel()
        if failed:
            raise failed[0]

    def is_live(self, *, timeout: float | None = None) -> bool:
        """Whether a server answers at the address and says that it lives."""
        return self._run(self._session.is_live(), timeout)

    def is_ready(self, model: str | None = None, version: str = "", *, timeout: float | None = None) -> bool:
        """Whether the server, or one model, can take requests. NotFoundError for an unknown model
        or version.
        """
        return self._run(self._session.is_ready(model, version), timeout)

    def server_metadata(self, *, timeout: float | None = None) -> ServerMetadata:
        """The server's name, version and the protocol's extensions that it speaks."""
        return self._run(self._session.server_metadata(), timeout)

    def model_metadata(self, model: str, version: str = "", *, timeout: float | None = None) -> ModelMetadata:
        """A model's versions, inputs and outputs, asked of the server anew."""
        return self._run(self._session.model_metadata(model, version), timeout)

    def model_config(self, model: str, version: str = "", *, timeout: float | None = None) -> dict[str, Any]:
        """A model's configuration in the form of Triton's ModelConfig, by field name."""
        return self._run(self._session.model_config(model, version), timeout)

    def statistics(
        self, model: str = "", version: str = "", *, timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Counts and durations of each version since it was loaded, by the field names of Triton's
        ModelStatistics.
        """
        return self._run(self._session.statistics(model, version), timeout)

    def counters(self, model: str = "", version: str = "", *, timeout: float | None = None) -> dict[str, Any]:
        """What the server counts that Triton's statistics have no field for: {"server": {...}, "versions":
        [{"model", "version", "counters": {...}}]}. Of a version, `waiting` for the pool now, and since it was
        loaded `refused` as its line was full, `expired`, `cancelled`, and more. UNIMPLEMENTED where the
        server is not Penstock.
        """
        return self._run(self._session.counters(model, version), timeout)

    def index(self, *, ready: bool = False, timeout: float | None = None) -> list[ModelState]:
        """Every version in the server's repository with its state; with `ready`, only those that serve."""
        return self._run(self._session.index(ready), timeout)

    def load(self, model: str, version: str = "", *, timeout: float | None = None) -> None:
        """Makes the server load a version, or what its policy picks. RefusedError when it is not
        allowed to.
        """
        self._run(self._session.load(model, version), timeout)

    def unload(self, model: str, version: str = "", *, timeout: float | None = None) -> None:
        """Makes the server stop serving a version, or all of a model's. RefusedError when it is not allowed
        to.
        """
        self._run(self._session.unload(model, version), timeout)

    def close(self) -> None:
        """Closes the connection; calls still running end as CANCELLED."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: session.Steps[T], timeout: float | None) -> T:
        limit = self._timeout if timeout is None else timeout
        ends = None if limit is None else monotonic() + limit
        try:
            call = next(steps)
            while True:
                left = None if ends is None else max(ends - monotonic(), 0.0)
                try:
                    reply = self._stub(call.method)(call.request, timeout=left, metadata=self._metadata)
                except grpc.RpcError as error:
                    failure = self._error(error)
                else:
                    call = steps.send(reply)
                    continue
                call = steps.throw(failure)
        except StopIteration as done:
            value: T = done.value
            return value

    def _stub(self, method: session.Method) -> Any:
        stub = self._stubs.get(method.path)
        if stub is None:
            stub = self._channel.unary_unary(method.path, response_deserializer=method.reply.FromString)
            self._stubs[method.path] = stub
        return stub

    def _error(self, error: Any) -> StatusError:
        return status_error(error.code().value[0], error.details() or "", self.address)
