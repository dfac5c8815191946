"""Requests that cannot be answered: each gets a status, and hears what came and what was expected."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pandas as pd
import pytest
from generated_stubs import Generated
from infer_requests import add_raw, add_typed, network_request, raw_output

from sample_bundles import MATRIX_COLUMNS, MAX_ROWS, Samples
from wire_peer import INFER

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
Build = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    name: str
    build: Build  # from the generated messages to a request, or to its bytes
    code: grpc.StatusCode
    fragments: tuple[str, ...]


def f32(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def network(change: Callable[[Any], None], rows: int = 2) -> Build:
    """A good request for `network` (x FP32 [2, 16]), changed."""

    def build(messages: Any) -> Any:
        request, _ = network_request(messages, rows)
        change(request)
        return request

    return build


def of(model: str, *tensors: tuple[str, str, np.ndarray], typed: bool = False) -> Build:
    def build(messages: Any) -> Any:
        request = messages.ModelInferRequest(model_name=model)
        for name, datatype, values in tensors:
            (add_typed if typed else add_raw)(request, name, datatype, values)
        return request

    return build


def setting(**fields: Any) -> Callable[[Any], None]:
    def change(request: Any) -> None:
        for name, value in fields.items():
            setattr(request, name, value)

    return change


def shape(*dims: int) -> Callable[[Any], None]:
    return lambda request: request.inputs[0].shape.__setitem__(slice(None), dims)


def raw(data: bytes) -> Callable[[Any], None]:
    return lambda request: request.raw_input_contents.__setitem__(0, data)


def datatype(name: str) -> Callable[[Any], None]:
    return lambda request: setattr(request.inputs[0], "datatype", name)


def renamed(name: str) -> Callable[[Any], None]:
    return lambda request: setattr(request.inputs[0], "name", name)


def asked(*names: str, **parameters: int) -> Callable[[Any], None]:
    def change(request: Any) -> None:
        for name in names:
            output = request.outputs.add(name=name)
            for key, value in parameters.items():
                output.parameters[key].int64_param = value

    return change


def typed_network(count: int, field: str = "fp32_contents", value: Any = 1.0, kind: str = "FP32") -> Build:
    def build(messages: Any) -> Any:
        request = messages.ModelInferRequest(model_name="network")
        tensor = request.inputs.add(name="x", datatype=kind, shape=[2, 16])
        getattr(tensor.contents, field).extend([value] * count)
        return request

    return build


def flights(**changed: tuple[str, np.ndarray]) -> Build:
    """Two rows for `delay`, with columns changed (None: left out)."""
    columns: dict[str, tuple[str, np.ndarray] | None] = {
        "distance": ("FP64", np.ones(2)),
        "hour": ("INT64", np.ones(2, np.int64)),
        "wind": ("FP64", np.ones(2)),
        "carrier": ("BYTES", np.array([b"AA", b"UA"], dtype=object)),
    }
    columns |= changed
    present = {name: column for name, column in columns.items() if column is not None}
    return of("delay", *((name, kind, values) for name, (kind, values) in present.items()))


def text_of(data: bytes) -> Build:
    """`delay` with the carriers' raw contents replaced."""

    def build(messages: Any) -> Any:
        request = flights()(messages)
        request.raw_input_contents[3] = data
        return request

    return build


