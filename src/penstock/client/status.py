"""gRPC's failures as Penstock's errors: the one place where the client maps them."""

from __future__ import annotations

from penstock import errors


class RemoteNotFoundError(errors.StatusError, errors.NotFoundError):
    """The server knows no such model, version or alias."""

    code = errors.NOT_FOUND


class RemoteInputError(errors.StatusError, errors.InputError):
    """The server refused the request as it stands; the message names the tensor."""

    code = errors.INVALID_ARGUMENT


class RemoteRefusedError(errors.StatusError, errors.RefusedError):
    """The server's configuration does not allow this."""

    code = errors.PERMISSION_DENIED


_CLASSES: dict[int, type[errors.StatusError]] = {
    errors.NOT_FOUND: RemoteNotFoundError,
    errors.INVALID_ARGUMENT: RemoteInputError,
    errors.PERMISSION_DENIED: RemoteRefusedError,
}

# What grpcio itself says when there was no server to say anything.
_NO_CONNECTION = "failed to connect to all addresses"


def status_error(status: int, message: str, address: str) -> errors.StatusError:
    """The error for a failed call: a StatusError always, and a NotFoundError, InputError or RefusedError
    where one fits.

    `message` is the server's own text, or grpcio's when no server answered; then the address is named too.
    """
    if status == errors.UNAVAILABLE and _NO_CONNECTION in message:
        message = f"no server answers at {address} ({message})"
    elif status == errors.DEADLINE_EXCEEDED and message in ("", "Deadline Exceeded"):
        message = f"{address} did not answer within the timeout"
    elif not message:
        message = f"{address} answered with gRPC status {status} and no message"
    return _CLASSES.get(status, errors.StatusError)(status, message)
