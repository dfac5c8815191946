"""The errors of Penstock: each says what came, what was expected and what to do.

One place maps them to gRPC codes (the `code` of each class) and one to the command line's exit code (`cli`).
"""

from __future__ import annotations

import re
from typing import ClassVar

# gRPC's status codes, by number, so that this module needs no grpcio.
OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = range(7)
PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE = range(7, 12)
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED = range(12, 17)


class PenstockError(Exception):
    """Base of everything that Penstock raises on purpose. `code` is the gRPC status it maps to."""

    code: ClassVar[int] = UNKNOWN


class ConfigError(PenstockError):
    """The configuration file or a command-line setting cannot be used."""

    code = INVALID_ARGUMENT


class BundleError(PenstockError):
    """A bundle is malformed, incomplete, altered, too large or of a later format."""

    code = FAILED_PRECONDITION


class GoldenError(BundleError):
    """A bundle's golden examples did not give their recorded outputs."""


class ModelError(PenstockError):
    """A model file cannot be loaded or is of a kind that is not supported."""

    code = INVALID_ARGUMENT


class TransformError(PenstockError):
    """A transform's parameters, columns or state are not usable; names the transform and the column."""

    code = INVALID_ARGUMENT


class InputError(PenstockError):
    """Data handed to a model does not fit its inputs; names the column or tensor."""

    code = INVALID_ARGUMENT


class RowError(InputError):
    """A row of the data does not fit. `row` is its place, from 0; `column` is None where none is named."""

    def __init__(self, column: str | None, row: int, problem: str) -> None:
        super().__init__(f"column {column!r}: row {row} {problem}")
        self.column = column
        self.row = row
        self._problem = problem

    def after(self, rows: int) -> RowError:
        """The same, where `rows` rows of the table came before those that were looked at."""
        return RowError(self.column, rows + self.row, self._problem)


class RefusedRowError(RowError):
    """A transform refused a row, as the core says it: one_hot(carrier) refused row 3: "ZZ"."""

    _NAMES_ROW = re.compile(r"(?:\((?P<columns>[^()]*)\))? refused row (?P<row>\d+)(?![\d ])")

    @classmethod
    def named_in(cls, message: str) -> bool:
        """Whether the message is one of those."""
        return cls._NAMES_ROW.search(message) is not None

    def __init__(self, message: str) -> None:
        InputError.__init__(self, message)
        found = self._NAMES_ROW.search(message)
        assert found is not None, message
        columns = found["columns"]
        self.column = columns if columns and ", " not in columns else None
        self.row = int(found["row"])
        self._before, self._behind = message[: found.start("row")], message[found.end("row") :]

    def after(self, rows: int) -> RowError:
        """The same, where `rows` rows of the table came before those that were looked at."""
        return RefusedRowError(self._moved(rows))

    def _moved(self, rows: int) -> str:
        return f"{self._before}{rows + self.row}{self._behind}"


class LibraryRefusalError(InputError):
    """A library that a model or transform came from takes none of these rows itself."""


class NotFoundError(PenstockError):
    """A model, version, alias or file that was named does not exist."""

    code = NOT_FOUND


class RefusedError(PenstockError):
    """The server's configuration does not allow this; says which setting would."""

    code = PERMISSION_DENIED


class ServerError(PenstockError):
    """The server cannot start or go on (a port in use, a missing repository)."""

    code = UNAVAILABLE


class StatusError(PenstockError):
    """A failure that the compiled core or a remote server reported, with its gRPC status code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
