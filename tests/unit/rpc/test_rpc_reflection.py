from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from penstock import _proto
from penstock.errors import INVALID_ARGUMENT, NOT_FOUND
from penstock.rpc.reflection import Reflection

REFLECTION = Reflection(["inference.GRPCInferenceService", "grpc.health.v1.Health"])
V1, V1ALPHA = "grpc.reflection.v1", "grpc.reflection.v1alpha"


def ask(package: str = V1, **asked: Any) -> Any:
    """Through bytes, as the data plane does."""
    classes = {V1: _proto.reflection_v1, V1ALPHA: _proto.reflection_v1alpha}[package]
    method = REFLECTION.methods()[f"/{package}.ServerReflection/ServerReflectionInfo"]
    request = classes.ServerReflectionRequest(**asked)
    reply = classes.ServerReflectionResponse.FromString(method.reply(request.SerializeToString()))
    assert reply.original_request == request
    return reply


def files(reply: Any) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    found = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in reply.file_descriptor_response.file_descriptor_proto
    ]
    return {file.name: file for file in found}


@pytest.mark.parametrize("package", [V1, V1ALPHA])
def test_services_are_listed_under_both_packages(package: str) -> None:
    listed = [service.name for service in ask(package, list_services="").list_services_response.service]
    assert listed == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
    ]


@pytest.mark.parametrize("package", [V1, V1ALPHA])
def test_every_listed_service_is_found_with_all_that_its_file_imports(package: str) -> None:
    for service in ask(package, list_services="").list_services_response.service:
        found = files(ask(package, file_containing_symbol=service.name))
        assert any(
            f"{file.package}.{declared.name}" == service.name
            for file in found.values()
            for declared in file.service
        )
        assert {name for file in found.values() for name in file.dependency} <= set(found)


@pytest.mark.parametrize(
    "symbol",
    ["inference.GRPCInferenceService.ModelInfer", "inference.ModelInferRequest", "inference.DataType"],
)
def test_methods_messages_and_enums_are_found(symbol: str) -> None:
    assert files(ask(file_containing_symbol=symbol))


def test_a_file_is_found_by_its_name_and_comes_first() -> None:
    for name in _proto.file_descriptors():
        assert next(iter(files(ask(file_by_filename=name)))) == name


@pytest.mark.parametrize(
    "asked",
    [
        {"file_containing_symbol": "inference.Nothing"},
        {"file_containing_symbol": ""},
        {"file_by_filename": "nothing.proto"},
        {"all_extension_numbers_of_type": "inference.ModelInferRequest"},
        {
            "file_containing_extension": {
                "containing_type": "inference.ModelInferRequest",
                "extension_number": 1,
            }
        },
    ],
)
def test_what_is_not_there_is_answered_not_found_and_the_stream_goes_on(asked: dict[str, Any]) -> None:
    reply = ask(**asked)
    assert reply.error_response.error_code == NOT_FOUND
    assert reply.error_response.error_message


def test_a_message_that_asks_for_nothing_is_an_invalid_argument() -> None:
    assert ask(host="here").error_response.error_code == INVALID_ARGUMENT


def test_reflection_is_a_stream_under_both_packages() -> None:
    methods = REFLECTION.methods()
    assert sorted(methods) == [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ]
    assert all(method.stream and not method.slow for method in methods.values())
