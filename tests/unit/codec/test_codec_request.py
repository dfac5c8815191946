"""decode_infer_request sees what Google's protobuf sees, and refuses what it and the protocol refuse."""

from __future__ import annotations

import struct

import infer_rules
import pytest
from codec_probe import INT64, NONE, STRING, Probe, StatusError
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from infer_rules import MalformedError, RefusedError
from wire_requests import FIXED32, LENGTH, START, VARINT, field, messages, varint, wire_requests

from penstock import _proto

INVALID_ARGUMENT = 3
thorough = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


def compare(codec: Probe, message: bytes, shift: int = 0) -> None:
    try:
        expected = infer_rules.read(message)
    except RefusedError as refused:
        with pytest.raises(StatusError) as caught:
            codec.decode(message, shift)
        assert caught.value.code == INVALID_ARGUMENT
        if not isinstance(refused, MalformedError):
            assert not caught.value.malformed, "protobuf reads it, so the message is well formed"
        return
    request = codec.decode(message, shift)
    assert infer_rules.plain(request) == infer_rules.plain(expected)
    assert all(tensor.aligned for tensor in request.inputs)


@given(request=messages(), shift=st.integers(0, 7))
@thorough
def test_a_message_that_protobuf_wrote_is_read_alike_or_refused_by_the_rules(
    codec: Probe, request: object, shift: int
) -> None:
    compare(codec, request.SerializeToString(), shift)  # type: ignore[attr-defined]


@given(message=wire_requests(), shift=st.integers(0, 7))
@thorough
def test_legal_but_unusual_wire_forms_are_accepted_and_read_as_protobuf_reads_them(
    codec: Probe, message: bytes, shift: int
) -> None:
    infer_rules.read(message)  # the generator keeps the rules
    compare(codec, message, shift)


@given(message=wire_requests(), data=st.data())
@thorough
def test_damaged_messages_are_read_alike_or_refused(
    codec: Probe, message: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        kind = data.draw(st.sampled_from(["cut", "flip", "insert", "drop"]))
        if kind == "cut":
            del damaged[at:]
        elif kind == "insert":
            damaged[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        elif at < len(damaged) and kind == "flip":
            damaged[at] ^= 1 << data.draw(st.integers(0, 7))
        elif at < len(damaged):
            del damaged[at]
    compare(codec, bytes(damaged))


@given(message=st.binary(max_size=200))
@thorough
def test_random_bytes_are_read_alike_or_refused(codec: Probe, message: bytes) -> None:
    compare(codec, message)


def refusal(codec: Probe, request: object) -> str:
    message = request if isinstance(request, bytes) else request.SerializeToString()  # type: ignore[attr-defined]
    with pytest.raises(StatusError) as caught:
        codec.decode(message)
    assert caught.value.code == INVALID_ARGUMENT
    return str(caught.value)


def one_input(datatype: str, shape: list[int], raw: bytes | None = None, **contents: list[object]) -> object:
    request = _proto.ModelInferRequest()
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    for name, values in contents.items():
        getattr(tensor.contents, name).extend(values)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (one_input("FP33", [1], b"1234"), r"input 'x': unknown datatype 'FP33', expected one of BOOL.*BYTES"),
        (
            one_input("FP32", [2, 3], b"1234"),
            r"'x': FP32 of shape \[2, 3\] needs 6 .* of 4 bytes, raw.*\[0\] has 4 b",
        ),
        (one_input("FP32", [1], b"12345"), r"'x'.*raw_input_contents\[0\] has 5 bytes"),
        (one_input("FP32", [-1], b""), r"'x': shape \[-1\] has a negative dimension"),
        (one_input("INT8", [2**40, 2**40], b""), r"'x': shape .* more elements than 64 bits"),
        (one_input("INT8", [2**40, 2**40, 0], b""), r"'x': shape .* more elements than 64 bits"),
        (one_input("INT8", [1] * 65, b"1"), r"'x': 65 dimensions came, expected at most 64"),
        (one_input("BOOL", [2], b"\x01\x02"), r"'x': element 1 is 2, expected BOOL: 0 or 1"),
        (
            one_input("BYTES", [1], b"\x05\0\0\0abc"),
            r"'x': element 0 of 1 does not fit .* 7 bytes are left.*\(5\)",
        ),
        (one_input("BYTES", [2], b"\x03\0\0\0abc\x01"), r"'x': element 1 of 2 does not fit"),
        (one_input("BYTES", [2], b"\x03\0\0\0abc"), r"'x': BYTES of shape \[2\] needs 2 .* has only 7 bytes"),
        (
            one_input("BYTES", [1], b"\x03\0\0\0abcd"),
            r"'x': raw_input_contents\[0\] has 1 bytes more than the 1 elem",
        ),
        (
            one_input("FP32", [2], fp64_contents=[1, 2]),
            r"'x': FP32 came in fp64_contents, expected fp32_contents",
        ),
        (
            one_input("FP16", [1], fp32_contents=[1]),
            r"'x': FP16 came in fp32_contents, expected raw_input_contents",
        ),
        (
            one_input("BF16", [1]),
            r"'x': BF16 of shape \[1\] needs 1 elements, expected in raw_input_contents",
        ),
        (one_input("FP32", [2], fp32_contents=[1, 2], int_contents=[1]), r"'x': FP32 came in int_contents"),
        (one_input("FP32", [3], fp32_contents=[1, 2]), r"'x'.*\[3\] needs 3 elements, fp32_contents has 2$"),
        (one_input("FP32", [3]), r"needs 3 elements, fp32_contents has 0 and raw_input_contents is empty"),
        (one_input("UINT8", [1], uint_contents=[256]), r"'x': element 0 is 256, expected UINT8: 0 to 255"),
        (
            one_input("INT16", [2], int_contents=[0, -32769]),
            r"element 1 is -32769, expected INT16: -32768 to 32767",
        ),
        (
            one_input("FP32", [1], b"1234", fp32_contents=[1]),
            r"'x' has contents, and raw_input_contents came too",
        ),
    ],
)
def test_a_refusal_names_the_tensor_what_came_and_what_was_expected(
    codec: Probe, request_: object, said: str
) -> None:
    with pytest.raises(StatusError, match=said):
        codec.decode(request_.SerializeToString())  # type: ignore[attr-defined]


