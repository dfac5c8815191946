"""What becomes of each character of a text: tables made of Python's own string methods, which bundles carry.

Training and serving then agree, whatever Unicode version the Python of the server knows. ext/kernels/text.pxd
reads them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import numpy as np

from penstock.transforms.saved import Saved

Array = np.ndarray[Any, Any]
StripAccents = Literal["ascii", "unicode"]

_CODE_POINTS = 0x110000
_PAGE = 256
_SURROGATES = range(0xD800, 0xE000)
_SAME, _ONE, _MANY, _SIGMA = range(4)
_OTHER, _WORD, _SPACE = range(3)
_UNCASED, _CASED, _IGNORABLE = range(3)
_MOST_OUTPUTS = 32  # of one character; Unicode 14 has 18
_CLASS_BIT = 21  # of an output
_CAPITAL_SIGMA = "Σ"
_NO_CHARACTERS = frozenset({"Cn", "Co", "Cs"})  # categories of code points that stand for none


@dataclass(frozen=True)
class TextTables:
    """The state arrays of ext/kernels/text.pxd: UINT16 [4352], and UINT32 of any size twice."""

    pages: Array
    entries: Array
    outputs: Array

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """In the order in which kernels take them."""
        return self.pages, self.entries, self.outputs

    def save(self) -> dict[str, Array]:
        """By name."""
        return {
            "characters.pages": self.pages,
            "characters.entries": self.entries,
            "characters.outputs": self.outputs,
        }


def without_accents(text: str, strip: StripAccents | None) -> str:
    """What is left of a text's compatibility decomposition (NFKD): ASCII, or what combines with nothing.

    Combining characters change places only among themselves, so the parts of a text are those of its
    characters.
    """
    if strip is None or text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    if strip == "ascii":
        return decomposed.encode("ascii", "ignore").decode()
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@cache
def text_tables(lowercase: bool, strip: StripAccents | None) -> TextTables:
    """The tables of this Python."""
    numbers = np.zeros(_CODE_POINTS // _PAGE, np.uint16)
    pages: dict[bytes, int] = {}
    outputs = _Outputs()
    for page in range(len(numbers)):
        entries = np.array(_page_entries(page, lowercase, strip, outputs), np.uint32)
        numbers[page] = pages.setdefault(entries.tobytes(), len(pages))
    return TextTables(
        _fixed(numbers),
        _fixed(np.frombuffer(b"".join(pages), np.uint32)),
        _fixed(np.array(outputs.items, np.uint32)),
    )


def restore_tables(saved: Saved, lowercase: bool, strip: StripAccents | None) -> TextTables:
    """What save() gave. TransformError where they are no tables, or make of ASCII what Python does not."""
    pages = saved.array("characters.pages", "UINT16", _CODE_POINTS // _PAGE)
    entries = saved.array("characters.entries", "UINT32")
    outputs = saved.array("characters.outputs", "UINT32")
    if entries.size % _PAGE != 0 or int(pages.max()) != entries.size // _PAGE - 1:
        raise saved.error("the array 'characters.pages' does not fit 'characters.entries'")
    kinds, classes, cases, values = entries & 3, entries >> 2 & 3, entries >> 4 & 3, entries >> 8
    sound = (classes <= _SPACE) & (cases <= _IGNORABLE) & (entries & 0xC0 == 0)
    sound &= (kinds != _SAME) | (values == 0)
    sound &= (kinds != _ONE) | _characters(values)
    sound &= (kinds != _SIGMA) | _runs(outputs, values, np.full(len(values), 2))
    many = np.flatnonzero(kinds == _MANY)
    inside = values[many] < outputs.size
    counts = outputs[values[many][inside]].astype(np.int64)
    sound[many[~inside]] = False
    sound[many[inside]] &= _runs(outputs, values[many][inside] + 1, counts) & (counts <= _MOST_OUTPUTS)
    if not sound.all():
        index = int(np.argmin(sound))
        raise saved.error(
            f"the array 'characters.entries' holds {entries[index]} at {index}, which is no entry"
        )
    ascii_entries = entries[int(pages[0]) * _PAGE :][:128]
    if ascii_entries.tolist() != _page_entries(0, lowercase, strip, _Outputs())[:128]:
        raise saved.error("the array 'characters.entries' makes something else of ASCII than Python does")
    return TextTables(pages, entries, outputs)


def _characters(values: Array) -> Array:
    in_range = (values < _CODE_POINTS) & ((values < _SURROGATES.start) | (values >= _SURROGATES.stop))
    return cast(Array, in_range)


def _runs(outputs: Array, starts: Array, counts: Array) -> Array:
    """Of each run of outputs, whether it lies in the array and holds characters alone."""
    sound = _characters(outputs & 0x1FFFFF) & (outputs >> _CLASS_BIT <= _SPACE)
    unsound_before = np.concatenate([[0], np.cumsum(~sound)])
    ends = starts.astype(np.int64) + counts
    inside = ends <= outputs.size
    first, last = np.where(inside, starts, 0), np.where(inside, ends, 0)
    return cast(Array, inside & (unsound_before[first] == unsound_before[last]))


class _Outputs:
    """The array `outputs` while it grows; what is in it already is used again."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self._starts: dict[tuple[int, ...], int] = {}

    def place(self, items: Sequence[int]) -> int:
        """Where these items are."""
        start = self._starts.setdefault(tuple(items), len(self.items))
        if start == len(self.items):
            self.items += items
        return start


