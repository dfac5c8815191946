from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inference_peer import strings

from penstock import _proto
from penstock.client.tensors import (
    DTYPES,
    Tensor,
    decode_response,
    encode_request,
    from_raw,
    raw_bytes,
    to_raw,
)
from penstock.errors import DATA_LOSS, InputError, StatusError

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)


@st.composite
def numeric(draw: st.DrawFn) -> tuple[str, np.ndarray[Any, Any]]:
    datatype = draw(st.sampled_from(sorted(set(DTYPES) - {"BF16"})))
    return datatype, draw(hnp.arrays(DTYPES[datatype], draw(shapes)))


@given(numeric())
def test_numbers_come_back_from_their_raw_form_bit_for_bit(case: tuple[str, np.ndarray[Any, Any]]) -> None:
    datatype, array = case
    raw = np.asarray(to_raw(array, datatype)).tobytes()
    assert raw == array.astype(array.dtype.newbyteorder("<")).tobytes()
    back = from_raw("x", datatype, array.shape, raw)
    assert back.dtype == DTYPES[datatype]
    np.testing.assert_array_equal(back, array)


def test_bf16_travels_as_its_bits_and_comes_back_as_float32() -> None:
    raw = np.asarray(to_raw(np.array([[0x3F80, 0xC000]], np.uint16), "BF16")).tobytes()
    assert raw == bytes.fromhex("803f00c0")
    back = from_raw("x", "BF16", [1, 2], raw)
    assert (back.dtype, back.tolist()) == (np.float32, [[1.0, -2.0]])


def test_a_big_endian_or_strided_array_is_sent_little_endian_and_packed() -> None:
    array = np.arange(12, dtype=">i4").reshape(3, 4)[:, ::2]
    assert np.asarray(to_raw(array, "INT32")).tobytes() == struct.pack("<6i", 0, 2, 4, 6, 8, 10)


@given(st.lists(st.one_of(st.text(max_size=8), st.binary(max_size=8), st.none())))
def test_strings_are_framed_by_their_length_in_bytes(elements: list[str | bytes | None]) -> None:
    expected = [e.encode() if isinstance(e, str) else e or b"" for e in elements]
    raw = raw_bytes(elements)
    assert strings(raw) == expected
    assert from_raw("x", "BYTES", [len(elements)], raw).tolist() == expected


def test_a_string_of_zero_bytes_keeps_its_length() -> None:
    assert raw_bytes(["\0\0", "a" * 256]) == b"\2\0\0\0\0\0" + b"\0\1\0\0" + b"a" * 256


def test_a_number_among_strings_is_refused_by_its_value_and_type() -> None:
    with pytest.raises(InputError, match=r"got 7 of type int"):
        raw_bytes(["a", 7])  # type: ignore[list-item]


parameters = st.dictionaries(
    st.text(max_size=5),
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False),
        st.text(max_size=5),
    ),
    max_size=3,
)


@settings(max_examples=60)
@given(
    st.lists(numeric(), max_size=4),
    st.text(max_size=5),
    st.text(max_size=5),
    st.text(max_size=5),
    parameters,
    st.lists(st.text(max_size=5), max_size=2),
)
def test_a_request_reads_as_the_message_that_protobuf_would_build(
    arrays: list[tuple[str, np.ndarray[Any, Any]]],
    model: str,
    version: str,
    id: str,  # noqa: A002
    parameters: dict[str, Any],
    outputs: list[str],
) -> None:
    tensors = [Tensor(f"t{i}", d, a.shape, to_raw(a, d)) for i, (d, a) in enumerate(arrays)]
    encoded = encode_request(model, version, tensors, outputs=tuple(outputs), id=id, parameters=parameters)
    expected = _proto.ModelInferRequest(model_name=model, model_version=version, id=id)
    for index, (datatype, array) in enumerate(arrays):
        expected.inputs.add(name=f"t{index}", datatype=datatype, shape=array.shape)
        expected.raw_input_contents.append(array.tobytes())
    for name in outputs:
        expected.outputs.add(name=name)
    for name, value in parameters.items():
        kind = {bool: "bool_param", float: "double_param", str: "string_param", int: "int64_param"}[
            type(value)
        ]
        kind = "uint64_param" if kind == "int64_param" and value >= 2**63 else kind
        setattr(expected.parameters[name], kind, value)
    assert _proto.ModelInferRequest.FromString(encoded) == expected


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 70000])
def test_raw_contents_of_every_length_are_framed_right(size: int) -> None:
    encoded = encode_request("m", "", [Tensor("t", "UINT8", (size,), np.full(size, 7, "u1"))])
    assert _proto.ModelInferRequest.FromString(encoded).raw_input_contents[0] == b"\7" * size