CASES = [
    Case(
        "unknown model", network(setting(model_name="nothing")), NOT_FOUND, ("'nothing'", "RepositoryIndex")
    ),
    Case("no model", network(setting(model_name="")), NOT_FOUND, ("''",)),
    Case("unknown version", network(setting(model_version="9")), NOT_FOUND, ("'network'", "'9'", "it has 1")),
    Case("unknown alias", network(setting(model_version="best")), NOT_FOUND, ("'best'", "it has 1")),
    Case("unknown input", network(renamed("z")), INVALID, ("'z'", "expected: x")),
    Case(
        "missing input",
        of("arithmetic", ("a", "FP32", f32(1, 3))),
        INVALID,
        ("'b' is missing", "FP32 [-1, 3]"),
    ),
    Case("no inputs", of("network"), INVALID, ("'x' is missing", "FP32 [-1, 16]")),
    Case(
        "doubled input",
        of("network", ("x", "FP32", f32(1, 16)), ("x", "FP32", f32(1, 16))),
        INVALID,
        ("'x' came twice",),
    ),
    Case(
        "wrong datatype",
        of("network", ("x", "FP64", np.ones((2, 16)))),
        INVALID,
        ("'x'", "FP64 came", "FP32 is expected"),
    ),
    Case("unknown datatype", network(datatype("FLOAT")), INVALID, ("'x'", "'FLOAT'", "FP32", "BYTES")),
    Case("no datatype", network(datatype("")), INVALID, ("'x'", "''", "FP32")),
    Case(
        "wrong rank",
        of("network", ("x", "FP32", f32(16))),
        INVALID,
        ("FP32 [16] came", "FP32 [-1, 16] is expected"),
    ),
    Case("wrong width", of("network", ("x", "FP32", f32(2, 15))), INVALID, ("FP32 [2, 15] came", "[-1, 16]")),
    Case("negative dimension", network(shape(-1, 16)), INVALID, ("'x'", "[-1, 16]", "negative")),
    Case("overflowing shape", network(shape(1 << 62, 16)), INVALID, ("'x'", "4611686018427387904")),
    Case(
        "huge shape", network(shape(1 << 40, 16)), INVALID, ("'x'", "128 bytes", f"{(1 << 40) * 16} elements")
    ),
    Case("too few bytes", network(raw(bytes(127))), INVALID, ("'x'", "127 bytes", "32 elements of 4 bytes")),
    Case("too many bytes", network(raw(bytes(129))), INVALID, ("'x'", "129 bytes", "32 elements of 4 bytes")),
    Case("no bytes", network(raw(b"")), INVALID, ("'x'", "0 bytes", "32 elements of 4 bytes")),
    Case(
        "too few raw entries",
        network(lambda request: request.raw_input_contents.pop()),
        INVALID,
        ("'x'", "0", "32"),
    ),
    Case(
        "surplus raw entry",
        network(lambda request: request.raw_input_contents.append(b"")),
        INVALID,
        ("raw_input_contents has 2 entries", "expected 1"),
    ),
    Case(
        "raw and contents",
        network(lambda request: request.inputs[0].contents.fp32_contents.append(1.0)),
        INVALID,
        ("'x'", "contents", "raw_input_contents"),
    ),
    Case("too few elements", typed_network(31), INVALID, ("'x'", "31", "32")),
    Case("too many elements", typed_network(33), INVALID, ("'x'", "33", "32")),
    Case(
        "another field's elements",
        typed_network(32, "fp64_contents"),
        INVALID,
        ("'x'", "fp64_contents", "fp32_contents"),
    ),
    Case("typed FP16", typed_network(32, "fp32_contents", kind="FP16"), INVALID, ("'x'", "FP16", "raw")),
    Case(
        "a typed number out of range",
        of("typed", ("in_INT8", "INT8", np.full((1, 2), 300, np.int32)), typed=True),
        INVALID,
        ("'in_INT8'", "300", "INT8"),
    ),
    Case("empty batch", of("network", ("x", "FP32", f32(0, 16))), INVALID, ("empty", "at least one row")),
    Case(
        "batch over the limit",
        of("matrix", ("features", "FP64", np.ones((MAX_ROWS + 1, 6)))),
        INVALID,
        (f"{MAX_ROWS + 1} rows", f"at most {MAX_ROWS}"),
    ),
    Case(
        "batch of columns over the limit",
        of("matrix", *((name, "FP64", np.ones(MAX_ROWS + 1)) for name in MATRIX_COLUMNS)),
        INVALID,
        (f"{MAX_ROWS + 1} rows", f"at most {MAX_ROWS}"),
    ),
    Case(
        "unequal batch",
        of("arithmetic", ("a", "FP32", f32(2, 3)), ("b", "FP32", f32(3, 3))),
        INVALID,
        ("'b' has 3 rows", "'a' has 2"),
    ),
    Case(
        "unequal columns",
        flights(wind=("FP64", np.ones(3))),
        INVALID,
        ("'wind' has 3 rows", "'distance' has 2"),
    ),
    Case("missing column", flights(carrier=None), INVALID, ("'carrier' is missing", "BYTES")),  # type: ignore[arg-type]
    Case(
        "numbers for text",
        flights(carrier=("FP64", np.ones(2))),
        INVALID,
        ("'carrier'", "FP64 came", "BYTES is expected"),
    ),
    Case(
        "a wide column",
        flights(wind=("FP64", np.ones((2, 2)))),
        INVALID,
        ("'wind'", "[2, 2] came", "[rows, 1]"),
    ),
    Case(
        "a matrix for text columns",
        of("delay", ("features", "FP64", np.ones((2, 4)))),
        INVALID,
        ("'features'", "expected: distance, hour, wind, carrier"),
    ),
    Case(
        "a narrow matrix",
        of("matrix", ("features", "FP64", np.ones((2, 5)))),
        INVALID,
        ("'features'", "FP64 [2, 5] came", "[-1, 6]"),
    ),
    Case(
        "a matrix of integers",
        of("matrix", ("features", "INT64", np.ones((2, 6), np.int64))),
        INVALID,
        ("'features'", "INT64", "FP32 or FP64"),
    ),
    Case(
        "text that is no UTF-8",
        text_of(b"\x02\0\0\0AA\x02\0\0\0\xff\xfe"),
        INVALID,
        ("'carrier'", "element 1", "UTF-8"),
    ),
    Case("half of a text's length", text_of(b"\x02\0\0\0AA\x02\0\0"), INVALID, ("'carrier'",)),
    Case("text shorter than its length", text_of(b"\x02\0\0\0AA\x03\0\0\0UA"), INVALID, ("'carrier'", "3")),
    Case(
        "text of 4 GiB announced",
        text_of(b"\x02\0\0\0AA\xff\xff\xff\xffUA"),
        INVALID,
        ("'carrier'", "4294967295"),
    ),
    Case("too few texts", text_of(b"\x02\0\0\0AA"), INVALID, ("'carrier'", "2 elements", "6 bytes")),
    Case("too many texts", text_of(b"\x01\0\0\0A" * 3), INVALID, ("'carrier'",)),
    Case("unknown output", network(asked("z")), INVALID, ("'z'", "expected: y")),
    Case("doubled output", network(asked("y", "y")), INVALID, ("'y'", "twice")),
    Case("classification", network(asked("y", classification=2)), INVALID, ("'y'", "classification")),
    Case("empty message", lambda messages: b"", NOT_FOUND, ("''",)),
    Case(
        "a truncated field",
        lambda messages: b"\x0a\x07net",
        INVALID,
        ("malformed protobuf", "ModelInferRequest"),
    ),
    Case(
        "a length beyond 2 GiB",
        lambda messages: b"\x0a\xff\xff\xff\xff\x0f" + b"x" * 10,
        INVALID,
        ("malformed protobuf",),
    ),
    Case("an endless varint", lambda messages: b"\x08" + b"\xff" * 11, INVALID, ("malformed protobuf",)),
    Case("field number 0", lambda messages: b"\x02\x01a", INVALID, ("malformed protobuf",)),
    Case("an unknown wire type", lambda messages: b"\x0f", INVALID, ("malformed protobuf",)),
    Case("a group that is not closed", lambda messages: b"\x5b\x08\x01", INVALID, ("malformed protobuf",)),
    Case(
        "a model name that is no UTF-8",
        lambda messages: b"\x0a\x02\xff\xfe",
        INVALID,
        ("model_name", "UTF-8"),
    ),
]


