"""The client for asyncio: the twin of `penstock.client.sync`, with the same operations and the same
errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

import grpc
import grpc.aio

from penstock.client import session
from penstock.client.answers import InferResult, ModelMetadata, ModelState, Parameter, ServerMetadata
from penstock.client.channel import OPTIONS, Metadata, checked_address, metadata_pairs
from penstock.client.status import status_error
from penstock.errors import StatusError

T = TypeVar("T")


class AsyncClient:
    """A client of the Open Inference Protocol over one gRPC connection, for the tasks of one event loop.

    Arguments, results and errors are those of `Client`. The connection belongs to the loop that makes the
    first call.
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
        self._channel: Any = None
        self._stubs: dict[str, Any] = {}

    async def infer(
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
        """Runs a model and returns its outputs by name; see `Client.infer`."""
        steps = self._session.infer(
            model, data, version=version, outputs=outputs, id=id, parameters=parameters, max_rows=max_rows
        )
        return await self._run(steps, timeout)

    async def stream_infer(
        self,
        model: str,
        batches: Iterable[Any] | AsyncIterable[Any],
        *,
        version: str = "",
        outputs: Sequence[str] = (),
        return_errors: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[InferResult | StatusError]:
        """Runs a model on each of `batches` over one stream; see `Client.stream_infer`."""
        ends = None if timeout is None else monotonic() + timeout
        metadata = await self._run(self._session.layout(model, version), timeout)
        failed: list[BaseException] = []

        async def requests() -> AsyncIterator[bytes]:
            try:
                async for batch in _each(batches):
                    yield session.stream_request(metadata, model, version, batch, outputs)
            except Exception as error:
                # grpcio would log it and cancel the stream; the caller gets it instead, after the answers to
                # what was sent.
                failed.append(error)

        method = session.MODEL_STREAM_INFER
        stub = self._connected().stream_stream(method.path, response_deserializer=method.reply.FromString)
        left = None if ends is None else max(ends - monotonic(), 0.0)
        replies = stub(requests(), timeout=left, metadata=self._metadata)
        try:
            async for reply in replies:
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

    async def is_live(self, *, timeout: float | None = None) -> bool:
        """Whether a server answers at the address and says that it lives."""
        return await self._run(self._session.is_live(), timeout)

    async def is_ready(
        self, model: str | None = None, version: str = "", *, timeout: float | None = None
    ) -> bool:
        """Whether the server, or one model, can take requests. NotFoundError for an unknown model
        or version.
        """
        return await self._run(self._session.is_ready(model, version), timeout)

    async def server_metadata(self, *, timeout: float | None = None) -> ServerMetadata:
        """The server's name, version and the protocol's extensions that it speaks."""
        return await self._run(self._session.server_metadata(), timeout)

    async def model_metadata(
        self, model: str, version: str = "", *, timeout: float | None = None
    ) -> ModelMetadata:
        """A model's versions, inputs and outputs, asked of the server anew."""
        return await self._run(self._session.model_metadata(model, version), timeout)

    async def model_config(
        self, model: str, version: str = "", *, timeout: float | None = None
    ) -> dict[str, Any]:
        """A model's configuration in the form of Triton's ModelConfig, by field name."""
        return await self._run(self._session.model_config(model, version), timeout)

    async def statistics(
        self, model: str = "", version: str = "", *, timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Counts and durations of each version since it was loaded, by the field names of Triton's
        ModelStatistics.
        """
        return await self._run(self._session.statistics(model, version), timeout)

    async def counters(
        self, model: str = "", version: str = "", *, timeout: float | None = None
    ) -> dict[str, Any]:
        """What the server counts that Triton's statistics have no field for: {"server": {...}, "versions":
        [{"model", "version", "counters": {...}}]}. Of a version, `waiting` for the pool now, and since it was
        loaded `refused` as its line was full, `expired`, `cancelled`, and more. UNIMPLEMENTED where the
        server is not Penstock.
        """
        return await self._run(self._session.counters(model, version), timeout)

    async def index(self, *, ready: bool = False, timeout: float | None = None) -> list[ModelState]:
        """Every version in the server's repository with its state; with `ready`, only those that serve."""
        return await self._run(self._session.index(ready), timeout)

    async def load(self, model: str, version: str = "", *, timeout: float | None = None) -> None:
        """Makes the server load a version, or what its policy picks. RefusedError when it is not
        allowed to.
        """
        await self._run(self._session.load(model, version), timeout)

    async def unload(self, model: str, version: str = "", *, timeout: float | None = None) -> None:
        """Makes the server stop serving a version, or all of a model's. RefusedError when it is not allowed
        to.
        """
        await self._run(self._session.unload(model, version), timeout)

    async def close(self) -> None:
        """Closes the connection; calls still running end as CANCELLED. A later call opens a new one."""
        channel, self._channel = self._channel, None
        self._stubs.clear()
        if channel is not None:
            await channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: session.Steps[T], timeout: float | None) -> T:
        limit = self._timeout if timeout is None else timeout
        ends = None if limit is None else monotonic() + limit
        try:
            call = next(steps)
            while True:
                left = None if ends is None else max(ends - monotonic(), 0.0)
                try:
                    reply = await self._stub(call.method)(call.request, timeout=left, metadata=self._metadata)
                except grpc.RpcError as error:
                    failure = self._error(error)
                else:
                    call = steps.send(reply)
                    continue
                call = steps.throw(failure)
        except StopIteration as done:
            value: T = done.value
            return value

    def _connected(self) -> Any:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=OPTIONS)
        return self._channel

    def _stub(self, method: session.Method) -> Any:
        stub = self._stubs.get(method.path)
        if stub is None:
            stub = self._connected().unary_unary(method.path, response_deserializer=method.reply.FromString)
            self._stubs[method.path] = stub
        return stub

    def _error(self, error: Any) -> StatusError:
        return status_error(error.code().value[0], error.details() or "", self.address)


async def _each(batches: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(batches, AsyncIterable):
        async for batch in batches:
            yield batch
    else:
        for batch in batches:
            yield batch
