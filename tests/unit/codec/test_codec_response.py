"""What encode_infer_response writes, Google's protobuf reads back."""

from __future__ import annotations

import itertools
import math
import struct
from typing import Any

import numpy as np
import pytest
from codec_probe import BOOL, DOUBLE, INT64, NONE, STRING, UINT64, Parameters, Probe, Tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from infer_rules import DATATYPES, NUMBERS, parameters_of
from wire_requests import Draw, element_values, names, raw_entry, varying

from penstock import _proto

thorough = settings(max_examples=300, deadline=None)
shapes = st.lists(st.integers(0, 4), max_size=3) | st.just([1, 30]) | st.just([200])


@st.composite
def tensors(draw: Draw) -> Tensor:
    shape = tuple(draw(shapes))
    datatype = draw(st.sampled_from(DATATYPES))
    count = math.prod(shape)
    values = draw(st.lists(element_values(datatype), min_size=count, max_size=count))
    data = values if datatype == "BYTES" else raw_entry(datatype, values)
    return Tensor(draw(names), datatype, shape, data)


@st.composite
def parameters(draw: Draw) -> Parameters:
    values = {
        NONE: st.none(),
        BOOL: st.booleans(),
        INT64: st.integers(-(2**63), 2**63 - 1),
        STRING: names,
        DOUBLE: st.floats(allow_nan=False),
        UINT64: varying,
    }
    kinds = draw(st.dictionaries(names, st.sampled_from(list(values)), max_size=6))
    return {name: (kind, draw(values[kind])) for name, kind in kinds.items()}


def expected_data(tensor: Tensor) -> Any:
    if isinstance(tensor.data, list):
        return tensor.data
    return np.frombuffer(tensor.data, NUMBERS[tensor.datatype][1])


def raw_data(datatype: str, data: bytes) -> Any:
    if datatype != "BYTES":
        return np.frombuffer(data, NUMBERS[datatype][1])
    found = []
    while data:
        (size,) = struct.unpack_from("<I", data)
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def typed_data(datatype: str, contents: Any) -> Any:
    if datatype == "BYTES":
        return list(contents.bytes_contents)
    name, dtype = NUMBERS[datatype]
    others = [field.name for field, _ in contents.ListFields()]
    assert others in ([], [name])
    return np.array(list(getattr(contents, name)), dtype=dtype)


def check(response: Any, sent: list[Tensor], raw: bool) -> None:
    assert len(response.outputs) == len(sent)
    assert len(response.raw_output_contents) == (len(sent) if raw else 0)
    for i, tensor in enumerate(sent):
        got = response.outputs[i]
        assert (got.name, got.datatype, tuple(got.shape)) == (tensor.name, tensor.datatype, tensor.shape)
        assert got.HasField("contents") == (not raw)
        if raw:
            data = raw_data(tensor.datatype, response.raw_output_contents[i])
        else:
            data = typed_data(tensor.datatype, got.contents)
        if isinstance(data, list):
            assert data == tensor.data
        else:
            np.testing.assert_array_equal(data, expected_data(tensor))


@given(
    sent=st.lists(tensors(), max_size=3),
    head=parameters(),
    texts=st.tuples(names, names, names),
    raw=st.booleans(),
    stream=st.booleans(),
    prefix=st.sampled_from([0, 5]),
    borrow_at=st.sampled_from([0, 1, 16, 2**32 - 1]),
)
@thorough
def test_protobuf_reads_what_was_encoded(
    codec: Probe,
    sent: list[Tensor],
    head: Parameters,
    texts: tuple[str, str, str],
    raw: bool,
    stream: bool,
    prefix: int,
    borrow_at: int,
) -> None:
    pieces = codec.encode(
        sent,
        model_name=texts[0],
        model_version=texts[1],
        id_=texts[2],
        parameters=head,
        raw=raw,
        stream=stream,
        prefix=prefix,
        borrow_at=borrow_at,
    )
    whole = b"".join(piece.data for piece in pieces)
    message = whole[prefix:]
    if prefix:
        assert whole[:5] == struct.pack(">BI", 0, len(message))
    if stream:
        wrapper = _proto.ModelStreamInferResponse.FromString(message)
        assert wrapper.error_message == ""
        assert wrapper.HasField("infer_response")
        response = wrapper.infer_response
    else:
        response = _proto.ModelInferResponse.FromString(message)
    assert (response.model_name, response.model_version, response.id) == texts
    assert parameters_of(response.parameters) == head
    travels_raw = raw or any(tensor.datatype in ("FP16", "BF16") for tensor in sent)
    check(response, sent, travels_raw)

    borrowed = [piece.data for piece in pieces if piece.borrowed]
    large = [
        tensor.data
        for tensor in sent
        if travels_raw and isinstance(tensor.data, bytes) and len(tensor.data) >= max(borrow_at, 1)
    ]
    assert borrowed == large
    assert not any(a.borrowed and b.borrowed for a, b in itertools.pairwise(pieces))


def test_a_missing_string_travels_as_an_empty_one(codec: Probe) -> None:
    for raw in (True, False):
        (piece,) = codec.encode([Tensor("s", "BYTES", (3,), [b"", b"a\0b", b""])], raw=raw)
        check(
            _proto.ModelInferResponse.FromString(piece.data),
            [Tensor("s", "BYTES", (3,), [b"", b"a\0b", b""])],
            raw,
        )


def test_a_tensor_without_elements_still_has_its_raw_entry(codec: Probe) -> None:
    sent = [
        Tensor("a", "FP32", (0, 3), b""),
        Tensor("b", "INT8", (2,), b"\x01\xff"),
        Tensor("c", "BYTES", (0,), []),
    ]
    whole = b"".join(piece.data for piece in codec.encode(sent, borrow_at=0))
    assert list(_proto.ModelInferResponse.FromString(whole).raw_output_contents) == [b"", b"\x01\xff", b""]


@pytest.mark.parametrize("id_", ["", "7"])
def test_an_error_within_a_stream_keeps_the_id(codec: Probe, id_: str) -> None:
    framed = codec.stream_error("Größe 3".encode(), id_)
    assert framed[:5] == struct.pack(">BI", 0, len(framed) - 5)
    response = _proto.ModelStreamInferResponse.FromString(framed[5:])
    assert response.error_message == "Größe 3"
    assert response.infer_response.id == id_
    assert response.HasField("infer_response") == bool(id_)


@given(message=st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
@thorough
def test_an_error_message_of_any_bytes_is_legal_protobuf(codec: Probe, message: bytes) -> None:
    response = _proto.ModelStreamInferResponse.FromString(codec.stream_error(message, "")[5:])
    try:
        assert response.error_message == message.decode()
    except UnicodeDecodeError:
        assert response.error_message == "".join(chr(byte) if byte < 0x80 else "?" for byte in message)


def test_a_long_error_message_is_cut_to_legal_protobuf(codec: Probe) -> None:
    response = _proto.ModelStreamInferResponse.FromString(
        codec.stream_error(("a" + "é" * 9000).encode(), "")[5:]
    )
    assert 4000 < len(response.error_message) <= 4096
