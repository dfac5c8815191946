"""Hypothesis strategies for ModelInferRequests: through protobuf, and in legal but unusual wire forms."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from infer_rules import DATATYPES, NUMBERS

from penstock import _proto

Draw = Callable[[st.SearchStrategy[Any]], Any]
VARINT, FIXED64, LENGTH, START, END, FIXED32 = range(6)

names = st.text(max_size=12)
shapes = st.one_of(
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from([[], [1], [1, 30], [0], [3, 0, 2], [2**40, 0], [1] * 64]),
)
varying = st.integers(0, 2**64 - 1) | st.integers(0, 300)


def varint(value: int, pad: int = 0) -> bytes:
    """The varint of a number below 2**64, with `pad` bytes more than it needs."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(pad):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def field(number: int, wire_type: int, content: bytes) -> bytes:
    length = varint(len(content)) if wire_type == LENGTH else b""
    return varint(number << 3 | wire_type) + length + content


Field = tuple[int, bytes]  # number, whole encoding


@st.composite
def unknown_field(draw: Draw, depth: int = 2) -> bytes:
    """A field that protobuf skips: an unknown number, any wire type, groups within groups."""
    number = draw(st.sampled_from([9, 15, 16, 100, 2**29 - 1]))
    wire_type = draw(st.sampled_from([VARINT, FIXED64, LENGTH, FIXED32, START]))
    if wire_type == START:
        inside = draw(st.lists(unknown_field(depth - 1), max_size=2)) if depth else []
        return varint(number << 3 | START) + b"".join(inside) + varint(number << 3 | END)
    if wire_type == VARINT:
        return field(number, VARINT, varint(draw(varying)))
    sizes = {FIXED64: (8, 8), FIXED32: (4, 4), LENGTH: (0, 9)}[wire_type]
    return field(number, wire_type, draw(st.binary(min_size=sizes[0], max_size=sizes[1])))


@st.composite
def message(draw: Draw, fields: Sequence[Field], mistyped: Sequence[int] = ()) -> bytes:
    """The fields in any order that keeps those of one number in theirs, with fields to be skipped in between.

    `mistyped` are numbers of strings or messages, which protobuf skips where they come as fixed32.
    """
    queues: dict[int, list[bytes]] = defaultdict(list)
    for number, encoded in fields:
        queues[number].append(encoded)
    order = draw(st.permutations([number for number, _ in fields]))
    out = [queues[number].pop(0) for number in order]
    extra = st.one_of(
        unknown_field(), *[st.just(field(number, FIXED32, b"\x01\x02\x03\x04")) for number in mistyped]
    )
    for junk in draw(st.lists(extra, max_size=2)):
        out.insert(draw(st.integers(0, len(out))), junk)
    return b"".join(out)


@st.composite
def text_field(draw: Draw, number: int, text: str) -> list[Field]:
    """A singular string; sometimes an earlier occurrence that the last one replaces."""
    decoys = draw(st.lists(names, max_size=1))
    return [(number, field(number, LENGTH, each.encode())) for each in [*decoys, text]]


@st.composite
def numbers_field(draw: Draw, number: int, wire_type: int, encoded: Sequence[bytes]) -> list[Field]:
    """A repeated number: packed, unpacked, and in pieces of both; empty packed pieces too."""
    out: list[Field] = []
    rest = list(encoded)
    while rest or draw(st.integers(0, 9)) == 0:
        count = draw(st.integers(0, len(rest)))
        piece, rest = rest[:count], rest[count:]
        if draw(st.booleans()):
            out.append((number, field(number, LENGTH, b"".join(piece))))
        else:
            out += [(number, field(number, wire_type, each)) for each in piece]
    return out


@st.composite
def parameter_fields(draw: Draw, number: int) -> list[Field]:
    values = {
        1: st.booleans().map(lambda flag: field(1, VARINT, varint(int(flag)))),
        2: st.integers(-(2**63), 2**63 - 1).map(lambda n: field(2, VARINT, varint(n % 2**64))),
        3: names.map(lambda text: field(3, LENGTH, text.encode())),
        4: st.floats().map(lambda value: field(4, FIXED64, struct.pack("<d", value))),
        5: varying.map(lambda n: field(5, VARINT, varint(n))),
    }
    out = []
    for _ in range(draw(st.integers(0, 2))):
        entry: list[Field] = []
        if draw(st.booleans()):
            entry += draw(text_field(1, draw(st.sampled_from(["", "priority", "timeout"]))))
        for _ in range(draw(st.integers(0, 2))):  # none: the default; two: merged
            choices = draw(st.lists(st.one_of(*values.values()), max_size=2))
            value = draw(message([(i, each) for i, each in enumerate(choices)], mistyped=[3]))
            entry.append((2, field(2, LENGTH, value)))
        out.append((number, field(number, LENGTH, draw(message(entry, mistyped=[1, 2])))))
    return out