def _page_entries(page: int, lowercase: bool, strip: StripAccents | None, outputs: _Outputs) -> list[int]:
    text = "".join(map(chr, range(page * _PAGE, (page + 1) * _PAGE)))
    if _NO_CHARACTERS.issuperset(map(unicodedata.category, text)):
        unchanged = _SAME | _OTHER << 2
        return [_MANY | outputs.place([0]) << 8 if strip == "ascii" else unchanged] * _PAGE
    lower = [character.lower() for character in text] if lowercase else list(text)
    found = [_entry(forms, strip, outputs) for forms in zip(text, lower, strict=True)]
    if not lowercase:
        return found
    if _CAPITAL_SIGMA in text:
        found[text.index(_CAPITAL_SIGMA)] = _sigma_entry(strip, outputs)
    return [entry | case << 4 for entry, case in zip(found, _cases(text), strict=True)]


def _entry(forms: tuple[str, str], strip: StripAccents | None, outputs: _Outputs) -> int:
    """The entry, without its case, of a character and what it becomes before accents are stripped."""
    character, lower = forms
    made = without_accents(lower, strip)
    if made == character:
        return _SAME | _class(character) << 2
    if len(made) == 1:
        return _ONE | _class(made) << 2 | ord(made) << 8
    return _MANY | outputs.place([len(made), *map(_output, made)]) << 8


def _sigma_entry(strip: StripAccents | None, outputs: _Outputs) -> int:
    """The entry of capital sigma: two forms, unless nothing is left of either."""
    usual, final = (without_accents(form, strip) for form in ("σ", "ς"))
    if usual == final:
        return _entry((_CAPITAL_SIGMA, usual), strip, outputs)
    return _SIGMA | outputs.place([_output(usual), _output(final)]) << 8


def _cases(page: str) -> list[int]:
    """Of each character, what lower() takes it for when it decides which of two forms a capital sigma
    becomes.

    A sigma is the last of a word where a cased letter stands before it and none behind, ignorable characters
    left out on both sides; a NUL is neither.
    """
    alone = "\0".join([character + _CAPITAL_SIGMA for character in page]).lower()
    behind_letter = "\0".join(["A" + character + _CAPITAL_SIGMA for character in page]).lower()
    if page[0] == "\0":
        alone, behind_letter = alone[1:], behind_letter[0] + behind_letter[2:]
    return [
        _CASED if first[-1] == "ς" else _IGNORABLE if second[-1] == "ς" else _UNCASED
        for first, second in zip(alone.split("\0"), behind_letter.split("\0"), strict=True)
    ]


def _class(character: str) -> int:
    if character.isalnum() or character == "_":
        return _WORD
    return _SPACE if character.isspace() else _OTHER


def _output(character: str) -> int:
    return ord(character) | _class(character) << _CLASS_BIT


def _fixed(array: Array) -> Array:
    array = array.copy()
    array.setflags(write=False)
    return array
