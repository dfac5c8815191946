"""Which strings without a character training saw: the wire writes missing and empty ones alike (ADR 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from penstock.errors import TransformError
from penstock.frames import Text


@dataclass(frozen=True)
class Strings:
    """Of a text column: whether there were missing strings, and whether there were empty ones.

    Seen in the frame of fit(), or named by the parameters of the transform that reads the column first.
    """

    missing: bool
    empty: bool


def strings_of(values: Collection[str | bytes | None], given: Collection[str | None]) -> Strings:
    """What a column's values and the texts that parameters name have of both."""
    return Strings(
        missing=None in values or None in given, empty="" in values or b"" in values or "" in given
    )


def as_sent_strings(values: Text, strings: Strings) -> Text:
    """A column as a server gets it, which is sent missing and empty strings alike."""
    if strings.missing and strings.empty:
        return values  # no bundle is built of it
    if strings.empty:
        return ["" if value is None else value for value in values] if None in values else values
    return [value or None for value in values] if "" in values or b"" in values else values


def save_strings(strings: Mapping[str, Strings]) -> dict[str, Any]:
    """As JSON."""
    return {column: asdict(each) for column, each in strings.items()}


def restore_strings(saved: Any, inputs: Mapping[str, str]) -> dict[str, Strings]:
    """What save_strings() gave, one for each text input. TransformError when that is malformed."""
    texts = [name for name, datatype in inputs.items() if datatype == "BYTES"]
    if not isinstance(saved, dict) or saved.keys() != set(texts):
        raise TransformError(
            f"saved features: 'strings' is {saved!r}, expected an object of "
            f"{', '.join(map(repr, texts)) or 'nothing'}"
        )
    found = {}
    for column in texts:
        flags = saved[column]
        if (
            not isinstance(flags, dict)
            or flags.keys() != {"missing", "empty"}
            or not all(isinstance(flag, bool) for flag in flags.values())
        ):
            raise TransformError(
                f"saved features: 'strings' says {flags!r} of {column!r}; expected two booleans, missing and "
                f"empty"
            )
        found[column] = Strings(flags["missing"], flags["empty"])
    return found