def test_raw_entries_must_be_one_an_input(codec: Probe) -> None:
    request = one_input("FP32", [1], b"1234")
    request.raw_input_contents.append(b"")  # type: ignore[attr-defined]
    assert "raw_input_contents has 2 entries, expected 1" in refusal(codec, request)
    request = _proto.ModelInferRequest(raw_input_contents=[b""])
    assert "raw_input_contents has 1 entries, expected 0" in refusal(codec, request)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([1], "model_name"),
        ([2], "model_version"),
        ([3], "id"),
        ([5, 1], "inputs.name"),
        ([5, 2], "inputs.datatype"),
        ([6, 1], "outputs.name"),
        ([4, 1], "ModelInferRequest.parameters: a key"),
        ([4, 2, 3], "ModelInferRequest.parameters: a string_param"),
        ([5, 4, 1], "inputs.parameters: a key"),
        ([6, 2, 1], "outputs.parameters: a key"),
    ],
)
def test_a_string_that_is_not_utf8_is_refused_by_its_name(codec: Probe, path: list[int], said: str) -> None:
    message = b"caf\xe9"
    for number in reversed(path):
        message = field(number, LENGTH, message)
    if path[0] == 5:  # an input needs a datatype to get as far as its parameters
        inside = field(2, LENGTH, b"FP32") + field(3, VARINT, b"\0") + message[2:]
        message = field(5, LENGTH, inside)
    with pytest.raises(DecodeError):
        _proto.ModelInferRequest.FromString(message)
    answer = refusal(codec, message)
    assert said in answer
    assert "not valid UTF-8" in answer


def test_a_few_bytes_that_announce_many_elements_are_refused_at_once(codec: Probe) -> None:
    for datatype in infer_rules.DATATYPES:
        request = one_input(datatype, [2**40], b"\0" * 8)
        assert len(request.SerializeToString()) < 45  # type: ignore[attr-defined]
        assert "'x'" in refusal(codec, request)
        assert "'x'" in refusal(codec, one_input(datatype, [2**40]))


def test_many_empty_entries_are_refused(codec: Probe) -> None:
    for number in (4, 5, 6):
        assert "the limit" in refusal(codec, field(number, LENGTH, b"") * 70_000)
    inside = field(2, LENGTH, b"FP32") + field(3, VARINT, b"\0") + field(4, LENGTH, b"") * 40_000
    assert "the limit" in refusal(codec, field(5, LENGTH, inside) * 2)


def test_of_many_parameters_the_last_of_each_name_counts(codec: Probe) -> None:
    def entry(name: str, value: int) -> bytes:
        inside = field(1, LENGTH, name.encode()) + field(2, LENGTH, field(2, VARINT, varint(value)))
        return field(4, LENGTH, inside)

    message = b"".join(entry(f"p{i % 40}", i) for i in range(100)) + field(4, LENGTH, b"")
    parameters = codec.decode(message).parameters
    assert parameters == infer_rules.parameters_of(_proto.ModelInferRequest.FromString(message).parameters)
    assert parameters["p0"] == (INT64, 80)
    assert parameters["p39"] == (INT64, 79)
    assert parameters[""] == (NONE, None)


