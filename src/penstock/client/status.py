"""gRPC's failures as Penstock's errors: the one place where the client maps them."""

from __future__ import annotations

import re

from penstock import errors


class RemoteNotFoundError(errors.StatusError, errors.NotFoundError):
    """The server knows no such model, version or alias."""

    code = errors.NOT_FOUND


class RemoteInputError(errors.StatusError, errors.InputError):
    """The server refused the request as it stands; the message names the tensor."""

    code = errors.INVALID_ARGUMENT


class RemoteRowError(RemoteInputError, errors.RefusedRowError):
    """The server refused a row. `row` and the message count from the first of the caller's data."""

    def after(self, rows: int) -> RemoteRowError:
        """The same, where `rows` rows of the data went before those of the request."""
        return RemoteRowError(self.status, self._moved(rows))


class RemoteRefusedError(errors.StatusError, errors.RefusedError):
    """The server's configuration does not allow this."""

    code = errors.PERMISSION_DENIED


class UnreachableError(errors.StatusError):
    """There is no server at the address, or none can be reached."""

    code = errors.UNAVAILABLE


_CLASSES: dict[int, type[errors.StatusError]] = {
    errors.NOT_FOUND: RemoteNotFoundError,
    errors.INVALID_ARGUMENT: RemoteInputError,
    errors.PERMISSION_DENIED: RemoteRefusedError,
}

# What grpcio itself says, in the words of its versions, when there was no server to say anything, and when
# there was one until the connection broke.
_NO_CONNECTION = re.compile(
    "failed to connect to all addresses|errors resolving|(DNS|name) resolution failed", re.I
)
_CONNECTION_LOST = re.compile(
    "socket closed|connection (reset|closed)|broken pipe|goaway|endpoint closing|stream removed|recvmsg", re.I
)


def status_error(status: int, message: str, address: str) -> errors.StatusError:
    """The error for a failed call: a StatusError always, and a NotFoundError, InputError or RefusedError
    where one fits; UnreachableError where no server answered.

    `message` is the server's own text, or grpcio's when no server answered; then the address is named too.
    """
    if status == errors.UNAVAILABLE and _NO_CONNECTION.search(message):
        return UnreachableError(
            status, f"no server answers at {address} ({_reason(message)}); `penstock serve` starts one"
        )
    if status == errors.UNAVAILABLE and _CONNECTION_LOST.search(message):
        message = (
            f"the connection to {address} broke before the answer came ({_reason(message)}): the server "
            "may have stopped"
        )
    elif status == errors.DEADLINE_EXCEEDED and message in ("", "Deadline Exceeded"):
        message = f"{address} did not answer within the timeout"
    elif not message:
        message = f"{address} answered with gRPC status {status} and no message"
    if status == errors.INVALID_ARGUMENT and errors.RefusedRowError.named_in(message):
        return RemoteRowError(status, message)
    return _CLASSES.get(status, errors.StatusError)(status, message)


def _reason(message: str) -> str:
    """The innermost of grpcio's reasons, which it strings together with colons and brackets."""
    reason = message.rpartition(": ")[2].rstrip("] ")
    while reason.endswith(")") and reason.count(")") > reason.count("("):
        reason = reason[:-1]
    return reason or message