def test_a_parameter_beyond_64_bits_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"parameter 'seed'.*64 bits"):
        encode_request("m", "", [], parameters={"seed": 2**64})


def test_inputs_beyond_what_a_message_holds_are_refused_before_they_are_sent() -> None:
    huge = np.broadcast_to(np.zeros(1, "u1"), (2**31,))
    with pytest.raises(InputError, match="max_rows"):
        encode_request("m", "", [Tensor("t", "UINT8", huge.shape, huge)])


def response(**fields: Any) -> Any:
    return _proto.ModelInferResponse(model_name="m", model_version="3", **fields)


def test_a_raw_answer_becomes_arrays_with_what_the_server_said() -> None:
    message = response(id="i")
    message.outputs.add(name="p", datatype="FP64", shape=[2, 1])
    message.outputs.add(name="w", datatype="BYTES", shape=[2])
    message.raw_output_contents.extend([struct.pack("<2d", 0.5, 1.5), b"\1\0\0\0a\0\0\0\0"])
    message.parameters["penstock_arm"].string_param = "canary"
    message.parameters["penstock_digest"].string_param = "ff"
    message.parameters["n"].int64_param = 4
    result = decode_response(message)
    assert result["p"].tolist() == [[0.5], [1.5]]
    assert result["w"].tolist() == [b"a", b""]
    assert (result.model, result.version, result.id) == ("m", "3", "i")
    assert (result.arm, result.digest, result.parameters["n"]) == ("canary", "ff", 4)
    assert list(result) == ["p", "w"]


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-3, 4]),
        ("UINT16", "uint_contents", [3, 4]),
        ("INT64", "int64_contents", [-3, 2**40]),
        ("UINT64", "uint64_contents", [3, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, 2.0]),
        ("FP64", "fp64_contents", [0.1, 2.0]),
        ("BYTES", "bytes_contents", [b"ab", b""]),
    ],
)
def test_typed_contents_are_read_as_well(datatype: str, field: str, values: list[Any]) -> None:
    message = response()
    output = message.outputs.add(name="p", datatype=datatype, shape=[2])
    getattr(output.contents, field).extend(values)
    array = decode_response(message)["p"]
    assert array.tolist() == values
    assert array.dtype == DTYPES.get(datatype, np.dtype(object))


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("FP64", [2], b"\0" * 15),
        ("FP64", [3], b"\0" * 16),
        ("BYTES", [1], b"\5\0\0\0abc"),
        ("BYTES", [2], b"\1\0\0\0a"),
        ("BYTES", [1], b"\1\0\0\0a\0"),
        ("BYTES", [1], b"\xff\xff\xff\xff"),
        ("COMPLEX", [1], b"\0"),
    ],
)
def test_an_answer_that_contradicts_itself_is_data_loss_and_names_the_output(
    datatype: str, shape: list[int], raw: bytes
) -> None:
    message = response()
    message.outputs.add(name="p", datatype=datatype, shape=shape)
    message.raw_output_contents.append(raw)
    with pytest.raises(StatusError, match="output 'p'") as caught:
        decode_response(message)
    assert caught.value.status == DATA_LOSS


def test_missing_raw_contents_are_data_loss() -> None:
    message = response()
    message.outputs.add(name="p", datatype="FP64", shape=[1])
    message.outputs.add(name="q", datatype="FP64", shape=[1])
    message.raw_output_contents.append(b"\0" * 8)
    with pytest.raises(StatusError, match="2 outputs and 1 raw contents"):
        decode_response(message)
