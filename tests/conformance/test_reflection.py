"""Server reflection: v1alpha with the client of grpcio-reflection, v1 with a generated stub."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from generated_stubs import ROOT, Generated
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICES = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
    "penstock.v1.Operations",
}


def test_the_reflection_client_lists_services_and_rebuilds_their_descriptors(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = descriptor_pool.DescriptorPool(database)

    assert set(database.get_services()) == SERVICES
    for name in SERVICES:
        service = pool.FindServiceByName(name)
        assert service.methods
        assert all(method.input_type.full_name for method in service.methods)
    infer = pool.FindMessageTypeByName("inference.ModelInferRequest")
    assert infer.fields_by_name["raw_input_contents"].number == 7
    assert pool.FindMessageTypeByName("inference.ModelConfig").fields


def test_a_call_built_from_reflection_alone_is_answered(channel: grpc.Channel) -> None:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName("inference.GRPCInferenceService").methods_by_name["ServerMetadata"]
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)

    call = channel.unary_unary(
        "/inference.GRPCInferenceService/ServerMetadata",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )

    assert call(request()).name == "penstock"


def test_every_method_of_the_service_is_described_as_proto_declares_it(
    channel: grpc.Channel, generated: Generated
) -> None:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    served = descriptor_pb2.ServiceDescriptorProto()
    pool.FindServiceByName("inference.GRPCInferenceService").CopyToProto(served)
    declared = descriptor_pb2.ServiceDescriptorProto()
    generated.messages.DESCRIPTOR.services_by_name["GRPCInferenceService"].CopyToProto(declared)

    assert served == declared
    assert (ROOT / "proto" / "open_inference.proto").is_file()


class TestVersion1:
    @pytest.fixture
    def ask(self, channel: grpc.Channel, generated: Generated) -> Any:
        stub = generated.reflection_services.ServerReflectionStub(channel)

        def ask(*requests: dict[str, Any]) -> list[Any]:
            made = [generated.reflection.ServerReflectionRequest(**fields) for fields in requests]
            return list(stub.ServerReflectionInfo(iter(made)))

        return ask

    def test_lists_services(self, ask: Any) -> None:
        (answer,) = ask({"list_services": ""})

        assert {one.name for one in answer.list_services_response.service} == SERVICES

    def test_answers_several_questions_of_one_stream_in_order(self, ask: Any) -> None:
        answers = ask(
            {"file_containing_symbol": "inference.ModelInferRequest"},
            {"file_by_filename": "open_inference.proto"},
            {"file_containing_symbol": "no.such.Thing"},
            {"file_containing_symbol": "inference.GRPCInferenceService.ModelInfer"},
        )

        files = [
            {
                descriptor_pb2.FileDescriptorProto.FromString(raw).name
                for raw in one.file_descriptor_response.file_descriptor_proto
            }
            for one in answers
        ]
        assert "open_inference.proto" in files[0]
        assert "open_inference.proto" in files[1]
        assert answers[2].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        assert "no.such.Thing" in answers[2].error_response.error_message
        assert "open_inference.proto" in files[3]
        assert answers[0].original_request.file_containing_symbol == "inference.ModelInferRequest"