def test_a_parameter_value_that_comes_twice_is_merged_and_its_last_choice_counts(codec: Probe) -> None:
    value = field(2, LENGTH, field(2, VARINT, b"\x07")) + field(2, LENGTH, field(3, LENGTH, b"seven"))
    message = field(4, LENGTH, value + field(1, LENGTH, b"k") + field(2, LENGTH, b""))
    assert codec.decode(message).parameters == {"k": (STRING, "seven")}
    assert infer_rules.parameters_of(_proto.ModelInferRequest.FromString(message).parameters) == {
        "k": (STRING, "seven")
    }


def test_varints_longer_than_they_need_to_be_are_read_up_to_protobufs_limits(codec: Probe) -> None:
    for length in range(12):
        compare(codec, varint(3 << 3 | LENGTH, length) + b"\x01a")
        compare(codec, varint(3 << 3 | LENGTH) + varint(1, length) + b"a")
        compare(codec, field(5, LENGTH, field(2, LENGTH, b"INT8") + field(3, VARINT, varint(0, length))))
        compare(codec, field(100, VARINT, varint(0, length)))
    for last in (b"\x01", b"\x02", b"\x7f"):
        entry = field(2, LENGTH, field(2, VARINT, b"\xff" * 9 + last))
        compare(codec, field(4, LENGTH, entry))


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x00",  # field number 0
        b"\x02\x00",
        b"\x1e",  # wire types 6 and 7
        b"\x1f",
        b"\x1c",  # an end without a start
        b"\x7b\x6c",  # an end of another group
        b"\x7b",  # a group without end
        b"\x1a\xff\xff\xff\xff\x07",  # a length of 2 GiB
        b"\x1a\xff\xff\xff\xff\x0f",
        b"\x1a",
        b"\x1d\x00",
        b"\x19\x00",
        b"\xff",
        field(5, LENGTH, field(3, LENGTH, b"\x80")),
        field(
            5, LENGTH, field(2, LENGTH, b"FP32") + field(3, VARINT, b"\0") + field(5, LENGTH, b"\x32\x03abc")
        ),
        field(
            5, LENGTH, field(2, LENGTH, b"INT8") + field(3, VARINT, b"\0") + field(5, LENGTH, b"\x12\x01\x80")
        ),
    ],
)
def test_what_protobuf_cannot_parse_is_called_malformed(codec: Probe, message: bytes) -> None:
    with pytest.raises(DecodeError):
        _proto.ModelInferRequest.FromString(message)
    assert "malformed protobuf" in refusal(codec, message)


@pytest.mark.parametrize("depth", [1, 97, 98, 99, 100, 101, 5000])
def test_nesting_is_bounded_as_in_protobuf(codec: Probe, depth: int) -> None:
    groups = varint(15 << 3 | START) * depth + varint(15 << 3 | 4) * depth
    tensor = field(2, LENGTH, b"FP32") + field(3, VARINT, b"\0")
    compare(codec, groups)
    compare(codec, field(5, LENGTH, tensor + groups))
    compare(codec, field(5, LENGTH, tensor + field(5, LENGTH, groups)))
    compare(codec, field(4, LENGTH, field(2, LENGTH, groups)))


def test_every_cut_of_a_message_is_read_alike_or_refused(codec: Probe) -> None:
    request = one_input("FP32", [1, 2], struct.pack("<2f", 1, 2))
    request.inputs.add(name="s", datatype="BYTES", shape=[1])  # type: ignore[attr-defined]
    request.raw_input_contents.append(b"\x02\0\0\0ab")  # type: ignore[attr-defined]
    request.parameters["priority"].int64_param = 5  # type: ignore[attr-defined]
    request.outputs.add(name="y").parameters["classification"].uint64_param = 3  # type: ignore[attr-defined]
    whole = request.SerializeToString()  # type: ignore[attr-defined]
    for cut in range(len(whole) + 1):
        compare(codec, whole[:cut])


def test_known_numbers_with_another_wire_type_are_skipped(codec: Probe) -> None:
    message = b"".join(field(number, FIXED32, b"abcd") for number in range(1, 8)) + field(3, LENGTH, b"7")
    compare(codec, message)
    assert codec.decode(message).id == "7"


def test_long_names_are_cut_in_messages(codec: Probe) -> None:
    request = _proto.ModelInferRequest()
    request.inputs.add(name="é" * 100_000, datatype="FP32", shape=[1])
    said = refusal(codec, request)
    assert len(said) < 1000
    assert "é..." in said