def element_values(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BYTES":
        return st.binary(max_size=6)
    if datatype == "BOOL":
        return st.integers(0, 1)
    dtype = np.dtype(NUMBERS[datatype][1])
    if dtype.kind == "f":
        return st.floats(width=dtype.itemsize * 8)  # type: ignore[arg-type]
    limits = np.iinfo(dtype)
    return st.integers(int(limits.min), int(limits.max))


def raw_entry(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    return np.array(values, dtype=NUMBERS[datatype][1]).tobytes()


@st.composite
def contents_fields(draw: Draw, datatype: str, values: Sequence[Any]) -> list[Field]:
    """One or more `contents` that together hold the values."""
    if datatype == "BYTES":
        pieces = [(8, field(8, LENGTH, value)) for value in values]
    else:
        name, dtype = NUMBERS[datatype]
        number = _proto.InferTensorContents.DESCRIPTOR.fields_by_name[name].number
        if np.dtype(dtype).kind == "f":
            wire_type = FIXED32 if datatype == "FP32" else FIXED64
            encoded = [struct.pack("<f" if datatype == "FP32" else "<d", value) for value in values]
        else:
            wire_type = VARINT
            pads = [draw(st.sampled_from([0, 0, 0, 1])) if value % 2**64 < 2**56 else 0 for value in values]
            encoded = [varint(value % 2**64, pad) for value, pad in zip(values, pads, strict=True)]
        pieces = draw(numbers_field(number, wire_type, encoded))
    cut = draw(st.integers(0, len(pieces)))
    parts = [pieces[:cut], pieces[cut:]] if draw(st.booleans()) else [pieces]
    return [(5, field(5, LENGTH, draw(message(part)))) for part in parts]


@st.composite
def wire_requests(draw: Draw) -> bytes:
    """A request that keeps all the rules, in a wire form that no ordinary writer makes."""
    raw = draw(st.booleans())
    fields: list[Field] = []
    for number in (1, 2, 3):
        fields += draw(text_field(number, draw(names)))
    fields += draw(parameter_fields(4))
    for _ in range(draw(st.integers(0, 3))):
        shape = draw(shapes)
        empty = 0 in shape
        datatype = draw(st.sampled_from(DATATYPES))
        if not raw and not empty and datatype in ("FP16", "BF16"):
            datatype = "FP32"
        count = 0 if empty else int(np.prod(shape, dtype=np.int64))
        values = draw(st.lists(element_values(datatype), min_size=count, max_size=count))
        parts: list[Field] = draw(text_field(1, draw(names))) + draw(text_field(2, datatype))
        parts += draw(numbers_field(3, VARINT, [varint(dim) for dim in shape]))
        parts += draw(parameter_fields(4))
        if raw:
            fields.append((7, field(7, LENGTH, raw_entry(datatype, values))))
        elif datatype not in ("FP16", "BF16") and (values or draw(st.booleans())):
            parts += draw(contents_fields(datatype, values))
        fields.append((5, field(5, LENGTH, draw(message(parts, mistyped=[1, 2, 4, 5])))))
    for _ in range(draw(st.integers(0, 2))):
        parts = draw(text_field(1, draw(names))) + draw(parameter_fields(2))
        fields.append((6, field(6, LENGTH, draw(message(parts, mistyped=[1, 2])))))
    return draw(message(fields, mistyped=[1, 5, 7]))


@st.composite
def messages(draw: Draw) -> Any:
    """A ModelInferRequest as a client would make it, which may break the rules about contents."""

    def parameters(target: Any) -> None:
        for name in draw(st.lists(names, max_size=2)):
            kind = draw(st.sampled_from([None, "bool", "int64", "string", "double", "uint64"]))
            value = {
                "bool": st.booleans(),
                "int64": st.integers(-(2**63), 2**63 - 1),
                "string": names,
                "double": st.floats(),
                "uint64": varying,
            }
            if kind is None:
                target[name].SetInParent()
            else:
                setattr(target[name], f"{kind}_param", draw(value[kind]))

    request = _proto.ModelInferRequest(model_name=draw(names), model_version=draw(names), id=draw(names))
    parameters(request.parameters)
    raw = draw(st.booleans())
    for _ in range(draw(st.integers(0, 3))):
        shape = draw(shapes | st.lists(st.integers(-2, 2**62), max_size=3))
        datatype = draw(st.sampled_from([*DATATYPES, *DATATYPES, "FLOAT", ""]))
        tensor = request.inputs.add(name=draw(names), datatype=datatype, shape=shape)
        parameters(tensor.parameters)
        size = 1
        for dim in shape:
            size *= max(dim, 0)
        count = size if size <= 64 and draw(st.integers(0, 4)) else draw(st.integers(0, 3))
        kind = (
            datatype
            if datatype in DATATYPES and draw(st.integers(0, 4))
            else draw(st.sampled_from(DATATYPES))
        )
        values = draw(st.lists(element_values(kind), min_size=count, max_size=count))
        if raw and draw(st.integers(0, 9)):
            request.raw_input_contents.append(raw_entry(kind, values))
        elif kind not in ("FP16", "BF16"):
            name = "bytes_contents" if kind == "BYTES" else NUMBERS[kind][0]
            getattr(tensor.contents, name).extend(values)
    for _ in range(draw(st.integers(0, 2))):
        parameters(request.outputs.add(name=draw(names)).parameters)
    return request