def status_of(call: Callable[[], Any]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.fixture
def infer(channel: grpc.Channel) -> Callable[[bytes], bytes]:
    return channel.unary_unary(INFER)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_cannot_be_answered_is_refused_with_what_came_and_what_was_expected(
    case: Case, infer: Callable[..., bytes], generated: Generated, samples: Samples
) -> None:
    built = case.build(generated.messages)
    message = built if isinstance(built, bytes) else built.SerializeToString()

    with pytest.raises(grpc.RpcError) as refused:
        infer(message, timeout=10)

    assert refused.value.code() == case.code, refused.value.details()
    for fragment in case.fragments:
        assert fragment in refused.value.details()
    # Another request on the same connection is answered as if nothing had been.
    good, x = network_request(generated.messages, seed=7)
    response = generated.messages.ModelInferResponse.FromString(infer(good.SerializeToString(), timeout=10))
    np.testing.assert_array_equal(
        raw_output(response, "y"), samples.sessions["network"].run(["y"], {"x": x})[0]
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_on_a_stream_the_same_refusal_is_an_answer(
    case: Case, channel: grpc.Channel, generated: Generated
) -> None:
    built = case.build(generated.messages)
    bad = built if isinstance(built, bytes) else built.SerializeToString()
    good = network_request(generated.messages)[0].SerializeToString()
    stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")

    answers = [
        generated.messages.ModelStreamInferResponse.FromString(answer)
        for answer in stream(iter([good, bad, good]), timeout=10)
    ]

    assert [bool(answer.error_message) for answer in answers] == [False, True, False]
    for fragment in case.fragments:
        assert fragment in answers[1].error_message


def test_random_and_damaged_messages_are_refused_and_never_end_the_server(
    infer: Callable[..., bytes], generated: Generated
) -> None:
    chance = random.Random(11)
    good = flights()(generated.messages).SerializeToString()
    answered = refused = 0
    for _ in range(600):
        message = bytearray(good)
        how = chance.randrange(4)
        if how == 0:
            message = bytearray(chance.randbytes(chance.randrange(200)))
        elif how == 1:
            del message[chance.randrange(len(message)) :]
        else:
            for _ in range(1 + chance.randrange(4)):
                message[chance.randrange(len(message))] = chance.randrange(256)
        code = status_of(lambda: infer(bytes(message), timeout=10))  # noqa: B023
        assert code in (grpc.StatusCode.OK, INVALID, NOT_FOUND), bytes(message).hex()
        answered += code is grpc.StatusCode.OK
        refused += code is not grpc.StatusCode.OK

    assert refused > 200
    assert answered > 0  # some damage changes only numbers
    assert infer(good, timeout=10)


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        ("ModelReady", b"\x0a\x05net", INVALID),
        ("ModelMetadata", b"\x0a\x05net", INVALID),
        ("ModelConfig", b"\xff", INVALID),
        ("RepositoryIndex", b"\x08", INVALID),
        ("ModelMetadata", b"\x0a\x03abc", NOT_FOUND),
        ("ModelStatistics", b"\x0a\x03abc", NOT_FOUND),
        ("ModelConfig", b"\x0a\x07network\x12\x019", NOT_FOUND),
    ],
)
def test_damaged_messages_of_other_methods_are_refused(
    channel: grpc.Channel, path: str, message: bytes, code: grpc.StatusCode
) -> None:
    call = channel.unary_unary(f"/inference.GRPCInferenceService/{path}")
    with pytest.raises(grpc.RpcError) as refused:
        call(message, timeout=10)

    assert refused.value.code() == code
    assert refused.value.details()


def test_nan_and_infinities_are_allowed_and_nan_means_missing(
    channel: grpc.Channel, generated: Generated, samples: Samples
) -> None:
    wind = np.array([np.nan, np.inf])
    request = flights(wind=("FP64", wind))(generated.messages)
    answer = channel.unary_unary(INFER)(request.SerializeToString(), timeout=10)

    frame = pd.DataFrame({"distance": [1.0, 1.0], "hour": [1, 1], "wind": wind, "carrier": ["AA", "UA"]})
    got = raw_output(generated.messages.ModelInferResponse.FromString(answer), "prediction")
    np.testing.assert_allclose(got, samples.delay["1"].predict(frame), rtol=0, atol=1e-12)
