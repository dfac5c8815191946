"""The protos are wire compatible with the independent clients' own descriptors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

from penstock import _proto

Field = descriptor_pb2.FieldDescriptorProto
Message = descriptor_pb2.DescriptorProto
Shape = tuple[int, int, int, str, str]


def messages(file: descriptor_pb2.FileDescriptorProto) -> dict[str, Message]:
    def walk(prefix: str, found: list[Message]) -> Iterator[tuple[str, Message]]:
        for message in found:
            name = f"{prefix}.{message.name}"
            yield name, message
            yield from walk(name, list(message.nested_type))

    return dict(walk(f".{file.package}", list(file.message_type)))


def enums(file: descriptor_pb2.FileDescriptorProto) -> dict[str, dict[str, int]]:
    found = {f".{file.package}.{enum.name}": enum for enum in file.enum_type}
    for name, message in messages(file).items():
        found |= {f"{name}.{enum.name}": enum for enum in message.enum_type}
    return {name: {value.name: value.number for value in enum.value} for name, enum in found.items()}


def shape(message: Message, field: Field) -> Shape:
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return field.number, field.type, field.label, field.type_name, oneof


def parsed(serialized: bytes) -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto.FromString(serialized)


PAIRS = {
    "open_inference.proto": service_pb2,
    "model_config.proto": model_config_pb2,
    "grpc/health/v1/health.proto": health_pb2,
    "grpc/reflection/v1alpha/reflection.proto": reflection_pb2,
}


@pytest.mark.parametrize("name", PAIRS)
def test_every_field_that_the_client_knows_too_has_the_same_number_type_label_and_oneof(name: str) -> None:
    ours, theirs = (
        messages(parsed(data))
        for data in (_proto.file_descriptors()[name], PAIRS[name].DESCRIPTOR.serialized_pb)
    )
    assert set(ours) <= set(theirs)
    compared = 0
    for full_name, message in ours.items():
        known = {field.name: shape(theirs[full_name], field) for field in theirs[full_name].field}
        by_number = {number: field for field, (number, *_) in known.items()}
        for field in message.field:
            # Neither another number for a known name, nor another name for a known number.
            assert field.name in known, (
                f"{full_name}.{field.name}: the client calls {field.number} {by_number.get(field.number)}"
            )
            assert shape(message, field) == known[field.name], f"{full_name}.{field.name}"
            compared += 1
    assert compared >= 2


@pytest.mark.parametrize("name", ["open_inference.proto", "grpc/reflection/v1alpha/reflection.proto"])
def test_nothing_that_the_client_declares_is_missing(name: str) -> None:
    ours, theirs = (
        messages(parsed(data))
        for data in (_proto.file_descriptors()[name], PAIRS[name].DESCRIPTOR.serialized_pb)
    )
    for full_name, message in theirs.items():
        assert {field.name for field in message.field} == {field.name for field in ours[full_name].field}, (
            full_name
        )


@pytest.mark.parametrize("name", PAIRS)
def test_enums_have_the_same_numbers(name: str) -> None:
    ours, theirs = (
        enums(parsed(data))
        for data in (_proto.file_descriptors()[name], PAIRS[name].DESCRIPTOR.serialized_pb)
    )
    assert ours == {full_name: theirs[full_name] for full_name in ours}


def test_the_service_has_every_method_of_tritonclient_with_the_same_types() -> None:
    def methods(file: descriptor_pb2.FileDescriptorProto) -> set[tuple[str, str, str, bool, bool]]:
        (service,) = file.service
        return {
            (m.name, m.input_type, m.output_type, m.client_streaming, m.server_streaming)
            for m in service.method
        }

    ours = parsed(_proto.file_descriptors()["open_inference.proto"])
    assert methods(ours) == methods(parsed(service_pb2.DESCRIPTOR.serialized_pb))


def test_the_two_reflection_versions_differ_in_their_package_only() -> None:
    files = _proto.file_descriptors()
    version_1, version_1alpha = (
        messages(parsed(files[f"grpc/reflection/{v}/reflection.proto"])) for v in ("v1", "v1alpha")
    )
    for name, message in version_1.items():
        other = version_1alpha[name.replace(".v1.", ".v1alpha.")]
        assert [(f.name, f.number, f.type, f.label) for f in message.field] == [
            (f.name, f.number, f.type, f.label) for f in other.field
        ]
    assert len(version_1) == len(version_1alpha)
